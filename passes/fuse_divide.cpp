// The fusion algorithm: three passes over the nodes, each linear but for sets of bounded size.
//
// 1. estimate(), forwards: what computing a value from memory would cost.
// 2. decide(), backwards: a node is either an atom (computed by one launch, once) or computed inside each atom that needs it.
// 3. group(), forwards: atoms join groups. Groups are numbered as they are made, and an atom only joins a group whose number is at least
// that
//    of every group it reads from: so reads always go from a group to an earlier one or stay inside, and no cycle can arise.
#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/require.h"
#include "passes/cost_model.h"
#include "passes/fuse.h"
#include "passes/kernel_spec.h"
#include "passes/storage.h"
#include "passes/visits.h"

namespace kiln::passes {
namespace {

using graph::Node;
using graph::NodeId;

constexpr NodeId kNobody = -1;
constexpr NodeId kSeveral = -2;
constexpr std::ptrdiff_t kReadersTried = 4;
constexpr int kDepthCompared = 4;
constexpr std::size_t kLargestPlanConstant = 65536;

/// A value in memory that an atom reads. `view` is the reshape or slice through which it does, else `base` itself.
struct Leaf {
  NodeId view = kNobody;
  NodeId base = kNobody;
  bool same_index = true;
};

/// What an atom computes by itself and what it reads.
struct Closure {
  std::vector<NodeId> nodes;  ///< the atom and the nodes computed inside it, operands first
  std::vector<Leaf> leaves;   ///< in order of their views
};

struct Group {
  FusionKind kind = FusionKind::loop;
  NodeId root = kNobody;
  Shape shape;  ///< of every output, without axes of length 1
  std::vector<NodeId> atoms;
  std::set<NodeId> nodes;
  std::set<NodeId> inputs;  ///< views
};

class Divider {
 public:
  explicit Divider(const graph::Graph& graph)
      : graph_(graph),
        storage_(graph),
        uses_(count(), 0),
        in_memory_(count(), false),
        handed_out_(count(), false),
        placed_(count(), false),
        cost_(count()),
        latest_(count(), kNobody),
        follows_(count(), kNobody),
        continued_(count(), false),
        atom_(count(), false),
        severed_(count(), false),
        owner_(count(), kNobody),
        evaluations_(count()),
        group_of_(count(), -1),
        updates_state_(count(), false) {}

  std::vector<Fusion> run() {
    count_uses();
    estimate();
    decide();
    for (NodeId n = 0; n < size(); ++n) {
      if (atom_[at(n)]) closures_[n] = closure(n);
    }
    find_updates();
    // Scalars made from parameters alone (learning rates, step counts) come first, so that any kernel may read them.
    for (NodeId n = 0; n < size(); ++n) {
      if (atom_[at(n)] && is_early(n)) place(n);
    }
    for (NodeId n = 0; n < size(); ++n) {
      if (atom_[at(n)] && group_of_[at(n)] < 0) place(n);
    }
    return emit();
  }

  std::vector<NodeId> views() const { return storage_.views(); }

 private:
  static std::size_t at(NodeId n) { return static_cast<std::size_t>(n); }
  std::size_t count() const { return graph_.nodes().size(); }
  NodeId size() const { return static_cast<NodeId>(count()); }
  const Node& node(NodeId n) const { return graph_.node(n); }
  Shape shape_of(NodeId n) const { return cost::squeezed(node(n).type.shape); }
  bool is_reshape(NodeId n) const { return node(n).op != nullptr && node(n).op->name == "reshape"; }
  /// Parameters and constants are in memory already; a constant of one value only where somebody wants it there.
  bool is_given(NodeId n) const { return node(n).op == nullptr || is_plan_constant(node(n)); }

