// Neighbouring axes that a body never tells apart.
#include "codegen/axis_groups.h"

#include "ops/op.h"

namespace kiln::codegen {
namespace {

/// True if axes `axis` and axis + 1 of `node` may be one.
bool may_merge(ElementEmitter& e, int node, int axis) {
  const runtime::BodyNode& n = e.node(node);
  BodyShapes& shapes = e.shapes();
  if (n.op.empty() || shapes.is_single(node)) return true;
  const ops::OpDef& op = ops::op(n.op);
  if (op.kind == ops::OpKind::elementwise || n.op == "cast") {
    for (std::int32_t o : n.operands) {
      if (!may_merge(e, o, axis)) return false;
    }
    return true;
  }
  if (n.op == "constant" || n.op == "random") return true;
  if (n.op == "iota") return axis != n.attrs.get<std::int64_t>("axis") && axis + 1 != n.attrs.get<std::int64_t>("axis");
  const int x = n.operands.empty() ? -1 : n.operands[0];
  if (n.op == "broadcast") {
    if (shapes.is_single(x)) return true;
    const Ints& dims = n.attrs.get<Ints>("dims");
    int at[2] = {-1, -1};
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (shapes.is_length(x, static_cast<int>(i), 1)) continue;
      if (dims[i] == axis) at[0] = static_cast<int>(i);
      if (dims[i] == axis + 1) at[1] = static_cast<int>(i);
    }
    if (at[0] < 0 && at[1] < 0) return true;
    if (at[0] < 0 || at[1] != at[0] + 1) return false;
    return shapes.same_length(x, at[0], node, axis) && shapes.same_length(x, at[1], node, axis + 1) && may_merge(e, x, at[0]);
  }
  if (n.op == "transpose") {
    const Ints& perm = n.attrs.get<Ints>("perm");
    const auto a = static_cast<std::size_t>(axis);
    return perm[a + 1] == perm[a] + 1 && may_merge(e, x, static_cast<int>(perm[a]));
  }
  return false;
}

}  // namespace

std::vector<AxisGroup> group_axes(ElementEmitter& e, std::vector<int> roots) {
  std::vector<AxisGroup> groups;
  const int rank = e.shapes().rank(roots.front());
  for (int axis = 0; axis < rank; ++axis) {
    bool merge = axis > 0;
    for (int root : roots) merge = merge && may_merge(e, root, axis - 1);
    if (merge)
      groups.back().last = axis;
    else
      groups.push_back({axis, axis});
  }
  return groups;
}

Value group_length(ElementEmitter& e, int node, const AxisGroup& group) {
  Value length = e.builder().integer(1);
  for (int axis = group.first; axis <= group.last; ++axis) length = e.builder().mul(length, e.shapes().length(node, axis));
  return length;
}

Position position_of(ElementEmitter& e, const std::vector<AxisGroup>& groups, llvm::ArrayRef<Index> of) {
  Position p;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (int axis = groups[i].first; axis < groups[i].last; ++axis) p.at.push_back(e.indexing().constant(0));
    p.at.push_back(of[i]);
  }
  return p;
}

}  // namespace kiln::codegen
