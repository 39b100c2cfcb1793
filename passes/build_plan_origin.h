// Which captured node an op of the optimized graph stems from, for error messages and profiles.
#pragma once
#include <string>
#include <unordered_map>

#include "graph/graph.h"

namespace kiln::passes {

/// Passes keep lines, not node numbers: an op stems from the first captured node of its line, of its name if there is one.
class Origin {
 public:
  Origin(const graph::Graph& graph, const graph::Graph& captured);

  /// The captured node of `graph`'s node; -1 if its line is unknown.
  graph::NodeId of(graph::NodeId node) const;

 private:
  static std::string key(const graph::Node& node, bool with_name);

  const graph::Graph& graph_;
  bool same_;
  std::unordered_map<std::string, graph::NodeId> captured_;
};

}  // namespace kiln::passes