  void count_uses() {
    const auto demand = [&](NodeId n) {
      ++uses_[at(n)];
      in_memory_[at(n)] = true;
      handed_out_[at(storage_.base(n))] = true;
    };
    for (NodeId n : graph_.results()) demand(n);
    for (const graph::StateWrite& w : graph_.state_writes()) {
      demand(w.value);
      updates_state_[at(w.value)] = true;
    }
    for (NodeId n = size(); n-- > 0;) {
      if (uses_[at(n)] == 0) continue;
      for (NodeId operand : node(n).operands) ++uses_[at(operand)];
    }
  }

  // ---- 1. what a value costs when computed from memory ----

  struct Estimate {
    double cost = 0;
    int ops = 0;
    int tensors = 0;  ///< read, of about the value's own size
  };

  void estimate() {
    for (NodeId n = 0; n < size(); ++n) {
      if (node(n).op == nullptr) continue;
      if (shares_memory(n)) storage_.add_view(n);
      follows_[at(n)] = followed_root(n);
      Estimate e{cost::op_cost(node(n)), cost::is_view(node(n)) ? 0 : 1, 0};
      for (NodeId operand : node(n).operands) {
        if (is_scalar_constant(node(operand))) continue;
        if (follows_[at(n)] != kNobody && follows_[at(operand)] == follows_[at(n)]) continued_[at(operand)] = true;
        const bool written = in_epilogue(operand) && follows_[at(operand)] != follows_[at(n)];
        const bool from_memory = is_given(operand) || storage_.is_view(operand) || root_kind(node(operand)) || written ||
                                 (uses_[at(operand)] > 1 && !is_cheap(operand));
        if (from_memory) {
          e.tensors += 8 * cost::elements(node(operand).type.shape) > cost::elements(node(n).type.shape) ? 1 : 0;
        } else {
          e.cost += cost_[at(operand)].cost;
          e.ops = std::min(e.ops + cost_[at(operand)].ops, cost::kMaxBody);
          e.tensors = std::min(e.tensors + cost_[at(operand)].tensors, cost::kMaxArguments);
        }
      }
      cost_[at(n)] = e;
      latest_[at(n)] = latest(n);
    }
  }

  /// A slice of side by side elements of something that is in memory anyway.
  bool shares_memory(NodeId n) const {
    if (in_memory_[at(n)] || !slice_offset(graph_, n)) return false;
    const NodeId base = storage_.base(node(n).operands[0]);
    if (is_scalar_constant(node(base)) || cost::is_view(node(base))) return false;
    if (is_given(base) || root_kind(node(base)) || in_memory_[at(base)]) return true;
    return uses_[at(node(n).operands[0])] > 1 && !(is_cheap(base) && follows_[at(base)] == kNobody);
  }

  /// The last node that must have been computed before n can be, n itself if it may be in memory; -1 for what is made from parameters.
  NodeId latest(NodeId n) const {
    if (root_kind(node(n)) || !(cost::is_view(node(n)) || is_cheap(n))) return n;
    NodeId last = kNobody;
    for (NodeId operand : node(n).operands) last = std::max(last, latest_[at(operand)]);
    return last;
  }

  /// The root whose kernel can compute n beside its own result: n needs nothing else that comes later.
  NodeId followed_root(NodeId n) const {
    if (!cost::keeps_index(graph_, node(n))) return kNobody;
    NodeId root = kNobody;
    for (NodeId operand : node(n).operands) {
      const bool is_root = root_kind(node(operand)) && root_kind(node(operand)) != FusionKind::scatter;
      const NodeId found = is_root ? operand : follows_[at(operand)];
      if (found != kNobody && uses_[at(operand)] > 1 && !is_root) return kNobody;
      root = std::max(root, found);
    }
    for (NodeId operand : node(n).operands) {
      if (operand != root && follows_[at(operand)] != root && latest_[at(operand)] > root) return kNobody;
    }
    return root != kNobody && shape_of(root) == shape_of(n) ? root : kNobody;
  }

