// One block of a reduction (ops/numeric_order.h), built per ISA level.
#pragma once
#include <kiln/dtype.h>

#include <cstdint>

#include "ops/kernels/dispatch.h"
#include "ops/numeric_order.h"

namespace kiln::ops {

/// At most kReduceBlock contiguous elements -> one accumulator (float for halves), in kLanesRow lanes. dtype is that of `from`.
using ReduceRowFn = void (*)(DType dtype, ReduceKind kind, const void* from, std::int64_t count, void* accumulator);
/// The same for each of n rows of `count` elements that lie end to end.
using ReduceShortRowsFn = void (*)(DType dtype, ReduceKind kind, const void* from, std::int64_t count, std::int64_t n, void* accumulators);
/// At most kReduceBlock rows, row i at offsets[i] elements -> `cols` accumulators, in kLanesColumn lanes each.
using ReduceColumnsFn = void (*)(DType dtype, ReduceKind kind, const void* from, const std::int64_t* offsets, std::int64_t count,
                                 std::int64_t cols, void* accumulators);

KILN_DECLARE_PER_ISA(void reduce_row(DType dtype, ReduceKind kind, const void* from, std::int64_t count, void* accumulator);
                     void reduce_short_rows(DType dtype, ReduceKind kind, const void* from, std::int64_t count, std::int64_t n,
                                            void* accumulators);
                     void reduce_columns(DType dtype, ReduceKind kind, const void* from, const std::int64_t* offsets, std::int64_t count,
                                         std::int64_t cols, void* accumulators))

}  // namespace kiln::ops
