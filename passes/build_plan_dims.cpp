// Dims to DimExprs.
#include "passes/build_plan_dims.h"

#include <fmt/format.h>
#include <kiln/error.h>

#include "base/require.h"

namespace kiln::passes {

using runtime::DimExpr;
using runtime::DimId;

DimProgram::DimProgram(const graph::Graph& graph, runtime::Plan& plan) : graph_(graph), plan_(plan) {
  std::vector<std::pair<Dim, DimExpr>> checks;
  for (int i = 0; i < graph.num_parameters(); ++i) {
    const Shape& shape = graph.node(i).type.shape;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const Dim d = shape[axis];
      if (d.is_constant()) continue;
      const DimExpr length{DimExpr::Op::input_dim, i, axis};
      if (d.op() == Dim::Op::symbol && known_.count(d.bits()) == 0)
        known_[d.bits()] = append(length);
      else
        checks.emplace_back(d, length);
    }
  }
  for (const auto& [d, length] : checks) {
    const DimId given = append(length);
    plan_.equal_dims.emplace_back(id(d), given);
  }
  for (int i = 0; i < graph.num_parameters(); ++i) {
    const TensorType& type = graph.node(i).type;
    plan_.inputs.push_back({type.dtype, ids(type.shape)});
  }
}

DimId DimProgram::append(DimExpr e) {
  plan_.dims.push_back(e);
  return static_cast<DimId>(plan_.dims.size()) - 1;
}

DimId DimProgram::id(Dim d) {
  const auto found = known_.find(d.bits());
  if (found != known_.end()) return found->second;
  const DimId made = d.is_constant() ? append({DimExpr::Op::constant, d.bits(), 0}) : symbolic(d);
  return known_[d.bits()] = made;
}

DimId DimProgram::symbolic(Dim d) {
  DimExpr e;
  switch (d.op()) {
    case Dim::Op::symbol:
      throw CompileError(
          fmt::format("the length \"{}\" is the length of no argument's axis by itself, so its value cannot be known when {} is called",
                      d.symbol_name(), graph_.name()),
          {});
    case Dim::Op::constant:
      KILN_ASSERT(false, "a constant is not symbolic");
      break;
    case Dim::Op::add:
      e.op = DimExpr::Op::add;
      break;
    case Dim::Op::mul:
      e.op = DimExpr::Op::mul;
      break;
    case Dim::Op::floordiv:
      e.op = DimExpr::Op::floordiv;
      break;
    case Dim::Op::max:
      e.op = DimExpr::Op::max;
      break;
  }
  e.a = id(d.lhs());
  e.b = id(d.rhs());
  return append(e);
}

std::vector<DimId> DimProgram::ids(const Shape& shape) {
  std::vector<DimId> result;
  for (Dim d : shape) result.push_back(id(d));
  return result;
}

}  // namespace kiln::passes