  /// The contraction's kernel can write n instead of its own result, which nobody else wants.
  bool in_epilogue(NodeId n) const {
    const NodeId root = follows_[at(n)];
    return root != kNobody && root_kind(node(root)) == FusionKind::contract && uses_[at(root)] == 1 && !cost::is_view(node(n)) &&
           cost_[at(n)].tensors <= cost::kMaxEpilogueStreams;
  }

  bool is_cheap(NodeId n) const {
    const Estimate& e = cost_[at(n)];
    if (cost::elements(node(n).type.shape) <= static_cast<double>(cost::kSmall) && node(n).type.shape.is_static() &&
        e.cost <= cost::kSmallCost && evaluations_[at(n)] <= 2)
      return true;
    if (cost::squeezed(node(n).type.shape).rank() == 0) return e.ops <= cost::kScalarOps && e.cost <= cost::kScalarCost;
    return e.cost <= cost::kCheap && e.tensors <= cost::kCheapTensors;
  }

  // ---- 2. atoms ----

  void decide() {
    std::unordered_map<NodeId, Body> bodies;
    for (NodeId n = size(); n-- > 0;) {
      if (uses_[at(n)] == 0 || is_given(n)) continue;
      if (storage_.is_view(n)) {
        in_memory_[at(node(n).operands[0])] = true;
        continue;
      }
      if (is_reshape(n) && in_memory_[at(n)]) {
        in_memory_[at(node(n).operands[0])] = true;
        if (owner_[at(n)] == kNobody) continue;  // a view only
      } else {
        const NodeId owner = owner_[at(n)];
        atom_[at(n)] = in_memory_[at(n)] || root_kind(node(n)) || !computed_where_read(n);
        if (!atom_[at(n)] && owner >= 0) {
          severed_[at(n)] = atom_[at(n)] = is_enough(bodies[owner], owner, n);
          ++bodies[owner].ops;
          bodies[owner].cost += cost::op_cost(node(n));
        }
        if (atom_[at(n)] && assemble(n)) continue;
      }
      offer_operands(n);
    }
  }

  /// What is computed inside an atom.
  struct Body {
    int ops = 0;
    double cost = 0;
  };

  /// True if the atom's kernel reads n, which only it needs, from memory (rule 12).
  bool is_enough(const Body& body, NodeId atom, NodeId n) const {
    if (cost::is_view(node(n)) || body.ops < cost::kLongBody) return false;
    if (body.ops >= cost::kMaxBody) return true;
    if (root_kind(node(atom)) || node(n).type != node(atom).type || !node(n).type.shape.is_static()) return false;
    const bool pays = body.cost >= cost::kCutsWorth * cost::cut_cost(node(n).type) || body.ops >= cost::kVeryLongBody;
    return pays && is_alike(n, atom, kDepthCompared);
  }

  /// True if two values are computed in the same way from operands so many levels above them.
  bool is_alike(NodeId a, NodeId b, int levels) const {
    count_visits();
    const Node &x = node(a), &y = node(b);
    if (a == b || levels == 0) return true;
    if (x.op == nullptr || x.op != y.op || x.type != y.type || x.attrs != y.attrs || x.operands.size() != y.operands.size()) return false;
    for (std::size_t i = 0; i < x.operands.size(); ++i) {
      if (!is_alike(x.operands[i], y.operands[i], levels - 1)) return false;
    }
    return true;
  }

  /// Makes a concat a view whose operands are written in place, if each of them can be: it is computed here, and has no place yet.
  bool assemble(NodeId n) {
    if (!is_contiguous_concat(graph_, n) || cost::elements(node(n).type.shape) <= static_cast<double>(cost::kSmall)) return false;
    std::set<NodeId> parts;
    for (NodeId operand : node(n).operands) {
      const NodeId part = storage_.base(operand);
      const bool fits = !is_given(part) && !storage_.is_slice(operand) && !handed_out_[at(part)] && !placed_[at(part)];
      if (!fits || !parts.insert(part).second) return false;
    }
    for (NodeId part : parts) placed_[at(part)] = true;
    for (NodeId operand : node(n).operands) in_memory_[at(operand)] = true;
    storage_.add_view(n);
    atom_[at(n)] = false;
    return true;
  }

