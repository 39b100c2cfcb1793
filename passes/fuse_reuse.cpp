// Comparisons that read what is in memory anyway: relu's gradient asks where the result is positive, not where the argument was, so that
// the argument need not outlive the kernel that computes both.
//
//   y = maximum(x, c); m = greater(x, c)    =>    m = greater(y, c)       and the same with minimum and less; equal also for NaN
#include <map>

#include "passes/fuse.h"

namespace kiln::passes {

using graph::Node;
using graph::NodeId;

graph::Graph reuse_clamped(const graph::Graph& graph) {
  std::map<std::pair<NodeId, NodeId>, NodeId> above, below;  // (x, c) -> maximum(x, c), minimum(x, c)
  graph::Graph result(graph.name());
  for (NodeId id = 0; id < static_cast<NodeId>(graph.nodes().size()); ++id) {
    const Node& n = graph.node(id);
    if (n.op == nullptr) {
      result.add_parameter(graph.parameters()[static_cast<std::size_t>(id)], n.type, n.loc);
      continue;
    }
    std::vector<NodeId> operands = n.operands;
    if (is(n, "maximum") || is(n, "minimum")) {
      auto& clamped = is(n, "maximum") ? above : below;
      clamped.try_emplace({operands[0], operands[1]}, id);
      clamped.try_emplace({operands[1], operands[0]}, id);
    } else if (is(n, "greater") || is(n, "less")) {
      const auto& clamped = is(n, "greater") ? above : below;
      const auto found = clamped.find({operands[0], operands[1]});
      if (found != clamped.end()) operands[0] = found->second;
    }
    result.add(*n.op, std::move(operands), n.attrs, n.loc);
  }
  for (NodeId n : graph.results()) result.add_result(n);
  for (const graph::StateWrite& w : graph.state_writes()) result.add_state_write(w);
  return result;
}

}  // namespace kiln::passes
