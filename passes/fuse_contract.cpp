// Transposes around contractions become strides: a rewrite of equations before the graph is divided.
#include <algorithm>

#include "ops/contract.h"
#include "passes/fuse.h"

namespace kiln::passes {
namespace {

using graph::Node;
using graph::NodeId;

class Folder {
 public:
  explicit Folder(const graph::Graph& from)
      : from_(from), to_(from.name()), uses_(from.nodes().size(), 0), new_id_(from.nodes().size(), -1) {}

  graph::Graph run() {
    count_uses();
    for (NodeId n = 0; n < static_cast<NodeId>(from_.nodes().size()); ++n) copy(n);
    for (NodeId n : from_.results()) to_.add_result(new_id_[at(n)]);
    for (const graph::StateWrite& w : from_.state_writes()) to_.add_state_write({w.parameter, new_id_[at(w.value)]});
    return drop_unused();
  }

 private:
  static std::size_t at(NodeId n) { return static_cast<std::size_t>(n); }

  void count_uses() {
    for (const Node& n : from_.nodes()) {
      for (NodeId operand : n.operands) ++uses_[at(operand)];
    }
    for (NodeId n : from_.results()) ++uses_[at(n)];
    for (const graph::StateWrite& w : from_.state_writes()) ++uses_[at(w.value)];
  }

  void copy(NodeId id) {
    const Node& n = from_.node(id);
    if (n.op == nullptr) {
      new_id_[at(id)] = to_.add_parameter(from_.parameters()[at(id)], n.type, n.loc);
    } else if (is(n, "contract")) {
      new_id_[at(id)] = add_contract(n, n.operands, ops::ContractView::parse(n.attrs));
    } else if (is(n, "transpose") && is(from_.node(n.operands[0]), "contract") && uses_[at(n.operands[0])] == 1) {
      new_id_[at(id)] = transpose_result(n);
    } else {
      std::vector<NodeId> operands;
      for (NodeId operand : n.operands) operands.push_back(new_id_[at(operand)]);
      new_id_[at(id)] = to_.add(*n.op, std::move(operands), n.attrs, n.loc);
    }
  }

  NodeId transpose_result(const Node& transpose) {
    const Node& product = from_.node(transpose.operands[0]);
    ops::ContractView view = ops::ContractView::parse(product.attrs);
    std::string out;
    for (std::int64_t axis : transpose.attrs.get<Ints>("perm")) out.push_back(view.out[static_cast<std::size_t>(axis)]);
    view.out = out;
    return add_contract(product, product.operands, ops::ContractView::parse(view.attrs()));
  }

  NodeId add_contract(const Node& n, std::vector<NodeId> operands, ops::ContractView view) {
    for (int side = 0; side < 2; ++side) {
      std::string& labels = side == 0 ? view.lhs : view.rhs;
      while (is(from_.node(operands[at(side)]), "transpose")) {
        const Node& transpose = from_.node(operands[at(side)]);
        const Ints& perm = transpose.attrs.get<Ints>("perm");
        std::string before(labels.size(), ' ');
        for (std::size_t i = 0; i < perm.size(); ++i) before[static_cast<std::size_t>(perm[i])] = labels[i];
        labels = before;
        operands[at(side)] = transpose.operands[0];
      }
    }
    view = ops::ContractView::parse(view.attrs());  // axes of the labels anew
    if (columns_first(view)) {
      std::swap(view.lhs, view.rhs);
      std::swap(operands[0], operands[1]);
    }
    for (NodeId& operand : operands) operand = new_id_[at(operand)];
    return to_.add(*n.op, std::move(operands), view.attrs(), n.loc);
  }

  /// The result's last axis comes from the left operand and the right one has none after it: swapping makes rows of columns.
  static bool columns_first(const ops::ContractView& view) {
    if (!view.window.empty() || view.out.empty()) return false;
    if (view.label(view.out.back()).role != ops::LabelRole::row) return false;
    return std::any_of(view.out.begin(), view.out.end(), [&](char c) { return view.label(c).role == ops::LabelRole::col; });
  }

  graph::Graph drop_unused() const {
    std::vector<bool> used(to_.nodes().size(), false);
    for (NodeId n : to_.results()) used[at(n)] = true;
    for (const graph::StateWrite& w : to_.state_writes()) used[at(w.value)] = true;
    for (std::size_t i = to_.nodes().size(); i-- > 0;) {
      if (!used[i]) continue;
      for (NodeId operand : to_.nodes()[i].operands) used[at(operand)] = true;
    }
    graph::Graph kept(to_.name());
    std::vector<NodeId> id(to_.nodes().size(), -1);
    for (std::size_t i = 0; i < to_.nodes().size(); ++i) {
      const Node& n = to_.nodes()[i];
      if (n.op == nullptr) {
        id[i] = kept.add_parameter(to_.parameters()[i], n.type, n.loc);
      } else if (used[i]) {
        std::vector<NodeId> operands;
        for (NodeId operand : n.operands) operands.push_back(id[at(operand)]);
        id[i] = kept.add(*n.op, std::move(operands), n.attrs, n.loc);
      }
    }
    for (NodeId n : to_.results()) kept.add_result(id[at(n)]);
    for (const graph::StateWrite& w : to_.state_writes()) kept.add_state_write({w.parameter, id[at(w.value)]});
    return kept;
  }

  const graph::Graph& from_;
  graph::Graph to_;
  std::vector<int> uses_;
  std::vector<NodeId> new_id_;
};

}  // namespace

graph::Graph fold_into_contractions(const graph::Graph& graph) { return Folder(graph).run(); }

}  // namespace kiln::passes
