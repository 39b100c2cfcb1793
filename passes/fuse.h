// Fusion: which ops of an optimized graph become one launch. Plain C++ over graph::Graph; passes/fuse.cpp carries it to and from the
// dialect.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace kiln::passes {

/// Named after what a launch runs; see runtime::KernelKind. A contract is a contraction with an optional epilogue.
enum class FusionKind : std::uint8_t { loop, reduce, row, contract, scatter };

/// "loop", "reduce", "row", "contract", "scatter".
std::string_view name(FusionKind kind);
/// Inverse of name(); InternalError for any other text.
FusionKind fusion_kind(std::string_view text);

/// Ops that make a kernel of a kind of their own: reduce, contract, scatter. Empty for all others.
std::optional<FusionKind> root_kind(const graph::Node& node);

/// One launch: ops computed together. A cheap op may be a member of several fusions.
struct Fusion {
  FusionKind kind = FusionKind::loop;
  std::vector<graph::NodeId> nodes;  ///< members, operands first
  std::vector<graph::NodeId>
      inputs;  ///< values in memory that members read: parameters, large constants, other fusions' outputs, views of them
  std::vector<graph::NodeId> outputs;  ///< members whose values others read
  graph::NodeId root = -1;             ///< the reduce (the first of several), arg_reduce, contract or scatter_add; -1 for a loop
};

/// A graph divided into launches. Everything outside of fusions is a parameter, a constant or a view.
struct FusedGraph {
  graph::Graph graph;
  std::vector<Fusion> fusions;       ///< each after those whose outputs it reads
  std::vector<graph::NodeId> views;  ///< slices and concats that cost nothing, see storage.h; reshapes outside of fusions always do
};

/// Folds transposes of a contraction's operands and of its result into its equation, where strides do their work, and swaps operands where
/// that makes the result row-major. Ops that nobody reads afterwards are dropped.
graph::Graph fold_into_contractions(const graph::Graph& graph);

/// Comparisons with a bound read the value clamped to it instead of the value before, where there is one.
graph::Graph reuse_clamped(const graph::Graph& graph);

/// Divides a graph as it is. Near-linear in the number of nodes.
FusedGraph divide(graph::Graph graph);

/// Joins reductions over the last axis with each other, with what they read and what reads them: kind row. Joins other reductions over the
/// same axes that read one tensor.
FusedGraph fuse_rows(FusedGraph fused);

/// reuse_clamped, fold_into_contractions, divide, fuse_rows.
FusedGraph fuse(const graph::Graph& graph);

/// A constant of one value, whatever its shape: it lives in kernels, not in memory.
bool is_scalar_constant(const graph::Node& node);
/// A constant that the plan holds in memory if a launch or a caller reads it there: all but large splats.
bool is_plan_constant(const graph::Node& node);
/// True if running the op may fail: an index out of range, an integer division by zero.
bool is_fallible(const graph::Node& node);

}  // namespace kiln::passes
