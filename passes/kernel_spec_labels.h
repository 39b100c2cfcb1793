// Iteration labels: how the axes of one op's operands and result belong together, for passes that reshape iteration spaces.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "ops/op.h"

namespace kiln::passes {

/// Equal labels are one iteration axis: same length, same index. Neighbouring labels may be merged into one axis where every tensor that
/// has one has the other beside it; a hard label never merges.
struct AxisLabels {
  std::vector<std::vector<int>> tensors;  ///< of each operand, then of the result
  std::vector<bool> hard;                 ///< by label

  std::vector<int>& result() { return tensors.back(); }
};

/// Labels of an op. An op that is not known here gets hard labels everywhere, which is always right. Not for reshape.
AxisLabels axis_labels(const ops::OpDef& op, const Attrs& attrs, std::span<const Shape> operands, const Shape& result);

}  // namespace kiln::passes
