// Lines back to captured nodes.
#include "passes/build_plan_origin.h"

#include <fmt/format.h>

namespace kiln::passes {

Origin::Origin(const graph::Graph& graph, const graph::Graph& captured) : graph_(graph), same_(&graph == &captured) {
  if (same_) return;
  for (std::size_t i = 0; i < captured.nodes().size(); ++i) {
    const graph::Node& node = captured.nodes()[i];
    if (node.op == nullptr || !node.loc.known()) continue;
    captured_.try_emplace(key(node, true), static_cast<graph::NodeId>(i));
    captured_.try_emplace(key(node, false), static_cast<graph::NodeId>(i));
  }
}

std::string Origin::key(const graph::Node& node, bool with_name) {
  return fmt::format("{}:{}:{}", node.loc.file, node.loc.line, with_name ? node.op->name : "");
}

graph::NodeId Origin::of(graph::NodeId id) const {
  if (same_) return id;
  const graph::Node& node = graph_.node(id);
  for (bool with_name : {true, false}) {
    const auto found = captured_.find(key(node, with_name));
    if (found != captured_.end()) return found->second;
  }
  return -1;
}

}  // namespace kiln::passes
