// The eager kernel of every elementwise op: broadcasting, runs and threads, over the inner loops of the target's ISA level.
#pragma once
#include <span>

#include "base/target.h"
#include "ops/op.h"

namespace kiln::ops {

/// OpDef::kernel of all elementwise ops, at the ISA level of current_target(). RuntimeError for an integer divisor of zero.
void elementwise_kernel(const OpDef& op, std::span<const View> operands, const View& result, const Attrs& attrs);

/// The same at another level, which the CPU must have: for tests.
void elementwise_kernel_at(Isa isa, const OpDef& op, std::span<const View> operands, const View& result);

}  // namespace kiln::ops
