// Row fusion: reductions over the last axis, what they read and what reads them become one kernel that takes a row at a time, while it is
// in cache. softmax: max, exp, sum and division; layer_norm: both means and the scaling; their gradients.
//
// divide() has made launches of loops and reductions. Here, in order, a launch moves into an earlier one with the same rows, if everything
// that it takes from there belongs to its own row, and if no third launch stands between the two.
//
// Reductions over other axes (the gradients of scale and offset in batch_norm and layer_norm) join a sibling that reads one of their
// tensors and reduces the same axes, each with what divide() gave it: one kernel of kind reduce.
#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>

#include "passes/cost_model.h"
#include "passes/fuse.h"
#include "passes/storage.h"
#include "passes/visits.h"

namespace kiln::passes {
namespace {

using graph::Node;
using graph::NodeId;

/// The tensor and the axes that all reductions of a launch have in common.
struct Reduced {
  Shape full;
  Ints axes;
  bool operator==(const Reduced&) const = default;
};

std::optional<Reduced> reduced_of(const graph::Graph& graph, const Fusion& fusion) {
  if (fusion.kind != FusionKind::reduce || graph.node(fusion.root).op->name != "reduce") return std::nullopt;
  const Node& root = graph.node(fusion.root);
  return Reduced{graph.node(root.operands[0]).type.shape, root.attrs.get<Ints>("axes")};
}

/// Earlier readers of a tensor that a reduction of it looks at.
constexpr std::size_t kSiblingsTried = 4;
/// Launches between siblings that do not reduce rows: those of one layer's gradient, not of its forward and its backward pass.
constexpr int kSiblingDistance = 64;

/// The rows of a tensor: its last axis, of a length that is known.
struct Rows {
  Shape full;
  Shape kept() const { return Shape(std::span<const Dim>(full.begin(), full.size() - 1)); }
  /// The kept axes with a last one of length 1.
  Shape column() const {
    Shape shape = full;
    shape[full.rank() - 1] = 1;
    return shape;
  }
};

/// Of a reduction over rows.
std::optional<Rows> rows_of(const Reduced& reduced) {
  const int last = reduced.full.rank() - 1;
  if (reduced.axes != Ints{last} || !reduced.full[last].is_constant()) return std::nullopt;
  const std::int64_t length = reduced.full[last];
  if (length < 2 || length > cost::kMaxRow) return std::nullopt;
  return Rows{reduced.full};
}

/// A launch, or several that have become one.
struct Unit {
  std::vector<int> members;        ///< fusions, ascending
  std::optional<Reduced> reduced;  ///< by the first one that reduces
  std::optional<Rows> rows;
  std::set<NodeId> nodes;
  std::set<NodeId> inputs;  ///< views
};

class RowFuser {
 public:
  explicit RowFuser(const FusedGraph& fused)
      : graph_(fused.graph), storage_(graph_, fused.views), fusions_(fused.fusions), unit_of_(fusions_.size()), units_(fusions_.size()) {
    std::iota(unit_of_.begin(), unit_of_.end(), 0);
    for (std::size_t f = 0; f < fusions_.size(); ++f) {
      for (NodeId n : fusions_[f].outputs) producer_[n] = static_cast<int>(f);
    }
  }

