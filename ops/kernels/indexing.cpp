// Eager kernels of gather and scatter_add.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "base/half.h"
#include "base/require.h"
#include "base/thread_pool.h"
#include "ops/structural.h"

namespace kiln::ops {
namespace {

constexpr std::int64_t kGrainBytes = 64 << 10;

/// x seen as [outer, length, inner] around the indexed axis, and the indices as int64.
struct Indexing {
  std::int64_t outer = 1, length = 1, inner = 1;
  std::vector<std::int64_t> indices;
};

/// Throws RuntimeError for an index out of range.
Indexing prepare(std::string_view op, const Shape& shape, const View& indices, std::int64_t axis) {
  Indexing result;
  for (int i = 0; i < shape.rank(); ++i)
    (i < axis ? result.outer : i == axis ? result.length : result.inner) *= static_cast<std::int64_t>(shape[i]);
  result.indices.resize(static_cast<std::size_t>(indices.shape.count()));
  for (std::size_t i = 0; i < result.indices.size(); ++i) {
    std::int64_t index = indices.dtype == DType::int32 ? static_cast<const std::int32_t*>(indices.data)[i]
                                                       : static_cast<const std::int64_t*>(indices.data)[i];
    KILN_REQUIRE(index >= 0 && index < result.length, RuntimeError, "{}: index {} is out of range for axis {} of length {}", op, index,
                 axis, result.length);
    result.indices[i] = index;
  }
  return result;
}

template <class T>
float widen(T x) {
  return to_float(x);
}
float16 narrow(float x, float16) { return to_float16(x); }
bfloat16 narrow(float x, bfloat16) { return to_bfloat16(x); }

template <class T>
T add_wrapping(T a, T b) {
  if constexpr (std::is_floating_point_v<T> || std::same_as<T, bool>) {
    return static_cast<T>(a + b);
  } else {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
  }
}

/// Adds the updates of columns [begin, end) of one outer slab, index by index.
template <class T>
void add_columns(const Indexing& s, const T* updates, T* slab, std::int64_t begin, std::int64_t end) {
  if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>) {
    // One rounding for the whole op: the rows that get updates live in float meanwhile.
    auto width = static_cast<std::size_t>(end - begin);
    std::vector<std::int64_t> place(static_cast<std::size_t>(s.length), -1), touched;
    auto wide = std::make_unique_for_overwrite<float[]>(std::min(s.indices.size(), place.size()) * width);
    for (std::int64_t index : s.indices) {
      std::int64_t& at = place[static_cast<std::size_t>(index)];
      bool first = at < 0;
      if (first) {
        at = static_cast<std::int64_t>(touched.size());
        touched.push_back(index);
      }
      float* sum = wide.get() + static_cast<std::size_t>(at) * width;
      const T* from = slab + index * s.inner + begin;
      for (std::size_t c = 0; first && c < width; ++c) sum[c] = widen(from[c]);
      for (std::size_t c = 0; c < width; ++c) sum[c] += widen(updates[begin + static_cast<std::int64_t>(c)]);
      updates += s.inner;
    }
    for (std::size_t i = 0; i < touched.size(); ++i) {
      T* to = slab + touched[i] * s.inner + begin;
      for (std::size_t c = 0; c < width; ++c) to[c] = narrow(wide[i * width + c], T{});
    }
  } else {
    for (std::int64_t index : s.indices) {
      T* to = slab + index * s.inner;
      for (std::int64_t c = begin; c < end; ++c) to[c] = add_wrapping(to[c], updates[c]);
      updates += s.inner;
    }
  }
}

}  // namespace

void Gather::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const View& x = operands[0];
  Indexing s = prepare("gather", x.shape, operands[1], attrs.get<std::int64_t>("axis"));
  auto count = static_cast<std::int64_t>(s.indices.size());
  std::int64_t row = s.inner * static_cast<std::int64_t>(size_of(x.dtype));
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(result.data);
  if (row == 0) return;
  parallel_for(s.outer * count, std::max<std::int64_t>(1, kGrainBytes / row), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::int64_t source = i / count * s.length + s.indices[static_cast<std::size_t>(i % count)];
      std::memcpy(to + i * row, from + source * row, static_cast<std::size_t>(row));
    }
  });
}

void ScatterAdd::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const View &x = operands[0], &updates = operands[2];
  Indexing s = prepare("scatter_add", x.shape, operands[1], attrs.get<std::int64_t>("axis"));
  std::int64_t total = x.shape.count();
  if (total == 0) return;
  std::memcpy(result.data, x.data, static_cast<std::size_t>(total) * size_of(x.dtype));
  std::int64_t work = std::max<std::int64_t>(1, static_cast<std::int64_t>(s.indices.size()) * static_cast<std::int64_t>(size_of(x.dtype)));
  visit_dtype(x.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(updates.data);
    T* to = static_cast<T*>(result.data);
    std::int64_t slab_updates = static_cast<std::int64_t>(s.indices.size()) * s.inner;
    if (s.outer > 1) {
      parallel_for(s.outer, std::max<std::int64_t>(1, kGrainBytes / (work * s.inner)), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t o = begin; o < end; ++o) add_columns(s, from + o * slab_updates, to + o * s.length * s.inner, 0, s.inner);
      });
    } else {
      parallel_for(s.inner, std::max<std::int64_t>(16, kGrainBytes / work),
                   [&](std::int64_t begin, std::int64_t end) { add_columns(s, from, to, begin, end); });
    }
  });
}

}  // namespace kiln::ops