  bool computed_where_read(NodeId n) const {
    if (cost::is_view(node(n))) return true;
    if (in_epilogue(n) && !continued_[at(n)]) return false;
    if (owner_[at(n)] >= 0 && evaluations_[at(n)] <= 1) return true;
    return is_cheap(n) && follows_[at(n)] == kNobody;
  }

  void offer_operands(NodeId n) {
    const bool is_atom = atom_[at(n)];
    const NodeId owner = is_atom ? n : owner_[at(n)];
    const double evaluations = is_atom ? 1 : evaluations_[at(n)];
    const bool needs_memory = is_atom && root_kind(node(n)) == FusionKind::contract;
    for (std::size_t i = 0; i < node(n).operands.size(); ++i) {
      const NodeId operand = node(n).operands[i];
      if (needs_memory) in_memory_[at(operand)] = true;
      NodeId& known = owner_[at(operand)];
      known = known == kNobody || known == owner ? owner : kSeveral;
      double& total = evaluations_[at(operand)];
      if (cost::keeps_index(graph_, node(n)))
        total = std::max(total, evaluations);
      else
        total += evaluations * cost::reads_per_element(graph_, node(n), static_cast<int>(i));
    }
  }

  // ---- closures ----

  /// Constants of one value are written into kernels; only contractions read them from memory.
  bool is_leaf(NodeId reader, NodeId base) const {
    if (is_scalar_constant(node(base))) return root_kind(node(reader)) == FusionKind::contract;
    return is_given(base) || atom_[at(base)] || storage_.is_assembled(base);
  }

  /// The last group that writes into a value in memory; -1 for parameters and constants, and where a group is still missing.
  int last_writer(NodeId base) const {
    int last = -1;
    storage_.for_each_part(base, [&](NodeId part) { last = std::max(last, group_of_[at(part)]); });
    return last;
  }

  Closure closure(NodeId atom) const {
    Closure result;
    std::set<NodeId, std::greater<>> open{atom};
    std::set<NodeId> moved;  // read at another index than the atom's
    std::unordered_map<NodeId, Leaf> leaves;
    while (!open.empty()) {
      const NodeId n = *open.begin();
      count_visits();
      open.erase(open.begin());
      result.nodes.push_back(n);
      const bool moves = moved.count(n) != 0 || !cost::keeps_index(graph_, node(n));
      for (NodeId operand : node(n).operands) {
        const NodeId base = storage_.base(operand);
        if (is_leaf(n, base)) {
          Leaf& leaf = leaves.try_emplace(operand, Leaf{operand, base, true}).first->second;
          const bool elsewhere = storage_.is_slice(operand) || storage_.is_assembled(base) || shape_of(operand) != shape_of(base);
          if (moves || elsewhere) leaf.same_index = false;
          continue;
        }
        open.insert(operand);
        if (moves) moved.insert(operand);
      }
    }
    std::reverse(result.nodes.begin(), result.nodes.end());
    for (const auto& [view, leaf] : leaves) result.leaves.push_back(leaf);
    std::sort(result.leaves.begin(), result.leaves.end(), [](const Leaf& a, const Leaf& b) { return a.view < b.view; });
    return result;
  }

