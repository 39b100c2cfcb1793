// Fused graph to plan: kernels, order, memory, arguments.
#include "passes/build_plan.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/require.h"
#include "passes/build_plan_contraction.h"
#include "passes/build_plan_dims.h"
#include "passes/build_plan_order.h"
#include "passes/build_plan_origin.h"
#include "passes/cost_model.h"
#include "passes/kernel_spec.h"
#include "passes/plan_memory.h"
#include "passes/storage.h"

namespace kiln::passes {
namespace {

using graph::NodeId;
using runtime::ArgRef;
using runtime::DimId;
using runtime::Launch;
using runtime::Plan;
using runtime::PlanOutput;

class PlanBuilder {
 public:
  PlanBuilder(const FusedGraph& fused, Numerics numerics, const graph::Graph* captured)
      : graph_(fused.graph),
        fusions_(fused.fusions),
        storage_(graph_, fused.views),
        numerics_(numerics),
        dims_(graph_, plan_),
        order_(static_cast<int>(fusions_.size())),
        origin_(graph_, captured != nullptr ? *captured : graph_),
        launch_of_(graph_.nodes().size(), -1) {}

  Plan run() {
    plan_.name = graph_.name();
    build_kernels();
    find_homes();
    add_data_edges();
    add_outputs();
    choose_in_place();
    hurry_small_writers();
    sequence_ = order_.order();
    plan_arena();
    for (int f : sequence_) add_launch(f);
    return std::move(plan_);
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  NodeId base(NodeId n) const { return storage_.base(n); }
  bool is_parameter(NodeId n) const { return graph_.node(n).op == nullptr; }
  const std::optional<BuiltKernel>& kernel(int fusion) const { return kernels_[at(fusion)]; }

  void build_kernels() {
    std::unordered_map<std::string, int> known;
    for (std::size_t f = 0; f < fusions_.size(); ++f) {
      kernels_.push_back(build_kernel(graph_, fusions_[f], numerics_));
      kernel_index_.push_back(-1);
      for (NodeId n : fusions_[f].outputs) launch_of_[at(n)] = static_cast<int>(f);
      if (!kernels_.back()) continue;
      const auto [entry, fresh] = known.try_emplace(kernels_.back()->spec.serialize(), static_cast<int>(plan_.kernels.size()));
      if (fresh) plan_.kernels.push_back(kernels_.back()->spec);
      kernel_index_.back() = entry->second;
    }
  }

  /// Operands of assembled concats live in the concat's memory.
  void find_homes() {
    for (NodeId n : storage_.views()) {
      if (!storage_.is_assembled(n)) continue;
      Dim begin = 0;
      for (NodeId operand : graph_.node(n).operands) {
        home_[base(operand)] = {n, begin};
        begin = begin + bytes_of(operand);
      }
    }
  }

  /// The value in whose memory `n` lies: itself, or the outermost concat that it is written into.
  NodeId home(NodeId n) const {
    for (auto found = home_.find(n); found != home_.end(); found = home_.find(n)) n = found->second.concat;
    return n;
  }

  void add_data_edges() {
    for (std::size_t f = 0; f < fusions_.size(); ++f) {
      for (NodeId view : fusions_[f].inputs) {
        std::vector<int>& readers = readers_[home(base(view))];
        if (readers.empty() || readers.back() != static_cast<int>(f)) readers.push_back(static_cast<int>(f));
        storage_.for_each_part(base(view), [&](NodeId part) {
          if (launch_of_[at(part)] >= 0) order_.add(launch_of_[at(part)], static_cast<int>(f));
        });
      }
    }
  }

  // ---- outputs ----

  void add_outputs() {
    plan_.num_results = static_cast<std::int32_t>(graph_.results().size());
    for (NodeId n : graph_.results()) add_output(n, -1);
    for (const graph::StateWrite& w : graph_.state_writes()) add_output(w.value, w.parameter);
  }

  void add_output(NodeId node, int state_input) {
    const NodeId n = base(node);
    const TensorType& type = graph_.node(node).type;
    PlanOutput out{.type = {type.dtype, dims_.ids(type.shape)}, .state_input = state_input};
    const auto earlier = output_of_.find(n);
    if (is_parameter(n)) {
      out.source = PlanOutput::Source::input;
      out.index = n;
      handed_out_.push_back(n);
    } else if (launch_of_[at(n)] < 0 && !storage_.is_assembled(n)) {
      out.source = PlanOutput::Source::constant;
      out.index = constant(n);
    } else if (earlier != output_of_.end()) {
      out.source = PlanOutput::Source::output;
      out.index = earlier->second;
    } else {
      output_of_[n] = static_cast<int>(plan_.outputs.size());
    }
    plan_.outputs.push_back(out);
  }

  int constant(NodeId n) {
    const auto [entry, fresh] = constant_of_.try_emplace(n, static_cast<int>(plan_.constants.size()));
    if (fresh) plan_.constants.push_back(expanded(graph_.node(n).attrs.get<Literal>("value")));
    return entry->second;
  }

  /// A splat written out: kernels read plan constants like any tensor.
  static Literal expanded(Literal value) {
    if (!value.splat) return value;
    auto bytes = std::make_shared<std::vector<std::byte>>();
    for (std::int64_t i = 0; i < value.type.shape.count(); ++i) bytes->insert(bytes->end(), value.bytes->begin(), value.bytes->end());
    value.bytes = std::move(bytes);
    value.splat = false;
    return value;
  }

  // ---- variables in place ----

  void choose_in_place() {
    find_checked_indices();
    std::vector<int> fallible;
    for (std::size_t f = 0; f < fusions_.size(); ++f) {
      const auto& nodes = fusions_[f].nodes;
      if (std::any_of(nodes.begin(), nodes.end(), [&](NodeId n) { return is_fallible(graph_.node(n)) && !is_checked(n); }))
        fallible.push_back(static_cast<int>(f));
    }
    for (const auto& [node, output] : output_of_) {
      PlanOutput& out = plan_.outputs[at(output)];
      if (out.state_input < 0) continue;
      const int launch = launch_of_[at(node)];
      if (launch < 0) continue;  // several launches write it
      const NodeId variable = out.state_input;
      if (std::find(handed_out_.begin(), handed_out_.end(), variable) != handed_out_.end()) continue;
      if (!may_overwrite(launch, node, variable)) continue;
      if (std::find(fallible.begin(), fallible.end(), launch) != fallible.end()) continue;
      std::vector<int> first = fallible;
      const auto readers = readers_.find(variable);
      if (readers != readers_.end()) first.insert(first.end(), readers->second.begin(), readers->second.end());
      out.in_place = order_.try_hold_back(launch, first);
    }
  }

  /// The length of the axis that a gather or scatter_add indexes.
  Dim indexed_axis(const graph::Node& n) const {
    return graph_.node(n.operands[0]).type.shape[static_cast<int>(n.attrs.get<std::int64_t>("axis"))];
  }

  /// Indices all of which some launch looks up in a tensor.
  void find_checked_indices() {
    for (const Fusion& f : fusions_) {
      const auto reads_all = [&](NodeId id) {
        const graph::Node& n = graph_.node(id);
        if (n.op->kind == ops::OpKind::elementwise || cost::is_view(n)) return true;
        return n.op->name == "cast" || n.op->name == "transpose" || n.op->name == "reduce" ||
               (n.op->name == "gather" && !std::binary_search(f.nodes.begin(), f.nodes.end(), n.operands[0]));
      };
      if (!std::all_of(f.nodes.begin(), f.nodes.end(), reads_all)) continue;
      for (NodeId n : f.nodes) {
        if (graph_.node(n).op->name == "gather") checked_indices_.emplace(graph_.node(n).operands[1], indexed_axis(graph_.node(n)).bits());
      }
    }
  }

  /// A gather or scatter by numbers that count up to the axis's length; a scatter that cannot fail once a gather by the same indices has
  /// not: the gradient of an embedding.
  bool is_checked(NodeId id) const {
    const graph::Node& n = graph_.node(id);
    if (n.op->name != "gather" && n.op->name != "scatter_add") return false;
    const graph::Node* index = &graph_.node(n.operands[1]);
    while (index->op != nullptr && index->op->name == "cast" && size_of(index->type.dtype) >= 4) index = &graph_.node(index->operands[0]);
    if (index->op != nullptr && index->op->name == "iota") {
      const Dim count = index->type.shape[static_cast<int>(index->attrs.get<std::int64_t>("axis"))];
      return count.is_constant() && indexed_axis(n).is_constant() && count.bits() <= indexed_axis(n).bits();
    }
    return n.op->name == "scatter_add" && checked_indices_.count({n.operands[1], indexed_axis(n).bits()}) != 0;
  }

  // ---- order ----

  /// Launches that leave little in the arena run as soon as they can: what they read is still in cache, and its memory is free sooner.
  /// Scalars made for them are never what they wait for.
  void hurry_small_writers() {
    constexpr double kLittle = 0.25;
    const auto bytes = [&](NodeId n) {
      const TensorType& type = graph_.node(n).type;
      return in_arena(n) ? cost::elements(type.shape) * static_cast<double>(size_of(type.dtype)) : 0;
    };
    for (std::size_t f = 0; f < fusions_.size(); ++f) {
      double read = 0, written = 0;
      for (NodeId n : fusions_[f].inputs) read += bytes(base(n));
      for (NodeId n : fusions_[f].outputs) written += bytes(n);
      const bool scalar = std::all_of(fusions_[f].outputs.begin(), fusions_[f].outputs.end(),
                                      [&](NodeId n) { return cost::squeezed(graph_.node(n).type.shape).rank() == 0; });
      if (written < kLittle * read || scalar) order_.hurry(static_cast<int>(f));
    }
  }

  /// True if the launch reads `input`, if at all, only at the index at which it writes `output`.
  bool may_overwrite(int launch, NodeId output, NodeId input) const {
    const Fusion& fusion = fusions_[at(launch)];
    const auto reads_part = [&](NodeId view) { return base(view) == input && storage_.is_slice(view); };
    if (std::any_of(fusion.inputs.begin(), fusion.inputs.end(), reads_part)) return false;
    const bool contracts = fusion.kind == FusionKind::contract;
    if (contracts) {
      for (NodeId operand : graph_.node(fusion.root).operands) {
        if (base(operand) == input) return false;
      }
    }
    if (!kernel(launch)) return true;
    const BuiltKernel& k = *kernel(launch);
    const auto found = std::find(k.outputs.begin(), k.outputs.end(), output);
    const auto o = static_cast<std::int32_t>(found - k.outputs.begin());
    for (std::size_t i = 0; i < k.inputs.size(); ++i) {
      if (base(k.inputs[i]) != input) continue;
      const std::pair<std::int32_t, std::int32_t> pair(o, static_cast<std::int32_t>(i));
      if (std::find(k.spec.aliases.begin(), k.spec.aliases.end(), pair) == k.spec.aliases.end()) return false;
    }
    return true;
  }

  // ---- arena ----

  static constexpr int kNever = -1;

  bool in_arena(NodeId n) const { return launch_of_[at(n)] >= 0 && output_of_.count(n) == 0; }

  Dim bytes_of(NodeId n) const {
    const TensorType& type = graph_.node(n).type;
    return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
  }

  void plan_arena() {
    std::vector<int> position(fusions_.size());
    for (std::size_t i = 0; i < sequence_.size(); ++i) position[at(sequence_[i])] = static_cast<int>(i);
    for (const auto& [node, readers] : readers_) {
      for (int f : readers) last_read_[node] = std::max(last_read_.try_emplace(node, kNever).first->second, position[at(f)]);
    }
    for (std::size_t i = 0; i < sequence_.size(); ++i) place_outputs(sequence_[i], static_cast<int>(i));
    const MemoryLayout layout = plan_memory(blocks_);
    for (std::size_t b = 0; b < blocks_.size(); ++b) plan_.arena.push_back({dims_.id(layout.offsets[b]), dims_.id(blocks_[b].bytes)});
    if (!blocks_.empty()) plan_.arena_bytes = dims_.id(layout.total);
  }

  void place_outputs(int fusion, int now) {
    std::vector<NodeId> taken;  // blocks of inputs that this launch overwrites
    if (fusions_[at(fusion)].kind == FusionKind::contract) place_product(fusion, now);
    for (NodeId n : fusions_[at(fusion)].outputs) {
      if (home(n) != n) {
        place_home(home(n), now);
        continue;
      }
      if (!in_arena(n) || block_of_.count(n) != 0) continue;
      const int last = std::max(now, last_read(n));
      const NodeId input = dying_input(fusion, n, now, taken);
      if (input >= 0) {
        taken.push_back(input);
        block_of_[n] = block_of_.at(input);
        blocks_[at(block_of_[n])].last = last;
      } else {
        block_of_[n] = new_block(bytes_of(n), now, last);
      }
    }
  }

  /// Memory for a concat, when the first of its parts is written.
  void place_home(NodeId concat, int now) {
    if (output_of_.count(concat) != 0 || block_of_.count(concat) != 0) return;
    block_of_[concat] = new_block(bytes_of(concat), now, std::max(now, last_read(concat)));
  }

  int last_read(NodeId n) const {
    const auto found = last_read_.find(n);
    return found == last_read_.end() ? kNever : found->second;
  }

  int new_block(Dim bytes, int first, int last) {
    blocks_.push_back({bytes, first, last});
    return static_cast<int>(blocks_.size()) - 1;
  }

  /// An intermediate of the same size that this launch is the last to read, and only where it writes `output`; -1 if there is none.
  NodeId dying_input(int fusion, NodeId output, int now, const std::vector<NodeId>& taken) const {
    if (!kernel(fusion)) return -1;
    for (NodeId view : kernel(fusion)->inputs) {
      const NodeId n = base(view);
      if (!in_arena(n) || home(n) != n || launch_of_[at(n)] == fusion || last_read(n) != now || bytes_of(n) != bytes_of(output)) continue;
      if (std::find(taken.begin(), taken.end(), n) != taken.end()) continue;
      if (may_overwrite(fusion, output, n) && reads_same_index(fusion, n)) return n;
    }
    return -1;
  }

  bool reads_same_index(int fusion, NodeId input) const {
    const BuiltKernel& k = *kernel(fusion);
    for (std::size_t i = 0; i < k.inputs.size(); ++i) {
      if (base(k.inputs[i]) != input) continue;
      const bool any = std::any_of(k.spec.aliases.begin(), k.spec.aliases.end(), [&](const auto& pair) { return at(pair.second) == i; });
      if (!any) return false;
    }
    return true;
  }

  /// The product of a contraction with an epilogue that nobody else reads lives in the memory of an output that the epilogue writes over
  /// it, else in scratch memory.
  void place_product(int fusion, int now) {
    const NodeId root = fusions_[at(fusion)].root;
    if (launch_of_[at(root)] >= 0) return;
    for (NodeId n : kernel(fusion)->outputs) {
      const bool fresh = in_arena(n) || !plan_.outputs[at(output_of_.at(n))].in_place;
      if (!fresh || bytes_of(n) != bytes_of(root) || !may_overwrite(fusion, n, root)) continue;
      if (in_arena(n) && home(n) == n) block_of_[n] = new_block(bytes_of(n), now, std::max(now, last_read(n)));
      product_in_[root] = n;
      return;
    }
    block_of_[root] = new_block(bytes_of(root), now, now);
  }

  // ---- launches ----

  ArgRef where(NodeId view) {
    const NodeId n = base(view);
    const auto product = product_in_.find(n);
    if (product != product_in_.end()) return where(product->second);
    if (!storage_.is_slice(view) && home(n) == n) return memory_of(n);
    Dim offset = storage_.offset(view) * static_cast<std::int64_t>(size_of(graph_.node(n).type.dtype));
    for (auto found = home_.find(n); found != home_.end(); found = home_.find(found->second.concat)) offset = offset + found->second.begin;
    return part(memory_of(home(n)), offset, bytes_of(view));
  }

  ArgRef part(ArgRef whole, Dim offset, Dim bytes) {
    const auto key = std::tuple(whole.where, whole.index, offset.bits(), bytes.bits());
    const auto [entry, fresh] = view_of_.try_emplace(key, static_cast<int>(plan_.views.size()));
    if (fresh) plan_.views.push_back({whole, dims_.id(offset), dims_.id(bytes)});
    return {ArgRef::Where::view, entry->second};
  }

  ArgRef memory_of(NodeId n) {
    if (is_parameter(n)) return {ArgRef::Where::input, n};
    const auto block = block_of_.find(n);
    if (block != block_of_.end()) return {ArgRef::Where::arena, block->second};
    const auto output = output_of_.find(n);
    if (output != output_of_.end()) return {ArgRef::Where::output, output->second};
    return {ArgRef::Where::constant, constant(n)};
  }

  void add_launch(int f) {
    const Fusion& fusion = fusions_[at(f)];
    Launch launch{.kernel = kernel_index_[at(f)], .first_ordinal = static_cast<std::int32_t>(plan_.op_nodes.size())};
    if (kernel(f)) {
      for (NodeId n : kernel(f)->inputs) launch.args.push_back(where(n));
      for (NodeId n : kernel(f)->outputs) launch.args.push_back(where(n));
      for (Dim d : kernel(f)->dims) launch.dims.push_back(dims_.id(d));
      for (NodeId n : kernel(f)->ops) plan_.op_nodes.emplace_back(graph_.node(n).op->name, origin_.of(n));
    }
    if (fusion.kind == FusionKind::contract) {
      const graph::Node& root = graph_.node(fusion.root);
      launch.kind = Launch::Kind::contraction;
      launch.contraction = plan_contraction(graph_, root, dims_);
      launch.contraction.relaxed = numerics_ != Numerics::strict && launch.contraction.dtype == DType::bfloat16;
      launch.lhs = where(root.operands[0]);
      launch.rhs = where(root.operands[1]);
      launch.out = where(fusion.root);
      plan_.op_nodes.emplace_back(root.op->name, origin_.of(fusion.root));
    }
    plan_.launches.push_back(std::move(launch));
  }

  const graph::Graph& graph_;
  const std::vector<Fusion>& fusions_;
  const Storage storage_;
  Numerics numerics_;
  Plan plan_;
  DimProgram dims_;
  LaunchOrder order_;
  std::set<std::pair<NodeId, std::int64_t>> checked_indices_;  ///< and the length that they index
  Origin origin_;
  std::vector<std::optional<BuiltKernel>> kernels_;  ///< by fusion
  std::vector<int> kernel_index_;                    ///< by fusion, into Plan::kernels
  std::vector<int> launch_of_;                       ///< the fusion that puts a node into memory
  std::map<NodeId, std::vector<int>> readers_;       ///< fusions that read a node's memory
  std::map<NodeId, int> output_of_;                  ///< plan outputs with memory of their own
  std::vector<NodeId> handed_out_;                   ///< parameters whose memory an output shares
  std::map<NodeId, int> constant_of_;
  std::vector<int> sequence_;        ///< fusions in launch order
  std::map<NodeId, int> last_read_;  ///< position in the sequence
  std::vector<MemoryBlock> blocks_;
  std::map<NodeId, int> block_of_;
  std::map<NodeId, NodeId> product_in_;  ///< products that lie in an output's memory
  struct Home {
    NodeId concat;
    Dim begin;  ///< bytes
  };
  std::unordered_map<NodeId, Home> home_;  ///< operands of assembled concats
  std::map<std::tuple<ArgRef::Where, std::int32_t, std::int64_t, std::int64_t>, int> view_of_;
};

}  // namespace

Plan build_plan(const FusedGraph& fused, Numerics numerics, const graph::Graph* captured) {
  return PlanBuilder(fused, numerics, captured).run();
}

}  // namespace kiln::passes
