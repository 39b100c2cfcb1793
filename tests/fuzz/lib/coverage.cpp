// Counting what was drawn.
#include "tests/fuzz/lib/coverage.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/elementwise.h"
#include "tests/fuzz/lib/structural_cases.h"

namespace kiln::testing {

namespace {

std::size_t place_of(const ops::OpDef* op) {
  auto all = ops::all_ops();
  return static_cast<std::size_t>(std::find(all.begin(), all.end(), op) - all.begin());
}

/// The type that counts: where(c, a, b) is as many ops as a has types.
DType dtype_of_use(const graph::Graph& graph, const graph::Node& node) {
  if (node.operands.empty() || node.op->traits.random) return node.type.dtype;
  std::size_t operand = node.op->types == ops::TypeRule::select ? 1 : 0;
  return graph.node(node.operands[operand]).type.dtype;
}

bool accepts(const ops::OpDef& op, DType dtype) {
  if (op.kind == ops::OpKind::elementwise) return ops::accepts(op.types, dtype);
  Rng rng(1);
  for (int tries = 0; tries < 20; ++tries) {
    if (structural_case(op, {dtype, {2, 3}}, rng)) return true;
  }
  return false;
}

/// By node: whether an output needs it.
std::vector<bool> live_nodes(const graph::Graph& graph) {
  std::vector<bool> live(graph.nodes().size());
  for (graph::NodeId id : graph.results()) live[static_cast<std::size_t>(id)] = true;
  for (const graph::StateWrite& write : graph.state_writes()) live[static_cast<std::size_t>(write.value)] = true;
  for (std::size_t i = live.size(); i-- > 0;) {
    if (!live[i]) continue;
    for (graph::NodeId operand : graph.nodes()[i].operands) live[static_cast<std::size_t>(operand)] = true;
  }
  return live;
}

}  // namespace

void Coverage::add(const FuzzCase& c) {
  bool any_symbol = false;
  std::vector<bool> live = live_nodes(*c.graph);
  for (std::size_t i = 0; i < live.size(); ++i) {
    if (!live[i]) continue;
    const graph::Node& node = c.graph->nodes()[i];
    any_symbol |= !node.type.shape.is_static();
    ++ranks[std::min(node.type.shape.size(), kRanks - 1)];
    if (node.type.shape.is_static() && node.type.shape.count() == 0) ++empty;
    if (node.op != nullptr) ++ops[place_of(node.op)][static_cast<std::size_t>(dtype_of_use(*c.graph, node))];
  }
  symbolic += any_symbol ? 1 : 0;
  state += c.graph->state_writes().empty() ? 0 : 1;
  gradients += c.gradients > 0 ? 1 : 0;
}

std::vector<std::pair<std::size_t, DType>> drawable() {
  std::vector<std::pair<std::size_t, DType>> pairs;
  for (const ops::OpDef* op : ops::all_ops()) {
    for (int t = 0; t < kDTypeCount; ++t) {
      if (accepts(*op, static_cast<DType>(t))) pairs.emplace_back(place_of(op), static_cast<DType>(t));
    }
  }
  return pairs;
}

std::vector<std::string> never_drawn(const Coverage& coverage) {
  std::vector<std::string> missing;
  for (const auto& [op, dtype] : drawable()) {
    if (coverage.ops[op][static_cast<std::size_t>(dtype)] == 0)
      missing.push_back(fmt::format("{} {}", ops::all_ops()[op]->name, name(dtype)));
  }
  return missing;
}

}  // namespace kiln::testing