  /// For each contraction: whether the state updates that follow from it, all together, suit its epilogue.
  void find_updates() {
    const std::vector<bool> followed = followed_by_updates();
    std::unordered_map<NodeId, std::set<NodeId>> origins;  // contractions that an atom follows from at the same index
    std::unordered_map<NodeId, std::set<NodeId>> streams;
    for (NodeId n = 0; n < size(); ++n) {
      if (!followed[at(n)]) continue;
      for (const Leaf& leaf : closures_.at(n).leaves) {
        if (!leaf.same_index || !atom_[at(leaf.base)]) continue;
        if (root_kind(node(leaf.base)) == FusionKind::contract) origins[n].insert(leaf.base);
        const auto more = origins.find(leaf.base);
        if (more == origins.end()) continue;
        count_visits(more->second.size());
        origins[n].insert(more->second.begin(), more->second.end());
      }
      if (!updates_state_[at(n)]) continue;
      for (NodeId root : origins[n]) {
        streams[root].insert(n);
        for (const Leaf& leaf : closures_.at(n).leaves) {
          if (leaf.base != root && shape_of(leaf.view) == shape_of(n)) streams[root].insert(leaf.base);
        }
      }
    }
    for (const auto& [root, tensors] : streams) {
      if (static_cast<int>(tensors.size()) > cost::kMaxEpilogueStreams) heavy_updates_.insert(root);
    }
  }

  /// Atoms other than roots that a state update follows from at the same index, and the updates themselves.
  std::vector<bool> followed_by_updates() const {
    std::vector<bool> followed(count(), false);
    for (NodeId n = size(); n-- > 0;) {
      if (!atom_[at(n)] || root_kind(node(n))) {
        followed[at(n)] = false;
        continue;
      }
      if (updates_state_[at(n)]) followed[at(n)] = true;
      if (!followed[at(n)]) continue;
      for (const Leaf& leaf : closures_.at(n).leaves) {
        if (leaf.same_index) followed[at(leaf.base)] = true;
      }
    }
    return followed;
  }

  // ---- 3. groups ----

  void place(NodeId atom) {
    const Closure& c = closures_.at(atom);
    int earliest = 0;
    for (const Leaf& leaf : c.leaves) {
      earliest = std::max(earliest, last_writer(leaf.base) + (leaf.same_index && !severed_[at(leaf.base)] ? 0 : 1));
    }
    if (!root_kind(node(atom))) {
      if (join_producer(atom, c, earliest) || join_sibling(atom, c, earliest)) return;
    }
    Group g;
    g.kind = root_kind(node(atom)).value_or(FusionKind::loop);
    if (g.kind != FusionKind::loop) g.root = atom;
    g.shape = shape_of(atom);
    groups_.push_back(std::move(g));
    add(atom, c, static_cast<int>(groups_.size()) - 1);
  }

  bool is_early(NodeId atom) const {
    if (shape_of(atom).rank() != 0 || root_kind(node(atom))) return false;
    const std::vector<Leaf>& leaves = closures_.at(atom).leaves;
    return std::all_of(leaves.begin(), leaves.end(), [&](const Leaf& l) {
      bool made = true;
      storage_.for_each_part(l.base, [&](NodeId part) { made &= !atom_[at(part)] || group_of_[at(part)] >= 0; });
      return made;
    });
  }

  /// Into the group of a value that the atom reads at its own index.
  bool join_producer(NodeId atom, const Closure& c, int earliest) {
    for (const Leaf& leaf : c.leaves) {
      const int g = group_of_[at(leaf.base)];
      if (leaf.same_index && g == earliest && g >= 0 && may_join(atom, c, groups_[static_cast<std::size_t>(g)])) {
        add(atom, c, g);
        return true;
      }
    }
    return false;
  }

  /// Into a loop over the same elements that reads one of the atom's tensors too, or into any if they are few.
  bool join_sibling(NodeId atom, const Closure& c, int earliest) {
    const Shape shape = shape_of(atom);
    std::vector<int> candidates;
    for (const Leaf& leaf : c.leaves) {
      const auto readers = readers_.find(leaf.base);
      const bool large = cost::elements(node(leaf.view).type.shape) >= cost::elements(node(atom).type.shape);
      if (!large || readers == readers_.end()) continue;
      const auto recent = std::min<std::ptrdiff_t>(kReadersTried, std::ssize(readers->second));
      candidates.insert(candidates.end(), readers->second.end() - recent, readers->second.end());
    }
    const auto small = small_.find(shape.str());
    if (small != small_.end()) candidates.push_back(small->second);
    for (int g : candidates) {
      if (g < earliest || groups_[static_cast<std::size_t>(g)].kind != FusionKind::loop) continue;
      if (!may_join(atom, c, groups_[static_cast<std::size_t>(g)])) continue;
      add(atom, c, g);
      return true;
    }
    return false;
  }

