// The blocked driver of contractions, for eager and compiled code alike.
#pragma once
#include "base/contraction.h"
#include "base/kernel_abi.h"

namespace kiln::ops {

struct ContractionRun {
  const Contraction* problem = nullptr;
  const void* lhs = nullptr;
  const void* rhs = nullptr;
  void* out = nullptr;
  /// Called on each finished rectangle of the collapsed (batch * rows) x cols space; needs an out that is row-major contiguous over (batch,
  /// row, col).
  TileFn epilogue = nullptr;
  void** epilogue_args = nullptr;
  const std::int64_t* epilogue_dims = nullptr;
  int num_epilogue_args = 0;
  /// Which argument of the epilogue is `out`, if nobody else reads that memory, which then may stay unwritten; else -1.
  int product = -1;
  KernelContext* context = nullptr;
};

/// Computes the contraction in the canonical order: per output element an accumulator from +0, one fused multiply-add (multiply, then add,
/// on targets without FMA) for each term in depth order. The bits depend on nothing else. float16 and bfloat16 accumulate in float and
/// round once; integers wrap.
void run_contraction(const ContractionRun& run);

}  // namespace kiln::ops
