// Passes of a row kernel.
#include "codegen/row_plan.h"

#include <algorithm>
#include <set>

#include "ops/op.h"

namespace kiln::codegen {
namespace {

using runtime::BodyNode;

/// Cost from which an expression is worth a store and a load.
constexpr int kSaveCost = 8;

class Planner {
 public:
  Planner(const runtime::KernelSpec& spec, int max_saved)
      : spec_(spec), max_saved_(max_saved), moved_(spec.body.size(), false), first_pass_(spec.body.size(), -1) {
    plan_.full = node(node(spec.root).operands[0]).shape;
    for (const BodyNode& n : spec.body) {
      if (stays_in_place(n) || n.op == "reduce") continue;
      for (std::int32_t o : n.operands) moved_[at(o)] = true;
    }
  }

  RowPlan run() {
    for (int n = spec_.num_inputs; n < static_cast<int>(spec_.body.size()); ++n) {
      if (node(n).op == "reduce") add_pass(n, {node(n).operands[0]});
    }
    std::vector<int> outputs;
    for (std::int32_t o : spec_.outputs) {
      if (plan_.is_full(node(o))) outputs.push_back(o);
    }
    add_pass(-1, outputs);
    return std::move(plan_);
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  const BodyNode& node(int n) const { return spec_.body[at(n)]; }
  static int op_cost(const BodyNode& n) {
    const ops::OpDef* op = n.op.empty() ? nullptr : ops::find_op(n.op);
    return op == nullptr ? 0 : op->traits.cost;
  }
  /// Each element of the result needs the same element of the operands only.
  static bool stays_in_place(const BodyNode& n) { return n.op.empty() || n.op == "cast" || ops::op(n.op).kind == ops::OpKind::elementwise; }

  void add_pass(int reduction, const std::vector<int>& wanted) {
    plan_.passes.push_back({reduction, {}, 0});
    std::set<int> computed;
    for (int n : wanted) visit(n, computed);
    for (int n : computed) {
      plan_.passes.back().cost += op_cost(node(n));
      if (first_pass_[at(n)] < 0) first_pass_[at(n)] = static_cast<int>(plan_.passes.size()) - 1;
    }
  }

  void visit(int n, std::set<int>& computed) {
    if (!plan_.is_full(node(n)) || node(n).op.empty() || saved_.count(n) != 0 || computed.count(n) != 0) return;
    if (worth_saving(n)) {
      saved_.insert(n);
      plan_.passes[at(first_pass_[at(n)])].saved.push_back(n);
      return;
    }
    computed.insert(n);
    if (!stays_in_place(node(n))) return;
    for (std::int32_t o : node(n).operands) visit(o, computed);
  }

  bool worth_saving(int n) {
    if (first_pass_[at(n)] < 0 || moved_[at(n)] || static_cast<int>(saved_.size()) >= max_saved_) return false;
    std::set<int> counted;
    return stays_in_place(node(n)) && expression_cost(n, counted) >= kSaveCost;
  }

  int expression_cost(int n, std::set<int>& counted) const {
    if (!plan_.is_full(node(n)) || node(n).op.empty() || saved_.count(n) != 0 || !counted.insert(n).second) return 0;
    int cost = op_cost(node(n));
    if (!stays_in_place(node(n))) return cost;
    for (std::int32_t o : node(n).operands) cost += expression_cost(o, counted);
    return cost;
  }

  const runtime::KernelSpec& spec_;
  int max_saved_;
  RowPlan plan_;
  std::vector<bool> moved_;  ///< read at other places than the reader's own
  std::vector<int> first_pass_;
  std::set<int> saved_;
};

}  // namespace

RowPlan plan_rows(const runtime::KernelSpec& spec, int max_saved) { return Planner(spec, max_saved).run(); }

}  // namespace kiln::codegen