  bool may_join(NodeId atom, const Closure& c, const Group& g) const {
    if (g.kind == FusionKind::scatter || g.shape != shape_of(atom)) return false;
    count_visits(c.nodes.size());
    const auto new_nodes = std::count_if(c.nodes.begin(), c.nodes.end(), [&](NodeId n) { return g.nodes.count(n) == 0; });
    if (static_cast<int>(g.nodes.size()) + new_nodes > cost::kMaxBody) return false;
    const auto new_inputs = std::count_if(c.leaves.begin(), c.leaves.end(), [&](const Leaf& l) { return g.inputs.count(l.view) == 0; });
    if (static_cast<int>(g.inputs.size() + g.atoms.size() + 1) + new_inputs > cost::kMaxArguments) return false;
    return g.kind != FusionKind::contract || may_join_epilogue(atom, c, g);
  }

  bool may_join_epilogue(NodeId atom, const Closure& c, const Group& g) const {
    if (updates_state_[at(atom)] && heavy_updates_.count(g.root) != 0) return false;
    const bool reshaped =
        std::any_of(c.leaves.begin(), c.leaves.end(), [&](const Leaf& l) { return l.view != l.base && g.nodes.count(l.base) != 0; });
    if (reshaped || node(atom).type.shape != node(g.root).type.shape) return false;
    std::set<NodeId> streams(g.atoms.begin(), g.atoms.end());
    streams.insert(atom);
    streams.erase(g.root);
    const auto add_full = [&](NodeId view) {
      if (shape_of(view) == g.shape && view != g.root) streams.insert(view);
    };
    for (NodeId view : g.inputs) {
      if (view != node(g.root).operands[0] && view != node(g.root).operands[1]) add_full(view);
    }
    for (const Leaf& leaf : c.leaves) add_full(leaf.view);
    return static_cast<int>(streams.size()) <= cost::kMaxEpilogueStreams && is_epilogue(graph_, g.root, c.nodes);
  }

  void add(NodeId atom, const Closure& c, int index) {
    Group& g = groups_[static_cast<std::size_t>(index)];
    count_visits(c.nodes.size());
    g.atoms.push_back(atom);
    g.nodes.insert(c.nodes.begin(), c.nodes.end());
    for (const Leaf& leaf : c.leaves) {
      if (group_of_[at(leaf.base)] == index) {
        for (NodeId view = leaf.view; view != leaf.base; view = node(view).operands[0]) g.nodes.insert(view);
        continue;
      }
      g.inputs.insert(leaf.view);
      std::vector<int>& readers = readers_[leaf.base];
      if (g.kind == FusionKind::loop && (readers.empty() || readers.back() != index)) readers.push_back(index);
    }
    group_of_[at(atom)] = index;
    if (g.kind == FusionKind::loop && cost::elements(g.shape) <= static_cast<double>(cost::kSmall) && g.shape.is_static())
      small_[g.shape.str()] = index;
  }

  // ---- result ----

  std::vector<Fusion> emit() {
    std::vector<bool> output(count(), false);
    const auto needed = [&](NodeId n) { storage_.for_each_part(storage_.base(n), [&](NodeId part) { output[at(part)] = true; }); };
    for (NodeId n : graph_.results()) needed(n);
    for (const graph::StateWrite& w : graph_.state_writes()) needed(w.value);
    for (const Group& g : groups_) {
      for (NodeId view : g.inputs) needed(view);
    }
    std::vector<Fusion> fusions;
    for (const Group& g : groups_) {
      Fusion f{.kind = g.kind, .nodes{g.nodes.begin(), g.nodes.end()}, .inputs{g.inputs.begin(), g.inputs.end()}, .root = g.root};
      for (NodeId atom : g.atoms) {
        if (output[at(atom)]) f.outputs.push_back(atom);
      }
      std::sort(f.outputs.begin(), f.outputs.end());
      fusions.push_back(std::move(f));
    }
    return fusions;
  }

