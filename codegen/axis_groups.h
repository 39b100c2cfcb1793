// Neighbouring axes that a body never tells apart: loops run over them as one axis.
#pragma once
#include <vector>

#include "codegen/element_emitter.h"

namespace kiln::codegen {

/// Axes [first, last] of a shape, taken as one.
struct AxisGroup {
  int first = 0, last = 0;
};

/// The fewest groups such that every node that `roots` (all of one shape) need may be computed at a position that has the group's row-major
/// index at its last axis and 0 at the others.
std::vector<AxisGroup> group_axes(ElementEmitter& e, std::vector<int> roots);

/// Product of the lengths of a group of that node's axes.
Value group_length(ElementEmitter& e, int node, const AxisGroup& group);

/// The position with index `of[i]` in group i.
Position position_of(ElementEmitter& e, const std::vector<AxisGroup>& groups, llvm::ArrayRef<Index> of);

}  // namespace kiln::codegen
