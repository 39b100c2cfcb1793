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

/// Windows over `rank` axes, the last one along the line, in front of rows of contiguous elements, which no window crosses.
struct Windows {
  WindowAttrs attrs;
  std::vector<std::int64_t> in, out, in_strides;
  WindowLine line;
  std::int64_t rank = 0, lines = 1;

  bool along(std::int64_t axis) const {
    auto i = static_cast<std::size_t>(axis);
    return attrs.window[i] != 1 || attrs.strides[i] != 1 || attrs.padding_low[i] != 0 || in[i] != out[i];
  }
  std::int64_t work_of_line() const { return std::max<std::int64_t>(1, line.windows * line.row * taps); }

  std::int64_t taps = 1;  ///< of a window
};

Windows make_windows(const Shape& x, const Shape& y, DType dtype, const Attrs& attrs) {
  Windows w{.attrs = window_attrs(attrs), .in = x.sizes(), .out = y.sizes(), .in_strides = {}, .line = {.dtype = dtype}};
  w.rank = x.rank();
  while (w.rank > 0 && !w.along(w.rank - 1)) w.line.row *= w.in[static_cast<std::size_t>(--w.rank)];
  auto strides = row_major(x);
  w.in_strides.assign(strides.begin(), strides.begin() + w.rank);
  if (w.rank == 0) return w;
  auto last = static_cast<std::size_t>(--w.rank);
  w.line.windows = w.out[last];
  w.line.extent = w.in[last];
  w.line.taps = w.taps = w.attrs.window[last];
  w.line.stride = w.attrs.strides[last];
  w.line.padding = w.attrs.padding_low[last];
  for (std::int64_t i = 0; i < w.rank; ++i) {
    w.lines *= w.out[static_cast<std::size_t>(i)];
    w.taps *= w.attrs.window[static_cast<std::size_t>(i)];
  }
  return w;
}

/// Offsets in x of the lines that windows of line `index` (row-major) cover, as far as they lie inside, in row-major order.
void line_offsets(const Windows& w, std::int64_t index, std::vector<std::int64_t>& offsets) {
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
  Windows w = make_windows(x.shape, result.shape, x.dtype, attrs);
  if (result.shape.count() == 0) return;
  ReduceKind kind = window_kind(attrs);
  auto size = static_cast<std::int64_t>(size_of(x.dtype));
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(result.data);
  std::int64_t line_bytes = w.line.windows * w.line.row * size;
  auto run = KILN_FOR_TARGET(window_reduce_line);
  parallel_for(w.lines, std::max<std::int64_t>(1, kGrainElements / w.work_of_line()), [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> offsets;
    std::vector<const void*> rows;
    for (std::int64_t i = begin; i < end; ++i) {
      line_offsets(w, i, offsets);
      rows.clear();
      for (std::int64_t offset : offsets) rows.push_back(from + offset * size);
      run(w.line, kind, rows.data(), static_cast<std::int64_t>(rows.size()), to + i * line_bytes);
    }
  });
}

void WindowMaxGrad::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const View &x = operands[0], &dy = operands[1];
  Windows w = make_windows(x.shape, dy.shape, x.dtype, attrs);
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
  std::int64_t line_bytes = w.line.windows * w.line.row * size;
  auto run = KILN_FOR_TARGET(window_max_grad_line);
  auto lines = [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> offsets;
    std::vector<const void*> rows;
    std::vector<void*> to;
    for (std::int64_t i = begin; i < end; ++i) {
      line_offsets(w, i, offsets);
      rows.clear();
      to.clear();
      for (std::int64_t offset : offsets) {
        rows.push_back(from + offset * size);
        to.push_back(sums + offset * sum_size);
      }
      run(w.line, rows.data(), to.data(), static_cast<std::int64_t>(rows.size()), gradient + i * line_bytes);
    }
  };
  if (dy.shape.count() > 0) {
    // Threads share the outermost axis if no window moves along it; else one adds in order.
    bool images = w.rank > 0 && !w.along(0);
    std::int64_t outer = images ? w.out[0] : 1, each = w.lines / outer;
    std::int64_t grain = std::max<std::int64_t>(1, kGrainElements / (each * w.work_of_line()));
    parallel_for(outer, grain, [&](std::int64_t begin, std::int64_t end) { lines(begin * each, end * each); });
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
