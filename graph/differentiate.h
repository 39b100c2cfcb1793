// The gradients of ops as a table: each op's vjp, instantiated for Value. Internal to graph/.
#pragma once
#include <span>
#include <vector>

#include "graph/value.h"
#include "ops/op.h"

namespace kiln::graph {

/// One gradient an operand, undefined where there is none. Those whose bit in `needed` is 0 are not used.
std::vector<Value> call_vjp(const ops::OpDef& op, const Value& g, const Value& y, std::span<const Value> operands, const Attrs& attrs,
                            std::uint32_t needed);
/// True if the op's result does not change with its operands, nearly everywhere (floor, sign), or is no function of them: no gradient
/// passes.
bool stops_gradients(const ops::OpDef& op);
/// Sums `g` over the axes along which `shape` was broadcast.
Value sum_to_shape(const Value& g, const Shape& shape);

}  // namespace kiln::graph
