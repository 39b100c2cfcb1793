// Sliding windows over rows of contiguous elements, built per ISA level.
#pragma once
#include <kiln/dtype.h>

#include <cstdint>

#include "ops/kernels/dispatch.h"
#include "ops/numeric_order.h"

namespace kiln::ops {

/// taps[t] are rows of `count` elements: to[i] = the kind's combination of taps[t][i] in order; the identity if there are no taps.
using WindowReduceFn = void (*)(DType dtype, ReduceKind kind, const void* const* taps, std::int64_t num_taps, std::int64_t count, void* to);
/// to[t][i] += dy[i] for the first t at which x[t][i] is the largest.
using WindowMaxGradFn = void (*)(DType dtype, const void* const* x, void* const* to, std::int64_t num_taps, std::int64_t count,
                                 const void* dy);

KILN_DECLARE_PER_ISA(void window_reduce_row(DType dtype, ReduceKind kind, const void* const* taps, std::int64_t num_taps,
                                            std::int64_t count, void* to);
                     void window_max_grad_row(DType dtype, const void* const* x, void* const* to, std::int64_t num_taps, std::int64_t count,
                                              const void* dy))

}  // namespace kiln::ops