  std::vector<Fusion> run() {
    for (int f = 0; f < static_cast<int>(fusions_.size()); ++f) {
      Unit& unit = units_[at(f)];
      unit.members = {f};
      unit.reduced = reduced_of(graph_, fusion(f));
      if (unit.reduced) unit.rows = rows_of(*unit.reduced);
      unit.nodes.insert(fusion(f).nodes.begin(), fusion(f).nodes.end());
      unit.inputs.insert(fusion(f).inputs.begin(), fusion(f).inputs.end());
      if (fusion(f).kind == FusionKind::loop || unit.reduced) join_earlier(f);
      for (NodeId view : fusion(f).inputs) readers_[storage_.base(view)].push_back(f);
    }
    return emit();
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  const Fusion& fusion(int f) const { return fusions_[at(f)]; }
  const Node& node(NodeId n) const { return graph_.node(n); }
  int unit_of(int f) const { return unit_of_[at(f)]; }

  /// Calls visit(unit) for each unit that puts (a part of) the value of a view into memory: none for parameters and constants.
  template <class F>
  void for_each_source(NodeId view, F visit) const {
    storage_.for_each_part(storage_.base(view), [&](NodeId part) {
      const auto found = producer_.find(part);
      if (found != producer_.end()) visit(unit_of(found->second));
    });
  }

  void join_earlier(int f) {
    std::vector<int> candidates;
    for (NodeId view : fusion(f).inputs) {
      if (!is_other_place(view)) for_each_source(view, [&](int from) { candidates.push_back(from); });
    }
    if (const std::optional<Reduced> reduced = units_[at(f)].reduced) {
      for (NodeId view : fusion(f).inputs) {
        const auto readers = readers_.find(storage_.base(view));
        if (readers == readers_.end() || cost::squeezed(node(view).type.shape) != cost::squeezed(reduced->full)) continue;
        const std::size_t first = readers->second.size() - std::min(readers->second.size(), kSiblingsTried);
        for (std::size_t i = first; i < readers->second.size(); ++i) candidates.push_back(unit_of(readers->second[i]));
      }
    }
    for (int candidate : candidates) {
      const int earlier = unit_of(candidate), own = unit_of(f);
      if (earlier != own) try_merge(earlier, own);
    }
  }

  /// True if a kernel that makes what is behind the view cannot hand it to a reader in registers.
  bool is_other_place(NodeId view) const { return storage_.is_slice(view) || storage_.is_assembled(storage_.base(view)); }

  void try_merge(int a, int b) {
    Unit& first = units_[at(a)];
    Unit& second = units_[at(b)];
    if (first.reduced && second.reduced && *first.reduced != *second.reduced) return;
    const bool in_rows = first.rows || second.rows;
    if (in_rows ? !may_share_rows(first, second) : !are_near(first, second)) return;
    if (stands_between(a, b)) return;
    Unit merged = joined(first, second);
    if (static_cast<int>(merged.nodes.size()) > cost::kMaxBody || num_arguments(merged) > cost::kMaxArguments) return;
    if (in_rows ? !is_row_wise(merged) : !are_siblings(merged)) return;
    for (int f : second.members) unit_of_[at(f)] = a;
    first = std::move(merged);
    second = {};
  }

  /// Two reductions close enough to each other that few launches lie between them.
  static bool are_near(const Unit& first, const Unit& second) {
    return first.reduced && second.reduced && std::abs(first.members.back() - second.members.back()) <= kSiblingDistance;
  }

  bool may_share_rows(const Unit& first, const Unit& second) const {
    const Rows& rows = first.rows ? *first.rows : *second.rows;
    for (const Unit* unit : {&first, &second}) {
      for (int f : unit->members) {
        if (fusion(f).kind != FusionKind::loop && fusion(f).kind != FusionKind::reduce) return false;
        if (!fits(fusion(f), rows)) return false;
      }
    }
    return true;
  }

  /// Every output is one element for each of the full tensor, or one a row.
  bool fits(const Fusion& f, const Rows& rows) const {
    return std::all_of(f.outputs.begin(), f.outputs.end(), [&](NodeId n) { return has_place(node(n).type.shape, rows); });
  }
  static bool has_place(const Shape& s, const Rows& rows) { return s == rows.full || s == rows.kept() || s == rows.column(); }

  /// True if some other unit reads from one of the two and is read by the other, directly or not.
  bool stands_between(int a, int b) const { return leads_through_others(a, b) || leads_through_others(b, a); }

  bool leads_through_others(int from, int to) const {
    const int first = units_[at(from)].members.front();
    std::set<int> seen{from, to};
    std::vector<int> open;
    bool found = false;
    const auto visit_sources = [&](int unit) {
      count_visits(units_[at(unit)].inputs.size());
      for (NodeId view : units_[at(unit)].inputs) {
        for_each_source(view, [&](int source) {
          found |= source == from && (unit != to || is_other_place(view));
          if (units_[at(source)].members.back() >= first && seen.insert(source).second) open.push_back(source);
        });
      }
    };
    visit_sources(to);
    while (!open.empty() && !found) {
      const int unit = open.back();
      open.pop_back();
      visit_sources(unit);
    }
    return found;
  }

  Unit joined(const Unit& a, const Unit& b) const {
    Unit u;
    count_visits(a.nodes.size() + b.nodes.size());
    std::merge(a.members.begin(), a.members.end(), b.members.begin(), b.members.end(), std::back_inserter(u.members));
    u.reduced = a.reduced ? a.reduced : b.reduced;
    u.rows = a.rows ? a.rows : b.rows;
    u.nodes = a.nodes;
    u.nodes.insert(b.nodes.begin(), b.nodes.end());
    std::set<NodeId> made;
    for (int f : u.members) made.insert(fusion(f).outputs.begin(), fusion(f).outputs.end());
    for (const Unit* unit : {&a, &b}) {
      for (NodeId view : unit->inputs) {
        const NodeId base = storage_.base(view);
        if (made.count(base) == 0) {
          u.inputs.insert(view);
          continue;
        }
        for (NodeId v = view; v != base; v = node(v).operands[0]) u.nodes.insert(v);
      }
    }
    return u;
  }

  int num_arguments(const Unit& u) const {
    std::size_t outputs = 0;
    for (int f : u.members) outputs += fusion(f).outputs.size();
    return static_cast<int>(u.inputs.size() + outputs);
  }

  /// True if whatever follows from a reduction of the unit is read in that reduction's row only.
  bool is_row_wise(const Unit& u) const {
    std::set<NodeId> follows;
    for (NodeId n : u.nodes) {
      const bool is_root = root_kind(node(n)).has_value();
      if (is_root && !is_reduction_of(n, *u.rows)) return false;
      const auto& operands = node(n).operands;
      const bool reads = std::any_of(operands.begin(), operands.end(), [&](NodeId o) { return follows.count(o) != 0; });
      if (!reads && !is_root) continue;
      if (!is_root && !stays_in_row(n, *u.rows)) return false;
      follows.insert(n);
    }
    return true;
  }

  /// True for a few reductions none of which needs another's result; whatever follows from them is read at its own index.
  bool are_siblings(const Unit& u) const {
    std::set<NodeId> follows;
    int reductions = 0;
    for (NodeId n : u.nodes) {
      const auto& operands = node(n).operands;
      const bool reads = std::any_of(operands.begin(), operands.end(), [&](NodeId o) { return follows.count(o) != 0; });
      const bool is_root = root_kind(node(n)).has_value();
      if (is_root) ++reductions;
      if (reads && (is_root || !cost::keeps_index(graph_, node(n)))) return false;
      if (reads || is_root) follows.insert(n);
    }
    return reductions <= cost::kMaxSiblings;
  }

  bool is_reduction_of(NodeId n, const Rows& rows) const {
    return node(n).op->name == "reduce" && node(node(n).operands[0]).type.shape == rows.full &&
           node(n).attrs.get<Ints>("axes") == Ints{rows.full.rank() - 1};
  }

  bool stays_in_row(NodeId n, const Rows& rows) const {
    if (!has_place(node(n).type.shape, rows)) return false;
    if (cost::keeps_index(graph_, node(n))) return true;
    if (node(n).op->name != "broadcast" || node(n).type.shape != rows.full) return false;
    const Shape& from = node(node(n).operands[0]).type.shape;
    const Ints& dims = node(n).attrs.get<Ints>("dims");
    Ints in_order(dims.size());
    std::iota(in_order.begin(), in_order.end(), 0);
    return dims == in_order && (from == rows.kept() || from == rows.column());
  }

  // ---- result ----

  std::vector<Fusion> emit() {
    std::set<NodeId> needed;
    const auto need = [&](NodeId view) { storage_.for_each_part(storage_.base(view), [&](NodeId part) { needed.insert(part); }); };
    for (NodeId n : graph_.results()) need(n);
    for (const graph::StateWrite& w : graph_.state_writes()) need(w.value);
    for (const Unit& u : units_) {
      for (NodeId view : u.inputs) need(view);
    }
    std::vector<Fusion> result;
    std::vector<bool> done(units_.size(), false);
    const std::function<void(int)> emit_unit = [&](int unit) {
      if (done[at(unit)]) return;
      done[at(unit)] = true;
      for (NodeId view : units_[at(unit)].inputs) {
        for_each_source(view, emit_unit);
      }
      result.push_back(merged_fusion(units_[at(unit)], needed));
    };
    for (int f = 0; f < static_cast<int>(fusions_.size()); ++f) emit_unit(unit_of(f));
    return result;
  }

  Fusion merged_fusion(const Unit& u, const std::set<NodeId>& needed) const {
    if (u.members.size() == 1) return fusion(u.members[0]);
    Fusion f{.kind = u.rows ? FusionKind::row : FusionKind::reduce,
             .nodes{u.nodes.begin(), u.nodes.end()},
             .inputs{u.inputs.begin(), u.inputs.end()}};
    for (int member : u.members) {
      for (NodeId n : fusion(member).outputs) {
        if (needed.count(n) != 0) f.outputs.push_back(n);
      }
    }
    std::sort(f.outputs.begin(), f.outputs.end());
    f.root = *std::find_if(f.nodes.begin(), f.nodes.end(), [&](NodeId n) { return root_kind(node(n)).has_value(); });
    return f;
  }

  const graph::Graph& graph_;
  const Storage storage_;
  std::vector<Fusion> fusions_;
  std::vector<int> unit_of_;
  std::vector<Unit> units_;  ///< by their first launch
  std::unordered_map<NodeId, int> producer_;
  std::unordered_map<NodeId, std::vector<int>> readers_;
};

}  // namespace

FusedGraph fuse_rows(FusedGraph fused) {
  fused.fusions = RowFuser(fused).run();
  return fused;
}

}  // namespace kiln::passes
