// Where the values of a fused graph live. Views cost nothing: they are parts of a value in memory, or values whose parts were written in
// place.
#pragma once
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace kiln::passes {

/// Elements between the first one of the operand and the first one of the slice, if the slice's elements lie side by side in the operand.
std::optional<std::int64_t> slice_offset(const graph::Graph& graph, graph::NodeId slice);

/// True for a concat whose operands lie one after the other in its result.
bool is_contiguous_concat(const graph::Graph& graph, graph::NodeId node);

/// Reshapes outside of fusions are always views; slices and concats are where somebody said so.
class Storage {
 public:
  explicit Storage(const graph::Graph& graph, std::span<const graph::NodeId> views = {});

  /// `node`: a slice with a slice_offset(), or a contiguous concat.
  void add_view(graph::NodeId node) { view_[static_cast<std::size_t>(node)] = true; }
  /// True for slices and concats that are views.
  bool is_view(graph::NodeId node) const { return view_[static_cast<std::size_t>(node)]; }
  std::vector<graph::NodeId> views() const;

  /// The value whose memory `node` shares: itself, or what it is a reshape or a slice of.
  graph::NodeId base(graph::NodeId node) const;
  /// Elements of base(node) before the first one of `node`.
  std::int64_t offset(graph::NodeId node) const;
  /// True if base(node) is reached through a slice.
  bool is_slice(graph::NodeId node) const;

  /// True for a concat whose operands are written into its memory.
  bool is_assembled(graph::NodeId base) const;

  /// Calls visit(n) for each value that launches write to make `base`: itself, or the bases of an assembled concat's operands.
  template <class F>
  void for_each_part(graph::NodeId base, F visit) const {
    if (!is_assembled(base)) return visit(base);
    for (graph::NodeId operand : graph_->node(base).operands) for_each_part(this->base(operand), visit);
  }

 private:
  bool is_reshape(graph::NodeId node) const;

  const graph::Graph* graph_;
  std::vector<bool> view_;
};

}  // namespace kiln::passes
