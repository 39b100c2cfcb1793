// KernelSpecs of fusions: body in canonical order, collapsed axes, table of lengths.
#include "passes/kernel_spec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <unordered_map>

#include "base/require.h"
#include "ops/build.h"
#include "ops/contract.h"
#include "passes/cost_model.h"
#include "passes/kernel_spec_axes.h"
#include "passes/kernel_spec_collapse.h"

namespace kiln::passes {
namespace {

using graph::NodeId;
using runtime::BodyNode;
using runtime::KernelKind;
using runtime::KernelSpec;

/// Reduced lengths up to this are written into the kernel, so that its loops unroll; the length of rows always is.
constexpr std::int64_t kUnrolledLength = 16;

KernelKind kernel_kind(FusionKind kind) {
  switch (kind) {
    case FusionKind::reduce:
      return KernelKind::reduce;
    case FusionKind::row:
      return KernelKind::row;
    case FusionKind::scatter:
      return KernelKind::scatter;
    case FusionKind::contract:
      return KernelKind::tile;
    case FusionKind::loop:
      break;
  }
  return KernelKind::loop;
}

class SpecBuilder {
 public:
  SpecBuilder(const graph::Graph& graph, const Fusion& fusion, Numerics numerics) : graph_(graph), fusion_(fusion) {
    kernel_.spec.numerics = numerics;
    kernel_.spec.kind = kernel_kind(fusion.kind);
    for (NodeId n : fusion.nodes) draft_of_[n] = kMember;
    if (is_tile()) draft_of_[fusion.root] = kNotMember;
  }

  std::optional<BuiltKernel> run() {
    for (NodeId n : fusion_.outputs) {
      if (!(is_tile() && n == fusion_.root)) kernel_.outputs.push_back(n);
    }
    if (kernel_.outputs.empty()) return std::nullopt;
    for (NodeId n : kernel_.outputs) visit(n);
    inputs_first();
    collapse();
    drop_unused();
    align_outputs();
    write_body();
    find_aliases();
    return std::move(kernel_);
  }

 private:
  static constexpr int kMember = -1, kNotMember = -2;
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  bool is_tile() const { return fusion_.kind == FusionKind::contract; }

  /// The draft of a node, made after those of its operands.
  int visit(NodeId id) {
    const auto found = draft_of_.find(id);
    if (found != draft_of_.end() && found->second >= 0) return found->second;
    const graph::Node& n = graph_.node(id);
    DraftNode draft{.type = n.type, .node = id};
    if (is_scalar_constant(n) && !is_reciprocal_of_length(n)) return draft_of_[id] = add_constant(n, id);
    if (found != draft_of_.end() && found->second == kMember && !is_scalar_constant(n)) {
      draft.op = n.op;
      draft.attrs = n.attrs;
      for (NodeId operand : n.operands) draft.operands.push_back(visit(operand));
    }
    drafts_.push_back(std::move(draft));
    return draft_of_[id] = static_cast<int>(drafts_.size()) - 1;
  }

  /// 1/n for a number n that looks like a length, as in means: an input, so that one kernel serves all lengths.
  static bool is_reciprocal_of_length(const graph::Node& n) {
    if (n.type.shape.rank() != 0) return false;
    constexpr double kSmallest = 16, kTolerance = 1e-6;
    const auto& bytes = *n.attrs.get<Literal>("value").bytes;
    const auto read = [&](auto number) {
      std::memcpy(&number, bytes.data(), sizeof number);
      return static_cast<double>(number);
    };
    if (n.type.dtype != DType::float32 && n.type.dtype != DType::float64) return false;
    const double inverse = 1 / (n.type.dtype == DType::float32 ? read(0.0F) : read(0.0));
    return inverse > kSmallest && std::isfinite(inverse) && std::abs(std::round(inverse) / inverse - 1) < kTolerance;
  }

