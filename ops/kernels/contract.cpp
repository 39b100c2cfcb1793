// Eager kernel of contract.
#include "ops/kernels/contraction.h"
#include "ops/structural.h"

namespace kiln::ops {

void Contract::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const View &a = operands[0], &b = operands[1];
  Contraction problem = ContractView::parse(attrs).lower(result.dtype, a.shape.sizes(), b.shape.sizes(), result.shape.sizes());
  run_contraction({.problem = &problem, .lhs = a.data, .rhs = b.data, .out = result.data});
}

}  // namespace kiln::ops
