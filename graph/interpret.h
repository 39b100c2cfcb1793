// Runs a graph node by node: the oracle of the compiler's tests, the constant folder, and the way a compiled call is differentiated from
// outside.
#pragma once
#include <span>
#include <vector>

#include "graph/graph.h"
#include "graph/value.h"

namespace kiln::graph {

/// Applies the graph's ops in order through apply() to one Value for each parameter.
/// Returns the results, then the new value of each state write. Assigns no variable.
std::vector<Value> interpret(const Graph& graph, std::span<const Value> parameters);

}  // namespace kiln::graph