  /// A splat is one number, broadcast: kernels do not depend on how many copies there are.
  int add_constant(const graph::Node& n, NodeId id) {
    Literal scalar = n.attrs.get<Literal>("value");
    scalar.type.shape = Shape();
    scalar.splat = false;
    drafts_.push_back({.op = n.op, .attrs = {{"value", scalar}}, .type = scalar.type, .node = id});
    if (n.type.shape.rank() > 0) {
      const int number = static_cast<int>(drafts_.size()) - 1;
      drafts_.push_back({.op = &ops::op("broadcast"),
                         .attrs = {{"shape", n.type.shape}, {"dims", Ints()}},
                         .type = n.type,
                         .operands = {number},
                         .node = id});
    }
    return static_cast<int>(drafts_.size()) - 1;
  }

  void reorder(const std::vector<int>& order) {
    std::vector<int> place(drafts_.size(), -1);
    for (std::size_t i = 0; i < order.size(); ++i) place[at(order[i])] = static_cast<int>(i);
    std::vector<DraftNode> ordered;
    for (int old : order) {
      ordered.push_back(std::move(drafts_[at(old)]));
      for (int& operand : ordered.back().operands) operand = place[at(operand)];
    }
    drafts_ = std::move(ordered);
    for (auto& [node, draft] : draft_of_) {
      if (draft >= 0) draft = place[at(draft)];
    }
  }

  void inputs_first() {
    std::vector<int> order;
    for (std::size_t i = 0; i < drafts_.size(); ++i) {
      if (drafts_[i].op != nullptr) continue;
      order.push_back(static_cast<int>(i));
      kernel_.inputs.push_back(drafts_[i].node);
    }
    kernel_.spec.num_inputs = static_cast<int>(order.size());
    for (std::size_t i = 0; i < drafts_.size(); ++i) {
      if (drafts_[i].op != nullptr) order.push_back(static_cast<int>(i));
    }
    reorder(order);
  }

  void collapse() {
    if (!is_tile()) return collapse_axes(drafts_);
    const ops::ContractView view = ops::ContractView::parse(graph_.node(fusion_.root).attrs);
    collapse_axes(drafts_, draft_of_.at(fusion_.root), static_cast<int>(view.out.size()) - num_columns(view));
  }

 public:
  static int num_columns(const ops::ContractView& view) {
    return static_cast<int>(
        std::count_if(view.out.begin(), view.out.end(), [&](char c) { return view.label(c).role == ops::LabelRole::col; }));
  }

 private:
  /// Reshapes that have become the identity are bypassed; an output that was one is what it was a reshape of.
  void drop_unused() {
    for (NodeId n : kernel_.outputs) {
      int draft = draft_of_.at(n);
      while (is_identity(draft)) draft = drafts_[at(draft)].operands[0];
      outputs_.push_back(draft);
    }
    std::vector<bool> used(drafts_.size(), false);
    for (int output : outputs_) used[at(output)] = true;
    for (std::size_t i = drafts_.size(); i-- > 0;) {
      if (used[i]) {
        for (int operand : drafts_[i].operands) used[at(operand)] = true;
      }
    }
    std::vector<int> order;
    for (std::size_t i = 0; i < drafts_.size(); ++i) {
      if (used[i] || static_cast<int>(i) < kernel_.spec.num_inputs) order.push_back(static_cast<int>(i));
    }
    std::vector<int> place(drafts_.size(), -1);
    for (std::size_t i = 0; i < order.size(); ++i) place[at(order[i])] = static_cast<int>(i);
    for (int& output : outputs_) output = place[at(output)];
    reorder(order);
  }

  /// An output must be computed by the kernel, so a reshape of an input remains.
  bool is_identity(int draft) const {
    const DraftNode& d = drafts_[at(draft)];
    if (d.op == nullptr || d.op->name != "reshape") return false;
    return drafts_[at(d.operands[0])].type.shape == d.type.shape && drafts_[at(d.operands[0])].op != nullptr;
  }

