// Lines of sliding windows, built per ISA level.
#pragma once
#include <kiln/dtype.h>

#include <cstdint>

#include "ops/kernels/dispatch.h"
#include "ops/numeric_order.h"

namespace kiln::ops {

/// The windows that share all places but that along the innermost axis on which windows slide: window o covers positions o * stride -
/// padding + k, 0 <= k < taps, of `extent`; a position is `row` contiguous elements.
struct WindowLine {
  DType dtype = DType::float32;
  std::int64_t windows = 1, extent = 1, taps = 1, stride = 1, padding = 0, row = 1;
};

/// to[o] = the kind's combination of x[r][position] over r (in order), then k; the identity if nothing is inside. x[r] points to position
/// 0.
using WindowReduceFn = void (*)(const WindowLine& line, ReduceKind kind, const void* const* x, std::int64_t num_rows, void* to);
/// sums[r][position] += dy[o] at the first r, k at which x[r][position] is the largest of window o, window by window. Sums of halves are
/// float.
using WindowMaxGradFn = void (*)(const WindowLine& line, const void* const* x, void* const* sums, std::int64_t num_rows, const void* dy);

KILN_DECLARE_PER_ISA(void window_reduce_line(const WindowLine& line, ReduceKind kind, const void* const* x, std::int64_t num_rows,
                                             void* to);
                     void window_max_grad_line(const WindowLine& line, const void* const* x, void* const* sums, std::int64_t num_rows,
                                               const void* dy))

}  // namespace kiln::ops
