// A contract op as loops and strides over lengths that may be symbolic.
#pragma once
#include "graph/graph.h"
#include "passes/build_plan_dims.h"

namespace kiln::passes {

/// The loops of a contract: neighbours that all operands walk with one stride are merged, loops of length 1 dropped; depth keeps its order.
runtime::PlanContraction plan_contraction(const graph::Graph& graph, const graph::Node& contract, DimProgram& dims);

}  // namespace kiln::passes
