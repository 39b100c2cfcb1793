// Eager kernels of the ops that only move elements.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/thread_pool.h"
#include "ops/kernels/copy.h"
#include "ops/structural.h"

namespace kiln::ops {
namespace {

std::byte* at(const View& view, std::int64_t offset) {
  return static_cast<std::byte*>(view.data) + offset * static_cast<std::int64_t>(size_of(view.dtype));
}

std::size_t index(std::int64_t axis) { return static_cast<std::size_t>(axis); }

}  // namespace

void Reshape::kernel(std::span<const View> operands, const View& result, const Attrs&) {
  CopyAxis all{result.shape.count(), 1, 1};
  strided_copy(size_of(result.dtype), {&all, 1}, operands[0].data, result.data);
}

void Transpose::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const Ints& perm = attrs.get<Ints>("perm");
  auto from = row_major(operands[0].shape), to = row_major(result.shape);
  std::array<CopyAxis, kMaxRank> axes;
  for (std::size_t i = 0; i < perm.size(); ++i) axes[i] = {result.shape[i], from[index(perm[i])], to[i]};
  strided_copy(size_of(result.dtype), {axes.data(), perm.size()}, operands[0].data, result.data);
}

void Broadcast::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const Ints& dims = attrs.get<Ints>("dims");
  auto from = row_major(operands[0].shape), to = row_major(result.shape);
  std::array<CopyAxis, kMaxRank> axes;
  for (std::size_t i = 0; i < result.shape.size(); ++i) axes[i] = {result.shape[i], 0, to[i]};
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (operands[0].shape[i] != 1) axes[index(dims[i])].from = from[i];
  }
  strided_copy(size_of(result.dtype), {axes.data(), result.shape.size()}, operands[0].data, result.data);
}

void Slice::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const Ints &start = attrs.get<Ints>("start"), &step = attrs.get<Ints>("step");
  const View& x = operands[0];
  auto from = row_major(x.shape), to = row_major(result.shape);
  std::array<CopyAxis, kMaxRank> axes;
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < start.size(); ++i) {
    axes[i] = {result.shape[i], from[i] * step[i], to[i]};
    std::int64_t first = start[i] == kSliceEnd ? x.shape[i] - 1 : Dim(start[i]);
    offset += first * from[i];
  }
  if (result.shape.count() == 0) return;
  strided_copy(size_of(result.dtype), {axes.data(), start.size()}, at(x, offset), result.data);
}

void Concatenate::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  std::int64_t axis = attrs.get<std::int64_t>("axis");
  auto to = row_major(result.shape);
  std::int64_t offset = 0;
  for (const View& x : operands) {
    auto from = row_major(x.shape);
    std::array<CopyAxis, kMaxRank> axes;
    for (std::size_t i = 0; i < x.shape.size(); ++i) axes[i] = {x.shape[i], from[i], to[i]};
    if (x.shape.count() > 0)
      strided_copy(size_of(result.dtype), {axes.data(), x.shape.size()}, x.data, at(result, offset * to[index(axis)]));
    offset += x.shape[axis];
  }
}

void Pad::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const Ints &low = attrs.get<Ints>("low"), &interior = attrs.get<Ints>("interior");
  const View& x = operands[0];
  fill(size_of(result.dtype), operands[1].data, result.data, result.shape.count());
  auto from = row_major(x.shape), to = row_major(result.shape);
  std::array<CopyAxis, kMaxRank> axes;
  std::int64_t from_offset = 0, to_offset = 0;
  for (std::size_t i = 0; i < low.size(); ++i) {
    // Of the elements at low + j * step, those inside the result: first <= j < last.
    std::int64_t step = interior[i] + 1, length = result.shape[i], count = x.shape[i];
    std::int64_t first = low[i] < 0 ? (-low[i] + step - 1) / step : 0;
    std::int64_t last = length > low[i] ? std::min(count, (length - low[i] + step - 1) / step) : 0;
    if (first >= last) return;
    axes[i] = {last - first, from[i], to[i] * step};
    from_offset += first * from[i];
    to_offset += (low[i] + first * step) * to[i];
  }
  strided_copy(size_of(result.dtype), {axes.data(), low.size()}, at(x, from_offset), at(result, to_offset));
}

void Iota::kernel(std::span<const View>, const View& result, const Attrs& attrs) {
  std::int64_t axis = attrs.get<std::int64_t>("axis");
  if (result.shape.count() == 0) return;
  std::int64_t length = result.shape[axis];
  std::vector<std::byte> ramp(static_cast<std::size_t>(length) * size_of(result.dtype));
  visit_dtype(result.dtype, [&]<class T>(std::type_identity<T>) {
    T* values = reinterpret_cast<T*>(ramp.data());
    for (std::int64_t i = 0; i < length; ++i) {
      if constexpr (std::same_as<T, float16>) {
        values[i] = to_float16(static_cast<double>(i));
      } else if constexpr (std::same_as<T, bfloat16>) {
        values[i] = to_bfloat16(static_cast<double>(i));
      } else {
        values[i] = static_cast<T>(i);
      }
    }
  });
  auto to = row_major(result.shape);
  std::array<CopyAxis, kMaxRank> axes;
  for (std::size_t i = 0; i < result.shape.size(); ++i) axes[i] = {result.shape[i], static_cast<std::int64_t>(i) == axis ? 1 : 0, to[i]};
  strided_copy(size_of(result.dtype), {axes.data(), result.shape.size()}, ramp.data(), result.data);
}

void Constant::kernel(std::span<const View>, const View& result, const Attrs& attrs) {
  const Literal& value = attrs.get<Literal>("value");
  std::int64_t count = result.shape.count();
  if (count == 0) return;
  if (value.splat) {
    fill(size_of(result.dtype), value.bytes->data(), result.data, count);
  } else {
    std::memcpy(result.data, value.bytes->data(), static_cast<std::size_t>(count) * size_of(result.dtype));
  }
}

}  // namespace kiln::ops