  /// All outputs get the shape of the iteration space (in a row kernel, of the rows' elements or of the rows): axes of length 1 may have
  /// survived in some of them.
  void align_outputs() {
    int model = outputs_.front();
    for (std::size_t i = 0; i < drafts_.size(); ++i) {
      if (drafts_[i].op != nullptr && drafts_[i].node == fusion_.root) model = static_cast<int>(i);
    }
    const bool rows = fusion_.kind == FusionKind::row;
    const Shape results = drafts_[at(model)].type.shape;
    const Shape full = rows ? drafts_[at(drafts_[at(model)].operands[0])].type.shape : results;
    for (int& output : outputs_) {
      const DraftNode& d = drafts_[at(output)];
      const Shape shape = cost::squeezed(d.type.shape) == cost::squeezed(full) ? full : results;
      if (d.type.shape == shape) continue;
      DraftNode reshape{&ops::op("reshape"), {{"shape", shape}}, {d.type.dtype, shape}, {output}, d.node};
      output = static_cast<int>(drafts_.size());
      drafts_.push_back(std::move(reshape));
    }
  }

  /// The kernel's length for an axis of that class: equal lengths of axes that have nothing to do with each other are two.
  int dim_index(int axis_class, Dim d) {
    const auto [found, fresh] = dim_of_.try_emplace({axis_class, d.bits()}, static_cast<int>(kernel_.dims.size()));
    if (fresh) kernel_.dims.push_back(d);
    return found->second;
  }

  /// Values over the elements of which the kernel's loops go.
  std::vector<int> iterated() const {
    std::vector<int> result = outputs_;
    for (const DraftNode& d : drafts_) {
      if (d.op != nullptr && d.op->name == "reduce") result.push_back(d.operands[0]);
    }
    return result;
  }

  void write_body() {
    KernelSpec& spec = kernel_.spec;
    const std::vector<std::vector<int>> classes = axis_classes(drafts_, iterated());
    for (const DraftNode& d : drafts_) {
      BodyNode node{.dtype = d.type.dtype};
      const std::vector<int>& own = classes[spec.body.size()];
      for (int axis = 0; axis < d.type.shape.rank(); ++axis) node.shape.push_back(dim_index(own[at(axis)], d.type.shape[axis]));
      node.operands.assign(d.operands.begin(), d.operands.end());
      if (d.op != nullptr) {
        node.op = d.op->name;
        for (const auto& [name, value] : d.attrs) {
          const bool implied =
              std::holds_alternative<Shape>(value) || std::holds_alternative<DType>(value) || std::string_view(name) == "limit";
          if (!implied) node.attrs.set(name, value);
        }
        if (is_fallible(graph_.node(d.node))) node.ordinal = static_cast<int>(kernel_.ops.size());
        kernel_.ops.push_back(d.node);
        if (d.node == fusion_.root) spec.root = static_cast<int>(spec.body.size());
      }
      spec.body.push_back(std::move(node));
    }
    spec.outputs.assign(outputs_.begin(), outputs_.end());
    spec.num_dims = static_cast<int>(kernel_.dims.size());
    write_constant_dims();
  }

  /// Writes the length of short rows into the kernel (rule 13 of cost_model.h).
  void write_short_row() {
    KernelSpec& spec = kernel_.spec;
    const std::vector<std::int32_t>& shape = spec.body[at(spec.outputs.front())].shape;
    double elements = 1;
    for (std::int32_t dim : shape) elements *= static_cast<double>(kernel_.dims[at(dim)].value_or(cost::kSmall));
    if (shape.size() < 2 || elements <= static_cast<double>(cost::kSmall)) return;
    const std::int64_t length = kernel_.dims[at(shape.back())].value_or(0);
    const int gathers = gathered_inputs();
    if (length < 2 || length > (gathers == 0 ? cost::kShortRow : cost::kShortGatheredRow / gathers)) return;
    spec.constant_dims.emplace_back(shape.back(), length);
    for (std::size_t i = 0; i < kernel_.dims.size(); ++i) {
      if (kernel_.dims[i] == 1) spec.constant_dims.emplace_back(static_cast<std::int32_t>(i), 1);
    }
    std::sort(spec.constant_dims.begin(), spec.constant_dims.end());
  }

