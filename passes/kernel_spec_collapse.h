// Iteration spaces with as few axes as possible: neighbouring axes that all ops of a kernel treat jointly become one, and axes of length 1
// go.
#pragma once
#include <vector>

#include "graph/graph.h"

namespace kiln::passes {

/// One value of a kernel under construction.
struct DraftNode {
  const ops::OpDef* op = nullptr;  ///< nullptr for an input
  Attrs attrs;
  TensorType type;
  std::vector<int> operands;  ///< earlier nodes
  graph::NodeId node = -1;    ///< what it computes in the graph; several drafts may stem from one node
};

/// Rewrites shapes and attributes; a reshape that has become the identity is bypassed (its users read its operand) but stays in the list.
/// Values are the same numbers in the same row-major order as before. `keep_split` >= 0 names a node (a contraction's product) whose axes
/// before `split_axis` and from it on end up as exactly one axis each.
void collapse_axes(std::vector<DraftNode>& body, int keep_split = -1, int split_axis = 0);

}  // namespace kiln::passes
