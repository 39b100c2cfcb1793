// Applies a graph's ops again, to other values: eager (interpret) or inside another trace (splice). Internal to graph/.
#pragma once
#include <map>
#include <string_view>

#include "graph/graph.h"
#include "graph/value.h"

namespace kiln::graph {

/// What each symbol of a graph's parameters stands for.
using DimBinding = std::map<std::string_view, Dim>;

/// Matches the parameters' types with actual ones. Throws DTypeError or ShapeError, naming the parameter, where they do not fit.
DimBinding bind_dims(const Graph& graph, std::span<const Value> parameters);
Dim substitute(Dim d, const DimBinding& binding);

/// Applies every node through apply() under its own line; random ops take their streams from `first_stream` on.
/// Returns the results, then the value of each state write. Intermediates are freed after their last use.
std::vector<Value> replay(const Graph& graph, std::span<const Value> parameters, std::int64_t first_stream);

}  // namespace kiln::graph
