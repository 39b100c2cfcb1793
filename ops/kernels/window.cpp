// Eager kernels of window_reduce and window_max_grad: which taps each window has.
#include "ops/kernels/window.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/thread_pool.h"
#include "ops/kernels/copy.h"
#include "ops/structural.h"

namespace kiln::ops {
namespace {

constexpr std::int64_t kGrainElements = 16 << 10;

/// Windows over `rank` axes in front of rows of `row` contiguous elements, which no window crosses.
struct Windows {
  WindowAttrs attrs;
  std::vector<std::int64_t> in, out, in_strides;
  std::int64_t row = 1, rank = 0, count = 1, taps = 1;

  bool along(std::int64_t axis) const {
    auto i = static_cast<std::size_t>(axis);
    return attrs.window[i] != 1 || attrs.strides[i] != 1 || attrs.padding_low[i] != 0 || in[i] != out[i];
  }
};

Windows make_windows(const Shape& x, const Shape& y, const Attrs& attrs) {
  Windows w{.attrs = window_attrs(attrs), .in = x.sizes(), .out = y.sizes(), .in_strides = {}};
  w.rank = x.rank();
  while (w.rank > 0 && !w.along(w.rank - 1)) w.row *= w.in[static_cast<std::size_t>(--w.rank)];
  auto strides = row_major(x);
  w.in_strides.assign(strides.begin(), strides.begin() + w.rank);
  for (std::int64_t i = 0; i < w.rank; ++i) {
    w.count *= w.out[static_cast<std::size_t>(i)];
    w.taps *= w.attrs.window[static_cast<std::size_t>(i)];
  }
  return w;
}

/// Offsets in x of the taps of window `index` (row-major) that lie inside, in row-major order.
void tap_offsets(const Windows& w, std::int64_t index, std::vector<std::int64_t>& offsets) {
  offsets.assign(1, 0);
  std::int64_t rest = index;
  std::array<std::int64_t, kMaxRank> start;
  for (std::int64_t i = w.rank; i-- > 0;) {
    auto at = static_cast<std::size_t>(i);
    start[at] = rest % w.out[at] * w.attrs.strides[at] - w.attrs.padding_low[at];
    rest /= w.out[at];
  }
  std::vector<std::int64_t> next;
  for (std::size_t at = 0; at < static_cast<std::size_t>(w.rank); ++at) {
    std::int64_t low = std::max<std::int64_t>(start[at], 0), high = std::min(start[at] + w.attrs.window[at], w.in[at]);
    next.clear();
    for (std::int64_t offset : offsets) {
      for (std::int64_t p = low; p < high; ++p) next.push_back(offset + p * w.in_strides[at]);
    }
    offsets.swap(next);
  }
}

ReduceKind window_kind(const Attrs& attrs) {
  const auto& kind = attrs.get<std::string>("kind");
  return kind == "max" ? ReduceKind::max : kind == "min" ? ReduceKind::min : ReduceKind::add;
}

}  // namespace

void WindowReduce::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const View& x = operands[0];
  Windows w = make_windows(x.shape, result.shape, attrs);
  if (result.shape.count() == 0) return;
  ReduceKind kind = window_kind(attrs);
  auto size = static_cast<std::int64_t>(size_of(x.dtype));
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(result.data);
  auto run = KILN_FOR_TARGET(window_reduce_row);
  parallel_for(w.count, std::max<std::int64_t>(1, kGrainElements / (w.row * w.taps)), [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> offsets;
    std::vector<const void*> taps;
    for (std::int64_t i = begin; i < end; ++i) {
      tap_offsets(w, i, offsets);
      taps.clear();
      for (std::int64_t offset : offsets) taps.push_back(from + offset * size);
      run(x.dtype, kind, taps.data(), static_cast<std::int64_t>(taps.size()), w.row, to + i * w.row * size);
    }
  });
}

void WindowMaxGrad::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const View &x = operands[0], &dy = operands[1];
  Windows w = make_windows(x.shape, dy.shape, attrs);
  auto size = static_cast<std::int64_t>(size_of(x.dtype));
  bool half = x.dtype == DType::float16 || x.dtype == DType::bfloat16;
  std::int64_t total = x.shape.count();
  // Halves are summed in float and rounded once.
  std::vector<float> wide(half ? static_cast<std::size_t>(total) : 0);
  std::byte* sums = half ? reinterpret_cast<std::byte*>(wide.data()) : static_cast<std::byte*>(result.data);
  std::int64_t sum_size = half ? 4 : size;
  if (!half) std::memset(result.data, 0, static_cast<std::size_t>(total * size));
  const auto* from = static_cast<const std::byte*>(x.data);
  const auto* gradient = static_cast<const std::byte*>(dy.data);
  auto run = KILN_FOR_TARGET(window_max_grad_row);
  auto windows = [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> offsets;
    std::vector<const void*> taps;
    std::vector<void*> to;
    for (std::int64_t i = begin; i < end; ++i) {
      tap_offsets(w, i, offsets);
      taps.clear();
      to.clear();
      for (std::int64_t offset : offsets) {
        taps.push_back(from + offset * size);
        to.push_back(sums + offset * sum_size);
      }
      if (!taps.empty()) run(x.dtype, taps.data(), to.data(), static_cast<std::int64_t>(taps.size()), w.row, gradient + i * w.row * size);
    }
  };
  if (dy.shape.count() > 0) {
    // Threads share the outermost axis if no window moves along it; else one adds in order.
    bool images = w.rank > 0 && !w.along(0);
    std::int64_t outer = images ? w.out[0] : 1, each = w.count / outer;
    std::int64_t grain = std::max<std::int64_t>(1, kGrainElements / (each * w.row * w.taps));
    parallel_for(outer, grain, [&](std::int64_t begin, std::int64_t end) { windows(begin * each, end * each); });
  }
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if (x.dtype == DType::float16) {
      static_cast<float16*>(result.data)[i] = to_float16(wide[i]);
    } else {
      static_cast<bfloat16*>(result.data)[i] = to_bfloat16(wide[i]);
    }
  }
}

}  // namespace kiln::ops
