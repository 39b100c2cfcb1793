// Views: offsets and bases.
#include "passes/storage.h"

#include <algorithm>

namespace kiln::passes {

using graph::Node;
using graph::NodeId;

std::optional<std::int64_t> slice_offset(const graph::Graph& graph, NodeId slice) {
  const Node& n = graph.node(slice);
  if (!is(n, "slice")) return std::nullopt;
  const Shape& from = graph.node(n.operands[0]).type.shape;
  const Shape& to = n.type.shape;
  if (!from.is_static() || !to.is_static() || to.count() == 0) return std::nullopt;
  const Ints& start = n.attrs.get<Ints>("start");
  const Ints& step = n.attrs.get<Ints>("step");
  std::int64_t offset = 0, stride = 1;
  bool partial = false;  // an inner axis is not whole
  for (int axis = from.rank() - 1; axis >= 0; --axis) {
    const auto i = static_cast<std::size_t>(axis);
    const std::int64_t length = to[axis], whole = from[axis];
    if (start[i] < 0 || start[i] >= whole) return std::nullopt;
    if (length > 1 && (partial || step[i] != 1)) return std::nullopt;
    partial |= length != whole;
    offset += start[i] * stride;
    stride *= whole;
  }
  return offset;
}

bool is_contiguous_concat(const graph::Graph& graph, NodeId node) {
  const Node& n = graph.node(node);
  if (!is(n, "concat") || !n.type.shape.is_static()) return false;
  const auto axis = n.attrs.get<std::int64_t>("axis");
  return std::all_of(n.type.shape.begin(), n.type.shape.begin() + axis, [](Dim d) { return d == 1; });
}

Storage::Storage(const graph::Graph& graph, std::span<const NodeId> views) : graph_(&graph), view_(graph.nodes().size(), false) {
  for (NodeId n : views) add_view(n);
}

bool Storage::is_reshape(NodeId node) const { return is(graph_->node(node), "reshape"); }

std::vector<NodeId> Storage::views() const {
  std::vector<NodeId> result;
  for (std::size_t i = 0; i < view_.size(); ++i) {
    if (view_[i]) result.push_back(static_cast<NodeId>(i));
  }
  return result;
}

NodeId Storage::base(NodeId node) const {
  while (is_reshape(node) || (is_view(node) && !is_assembled(node))) node = graph_->node(node).operands[0];
  return node;
}

std::int64_t Storage::offset(NodeId node) const {
  std::int64_t offset = 0;
  for (; is_reshape(node) || (is_view(node) && !is_assembled(node)); node = graph_->node(node).operands[0]) {
    if (!is_reshape(node)) offset += slice_offset(*graph_, node).value_or(0);
  }
  return offset;
}

bool Storage::is_slice(NodeId node) const {
  for (; is_reshape(node) || (is_view(node) && !is_assembled(node)); node = graph_->node(node).operands[0]) {
    if (!is_reshape(node)) return true;
  }
  return false;
}

bool Storage::is_assembled(NodeId base) const { return is_view(base) && is(graph_->node(base), "concat"); }

}  // namespace kiln::passes
