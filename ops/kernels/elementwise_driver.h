// The eager kernel of every elementwise op: broadcasting, runs and threads, over the inner loops of the target's ISA level.
#pragma once
#include <span>

#include "ops/op.h"

namespace kiln::ops {

/// OpDef::kernel of all elementwise ops. RuntimeError for an integer divisor of zero.
void elementwise_kernel(const OpDef& op, std::span<const View> operands, const View& result, const Attrs& attrs);

}  // namespace kiln::ops