  /// Inputs that are read neither where the output is written nor at the same places for all rows. A window counts for many.
  int gathered_inputs() const {
    constexpr int kMany = 100;
    enum class Place : std::uint8_t { unused, row, same, elsewhere };  // the last one wins
    const std::vector<BodyNode>& body = kernel_.spec.body;
    std::vector<Place> places(body.size(), Place::unused);
    for (int o : kernel_.spec.outputs) places[at(o)] = Place::same;
    int gathered = 0;
    for (std::size_t i = body.size(); i-- > 0;) {
      const BodyNode& n = body[i];
      if (n.op.empty()) {
        gathered += places[i] == Place::elsewhere ? 1 : 0;
        continue;
      }
      if (n.attrs.has("window")) return kMany;
      for (std::size_t o = 0; o < n.operands.size(); ++o) {
        Place& place = places[at(n.operands[o])];
        const BodyNode& operand = body[at(n.operands[o])];
        const bool keeps = n.op == "cast" || ops::op(n.op).kind == ops::OpKind::elementwise;
        Place here = keeps || operand.shape.empty() ? places[i] : Place::elsewhere;
        if (n.op == "broadcast" && places[i] != Place::elsewhere && operand.shape.size() == 1)
          here = n.attrs.get<Ints>("dims")[0] + 1 == static_cast<std::int64_t>(n.shape.size()) ? Place::row : Place::elsewhere;
        place = std::max(place, here);
      }
    }
    return gathered;
  }

  /// The length number `dim`, if it is known to be at most `limit`.
  void write_length(std::int32_t dim, std::int64_t limit) {
    auto& known = kernel_.spec.constant_dims;
    const std::pair<std::int32_t, std::int64_t> entry(dim, kernel_.dims[at(dim)].value_or(limit + 1));
    if (entry.second <= limit && std::find(known.begin(), known.end(), entry) == known.end()) known.push_back(entry);
  }

  void write_constant_dims() {
    KernelSpec& spec = kernel_.spec;
    if (spec.kind == KernelKind::loop) return write_short_row();
    if (spec.kind != KernelKind::reduce && spec.kind != KernelKind::row) return;
    const BodyNode& root = spec.body[at(spec.root)];
    const BodyNode& x = spec.body[at(root.operands[0])];
    if (spec.kind == KernelKind::reduce && root.attrs.has("axes") && !x.shape.empty()) write_length(x.shape.back(), cost::kFewColumns);
    const Ints axes = root.attrs.has("axes") ? root.attrs.get<Ints>("axes") : Ints{root.attrs.get<std::int64_t>("axis")};
    const std::int64_t known = spec.kind == KernelKind::row ? cost::kMaxRow : kUnrolledLength;
    for (std::int64_t axis : axes) write_length(x.shape[static_cast<std::size_t>(axis)], known);
    std::sort(spec.constant_dims.begin(), spec.constant_dims.end());
  }

  /// Inputs that are only read at the index that is being written.
  std::vector<bool> same_index_inputs() const {
    const KernelSpec& spec = kernel_.spec;
    std::vector<bool> elsewhere(spec.body.size(), false);
    for (std::size_t i = spec.body.size(); i-- > 0;) {
      const DraftNode& d = drafts_[i];
      if (d.op == nullptr) continue;
      const bool moves = d.op->kind != ops::OpKind::elementwise && d.op->name != "cast";
      for (int operand : d.operands) {
        if (elsewhere[i] || moves) elsewhere[at(operand)] = true;
      }
    }
    std::vector<bool> same;
    for (int i = 0; i < spec.num_inputs; ++i) same.push_back(!elsewhere[at(i)]);
    return same;
  }