  const graph::Graph& graph_;
  Storage storage_;
  std::vector<int> uses_;
  std::vector<bool> in_memory_;   ///< must be an atom
  std::vector<bool> handed_out_;  ///< the caller gets its memory
  std::vector<bool> placed_;      ///< written into a concat's memory
  std::vector<Estimate> cost_;
  std::vector<NodeId> latest_;
  std::vector<NodeId> follows_;  ///< the root that the node follows (rule 5), or kNobody
  std::vector<bool> continued_;  ///< by a node that follows the same root
  std::vector<bool> atom_;
  std::vector<bool> severed_;        ///< an atom only because its reader's kernel is long enough
  std::vector<NodeId> owner_;        ///< the only atom that needs the node, or kSeveral
  std::vector<double> evaluations_;  ///< of the node's expression for each of its elements, if it were no atom
  std::vector<int> group_of_;
  std::vector<bool> updates_state_;
  std::unordered_map<NodeId, Closure> closures_;
  std::set<NodeId> heavy_updates_;  ///< contractions whose state updates are kernels of their own
  std::vector<Group> groups_;
  std::unordered_map<NodeId, std::vector<int>> readers_;  ///< loop groups that read a value in memory
  std::unordered_map<std::string, int> small_;            ///< the last small loop group of a shape
};

constexpr std::string_view kKindNames[] = {"loop", "reduce", "row", "contract", "scatter"};

}  // namespace

std::string_view name(FusionKind kind) { return kKindNames[static_cast<int>(kind)]; }

FusionKind fusion_kind(std::string_view text) {
  const auto* found = std::find(std::begin(kKindNames), std::end(kKindNames), text);
  KILN_ASSERT(found != std::end(kKindNames), "no fusion is of kind {}", text);
  return static_cast<FusionKind>(found - std::begin(kKindNames));
}

std::optional<FusionKind> root_kind(const Node& n) {
  if (n.op == nullptr || n.op->kind == ops::OpKind::elementwise) return std::nullopt;
  if (n.op->name == "contract") return FusionKind::contract;
  if (n.op->name == "reduce" || n.op->name == "arg_reduce") return FusionKind::reduce;
  if (n.op->name == "scatter_add") return FusionKind::scatter;
  return std::nullopt;
}

bool is_scalar_constant(const Node& node) {
  if (node.op == nullptr || node.op->name != "constant") return false;
  const Literal& value = node.attrs.get<Literal>("value");
  return value.splat || (value.bytes->size() == size_of(value.type.dtype));
}

bool is_plan_constant(const Node& node) {
  if (node.op == nullptr || node.op->name != "constant") return false;
  if (!is_scalar_constant(node)) return true;
  return static_cast<std::size_t>(node.type.shape.count()) * size_of(node.type.dtype) <= kLargestPlanConstant;
}

bool is_fallible(const Node& node) {
  if (node.op == nullptr || !node.op->traits.fallible) return false;
  return node.op->kind != ops::OpKind::elementwise || is_integer(node.type.dtype);
}

FusedGraph divide(graph::Graph graph) {
  Divider divider(graph);
  std::vector<Fusion> fusions = divider.run();
  std::vector<NodeId> views = divider.views();
  return {std::move(graph), std::move(fusions), std::move(views)};
}

FusedGraph fuse(const graph::Graph& graph) { return fuse_rows(divide(fold_into_contractions(reuse_clamped(graph)))); }

}  // namespace kiln::passes