  /// All pairs that memory planning might want, so that the kernel does not depend on what it chooses.
  void find_aliases() {
    KernelSpec& spec = kernel_.spec;
    if (spec.kind == KernelKind::scatter) return;
    const std::vector<bool> same = same_index_inputs();
    for (std::size_t o = 0; o < spec.outputs.size(); ++o) {
      const BodyNode& out = spec.body[at(spec.outputs[o])];
      for (int i = 0; i < spec.num_inputs; ++i) {
        const BodyNode& in = spec.body[at(i)];
        if (same[at(i)] && in.shape == out.shape && size_of(in.dtype) == size_of(out.dtype))
          spec.aliases.emplace_back(static_cast<int>(o), i);
      }
    }
  }

  const graph::Graph& graph_;
  const Fusion& fusion_;
  BuiltKernel kernel_;
  std::vector<DraftNode> drafts_;
  std::vector<int> outputs_;
  std::unordered_map<NodeId, int> draft_of_;
  std::map<std::pair<int, std::int64_t>, int> dim_of_;  ///< by class of axes and length
};

/// A broadcast that every tile can read: of a scalar, of a vector along all columns, or of one value a row.
bool is_tile_broadcast(const graph::Graph& graph, const graph::Node& n, int rank, int columns) {
  const Ints& dims = n.attrs.get<Ints>("dims");
  const Shape& from = graph.node(n.operands[0]).type.shape;
  Ints axes;
  for (int i = 0; i < from.rank(); ++i) {
    if (from[i] != 1) axes.push_back(dims[static_cast<std::size_t>(i)]);
  }
  Ints column_axes, row_axes;
  for (int i = 0; i < rank; ++i) {
    if (n.type.shape[i] != 1) (i < rank - columns ? row_axes : column_axes).push_back(i);
  }
  return axes.empty() || axes == column_axes || axes == row_axes;
}

}  // namespace

std::optional<BuiltKernel> build_kernel(const graph::Graph& graph, const Fusion& fusion, Numerics numerics) {
  return SpecBuilder(graph, fusion, numerics).run();
}

bool is_epilogue(const graph::Graph& graph, NodeId root, std::span<const NodeId> nodes) {
  const graph::Node& product = graph.node(root);
  const ops::ContractView view = ops::ContractView::parse(product.attrs);
  const int columns = SpecBuilder::num_columns(view), rank = product.type.shape.rank();
  if (columns == 0 || columns == rank) return false;
  const auto place = [&](char label) {
    const ops::LabelRole role = view.label(label).role;
    return role == ops::LabelRole::batch ? 0 : role == ops::LabelRole::col ? 2 : 1;
  };
  if (!std::is_sorted(view.out.begin(), view.out.end(), [&](char a, char b) { return place(a) < place(b); })) return false;
  return std::all_of(nodes.begin(), nodes.end(), [&](NodeId id) {
    const graph::Node& n = graph.node(id);
    if (is_scalar_constant(n)) return true;
    if (n.op->name == "broadcast") return n.type.shape != product.type.shape || is_tile_broadcast(graph, n, rank, columns);
    return cost::same_index(n);
  });
}

Attrs full_attrs(const BodyNode& node, const Shape& shape, std::span<const Shape> operands) {
  Attrs attrs = node.attrs;
  if (ops::op(node.op).kind == ops::OpKind::elementwise || node.op == "constant") return attrs;
  attrs.set("shape", shape);
  attrs.set("dtype", node.dtype);
  if (node.op != "slice") return attrs;
  const Ints &start = attrs.get<Ints>("start"), &step = attrs.get<Ints>("step");
  Ints limit;
  for (std::size_t i = 0; i < start.size(); ++i) {
    const std::int64_t n = shape[i];
    const std::int64_t first = start[i] == ops::kSliceEnd ? std::int64_t{operands[0][i]} - 1 : start[i];
    limit.push_back(n == 0 ? first : first + (n - 1) * step[i] + (step[i] > 0 ? 1 : -1));
  }
  attrs.set("limit", limit);
  return attrs;
}

}  // namespace kiln::passes
