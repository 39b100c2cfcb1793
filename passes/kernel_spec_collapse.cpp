// Merging and dropping axes by two union-finds: one over axes (dropped or not), one over boundaries between neighbours (merged or not).
#include "passes/kernel_spec_collapse.h"

#include <algorithm>
#include <numeric>

#include "base/require.h"
#include "ops/build.h"
#include "passes/classes.h"
#include "passes/kernel_spec_labels.h"

namespace kiln::passes {
namespace {

class Collapser {
 public:
  Collapser(std::vector<DraftNode>& body, int keep_split, int split_axis)
      : body_(body), keep_split_(keep_split), split_axis_(split_axis), first_(offsets(body)), pinned_(count(body)), split_(count(body)) {}

  void run() {
    for (const DraftNode& n : body_) labels_.push_back(labels_of(n));
    for (std::size_t i = 0; i < body_.size(); ++i) tie_axes(static_cast<int>(i));
    pin_split();
    tie_siblings(pinned_);
    tie_siblings(split_);
    for (std::size_t i = 0; i < body_.size(); ++i) tie_boundaries(static_cast<int>(i));
    for (std::size_t i = 0; i < body_.size(); ++i) map_axes(static_cast<int>(i));
    for (DraftNode& n : body_) old_shapes_.push_back(n.type.shape);
    for (std::size_t i = 0; i < body_.size(); ++i) rewrite(static_cast<int>(i));
    bypass_reshapes();
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  static std::vector<int> offsets(const std::vector<DraftNode>& body) {
    std::vector<int> first;
    int n = 0;
    for (const DraftNode& d : body) {
      first.push_back(n);
      n += d.type.shape.rank();
    }
    return first;
  }
  static std::size_t count(const std::vector<DraftNode>& body) {
    std::size_t n = 0;
    for (const DraftNode& d : body) n += d.type.shape.size();
    return n;
  }

  const Shape& shape(int node) const { return body_[at(node)].type.shape; }
  bool is_reshape(int node) const { return body_[at(node)].op != nullptr && body_[at(node)].op->name == "reshape"; }
  /// An axis of a node; as a boundary, the one between it and the next kept axis.
  int axis_id(int node, int axis) const { return first_[at(node)] + axis; }
  bool kept(int node, int axis) { return shape(node)[axis] != 1 || pinned_.hard(axis_id(node, axis)); }

  AxisLabels labels_of(const DraftNode& n) const {
    if (n.op == nullptr || n.op->name == "reshape") return {};
    std::vector<Shape> operands;
    for (int o : n.operands) operands.push_back(shape(o));
    return axis_labels(*n.op, n.attrs, operands, n.type.shape);
  }

  /// The node behind tensor t of node n's labels: an operand, or n itself.
  int tensor(int n, std::size_t t) const {
    const DraftNode& d = body_[at(n)];
    return t < d.operands.size() ? d.operands[t] : n;
  }

  /// Axes of one label are dropped together, and never where the label is hard.
  void tie_axes(int n) {
    const AxisLabels& labels = labels_[at(n)];
    std::vector<int> seen(labels.hard.size(), -1);
    for (std::size_t t = 0; t < labels.tensors.size(); ++t) {
      for (int axis = 0; axis < static_cast<int>(labels.tensors[t].size()); ++axis) {
        const int label = labels.tensors[t][at(axis)];
        const int id = axis_id(tensor(n, t), axis);
        if (labels.hard[at(label)]) pinned_.harden(id);
        if (seen[at(label)] >= 0) pinned_.tie(seen[at(label)], id);
        seen[at(label)] = id;
      }
    }
    if (body_[at(n)].op != nullptr && body_[at(n)].op->name == "reduce") pin_reduce(n);
  }

  /// A reduce keeps at least one reduced axis, and an innermost axis of length 1 whose fate decides the order of summation.
  void pin_reduce(int n) {
    const DraftNode& d = body_[at(n)];
    const Ints& axes = d.attrs.get<Ints>("axes");
    const int x = d.operands[0];
    const auto reduced = [&](int axis) { return std::find(axes.begin(), axes.end(), axis) != axes.end(); };
    const bool all_unit = std::all_of(axes.begin(), axes.end(), [&](std::int64_t a) { return shape(x)[a] == 1; });
    if (all_unit && !axes.empty()) pinned_.harden(axis_id(x, static_cast<int>(axes.back())));
    const int last = shape(x).rank() - 1;
    if (last < 0 || shape(x)[last] != 1) return;
    int inner = last;
    while (inner > 0 && shape(x)[inner] == 1) --inner;
    if (reduced(inner) != reduced(last)) pinned_.harden(axis_id(x, last));
  }

  /// Reductions of one kernel go over the same axes: those of their operands share their fates.
  void tie_siblings(Classes& fates) {
    int first = -1;
    for (const DraftNode& d : body_) {
      if (d.op == nullptr || d.op->name != "reduce") continue;
      const int x = d.operands[0];
      if (first < 0) first = x;
      if (shape(x) != shape(first)) continue;
      for (int axis = 0; axis < shape(x).rank(); ++axis) fates.tie(axis_id(first, axis), axis_id(x, axis));
    }
  }

  /// Both sides of the split keep an axis.
  void pin_split() {
    if (keep_split_ < 0) return;
    const auto pin_one = [&](int begin, int end) {
      for (int axis = begin; axis < end; ++axis) {
        if (kept(keep_split_, axis)) return;
      }
      pinned_.harden(axis_id(keep_split_, end - 1));
    };
    pin_one(0, split_axis_);
    pin_one(split_axis_, shape(keep_split_).rank());
  }

  std::vector<int> kept_axes(int node) {
    std::vector<int> axes;
    for (int axis = 0; axis < shape(node).rank(); ++axis) {
      if (kept(node, axis)) axes.push_back(axis);
    }
    return axes;
  }

  void tie_boundaries(int n) {
    if (is_reshape(n)) return tie_reshape(n);
    const AxisLabels& labels = labels_[at(n)];
    std::vector<std::vector<int>> axes;  // kept axes of each tensor
    for (std::size_t t = 0; t < labels.tensors.size(); ++t) axes.push_back(kept_axes(tensor(n, t)));
    const int joined = joined_with_next(n, axes);
    for (std::size_t t = 0; t < axes.size(); ++t) {
      for (std::size_t i = 0; i + 1 < axes[t].size(); ++i) {
        if (axes[t][i] == joined && shape(tensor(n, t)).rank() == shape(n).rank())
          split_.tie(axis_id(n, joined), axis_id(tensor(n, t), joined));
        else
          tie_pair(n, axes, t, i);
      }
    }
    if (body_[at(n)].attrs.has("dims")) harden_stretched(n);
    if (n == keep_split_) {
      const std::vector<int> own = kept_axes(n);
      for (std::size_t i = 0; i + 1 < own.size(); ++i) {
        if (own[i] < split_axis_ && own[i + 1] >= split_axis_) split_.harden(axis_id(n, own[i]));
      }
    }
  }

  /// The axis of a concat, a slice or a pad if it may be merged with the next one, else -1: places along it become runs of the next axis,
  /// which is whole in every operand and in the result.
  int joined_with_next(int n, const std::vector<std::vector<int>>& axes) const {
    const int axis = last_cut(n);
    if (axis < 0) return -1;
    for (std::size_t t = 0; t < axes.size(); ++t) {
      const bool has_axes = t + 1 == axes.size() || shape(tensor(n, t)).rank() == shape(n).rank();  // a pad's value has none
      if (has_axes && axes[t] != axes.back()) return -1;
    }
    const std::vector<int>& kept = axes.back();
    const auto found = std::find(kept.begin(), kept.end(), axis);
    return found == kept.end() || found + 1 == kept.end() ? -1 : axis;
  }

  /// Whether the numbers that a slice or a pad has for that axis count runs as well as places.
  bool counts_runs(const DraftNode& d, int axis) const {
    const auto entry = [&](const char* name) { return d.attrs.get<Ints>(name)[at(axis)]; };
    for (int inner = axis + 1; inner < d.type.shape.rank(); ++inner) {
      if (!d.type.shape[inner].is_constant()) return false;
    }
    if (d.op->name == "pad") return entry("interior") == 0;
    return entry("step") == 1 && entry("start") != ops::kSliceEnd;
  }

  /// The last axis that a concat, a slice or a pad does not take over as it is, if it is cut in places that follow each other; else -1.
  int last_cut(int n) const {
    const DraftNode& d = body_[at(n)];
    if (d.op == nullptr) return -1;
    if (d.op->name == "concat") return static_cast<int>(d.attrs.get<std::int64_t>("axis"));
    if (d.op->name != "slice" && d.op->name != "pad") return -1;
    const std::vector<bool>& hard = labels_[at(n)].hard;
    int axis = shape(n).rank() - 1;
    while (axis >= 0 && !hard[at(axis)]) --axis;
    return axis >= 0 && counts_runs(d, axis) ? axis : -1;
  }

  /// Where an axis of length 1 that stays is stretched, the result keeps an axis for it.
  void harden_stretched(int n) {
    const DraftNode& d = body_[at(n)];
    const Ints& dims = d.attrs.get<Ints>("dims");
    const std::vector<int> own = kept_axes(n);
    for (int i = 0; i < static_cast<int>(dims.size()); ++i) {
      if (!kept(d.operands[0], i) || labels_[at(n)].tensors[0][at(i)] == dims[at(i)]) continue;
      for (std::size_t j = 0; j + 1 < own.size(); ++j) {
        if (own[j] == dims[at(i)] || own[j + 1] == dims[at(i)]) split_.harden(axis_id(n, own[j]));
      }
    }
  }

  /// Neighbouring labels (a, b) in tensor t: one fate with every other place where they are neighbours, hard if one appears without the
  /// other.
  void tie_pair(int n, const std::vector<std::vector<int>>& axes, std::size_t t, std::size_t i) {
    const AxisLabels& labels = labels_[at(n)];
    const int a = labels.tensors[t][at(axes[t][i])], b = labels.tensors[t][at(axes[t][i + 1])];
    const int id = axis_id(tensor(n, t), axes[t][i]);
    if (labels.hard[at(a)] || labels.hard[at(b)]) return split_.harden(id);
    for (std::size_t u = 0; u < axes.size(); ++u) {
      for (std::size_t j = 0; j < axes[u].size(); ++j) {
        const int label = labels.tensors[u][at(axes[u][j])];
        if (label != a && label != b) continue;
        if (label == a && j + 1 < axes[u].size() && labels.tensors[u][at(axes[u][j + 1])] == b) {
          split_.tie(id, axis_id(tensor(n, u), axes[u][j]));
          ++j;
        } else {
          split_.harden(id);
        }
      }
    }
  }

  /// Both shapes are cut where the products of the lengths so far agree; those boundaries share their fate, so that merging keeps a reshape
  /// a reshape of fewer axes.
  void tie_reshape(int n) {
    const int x = body_[at(n)].operands[0];
    const std::vector<int> from = kept_axes(x), to = kept_axes(n);
    Dim product = 1;
    std::vector<Dim> cuts;
    for (int axis : from) cuts.push_back(product = product * shape(x)[axis]);
    product = 1;
    for (std::size_t j = 0; j + 1 < to.size(); ++j) {
      product = product * shape(n)[to[j]];
      const auto matches = std::count(cuts.begin(), cuts.end(), product);
      if (matches != 1 || product == 0) continue;
      const auto i = static_cast<std::size_t>(std::find(cuts.begin(), cuts.end(), product) - cuts.begin());
      if (i + 1 < from.size()) split_.tie(axis_id(x, from[i]), axis_id(n, to[j]));
    }
  }

  /// new_axis_[id]: the axis that an old one becomes part of; -1 if it is dropped.
  void map_axes(int n) {
    new_axis_.resize(static_cast<std::size_t>(first_[at(n)] + shape(n).rank()), -1);
    int axis = -1, last = -1;
    for (int old : kept_axes(n)) {
      if (last < 0 || split_.hard(axis_id(n, last))) ++axis;
      new_axis_[at(axis_id(n, old))] = axis;
      last = old;
    }
  }

  int new_axis(int node, std::int64_t old) const { return new_axis_[at(axis_id(node, static_cast<int>(old)))]; }

  Shape new_shape(int node) const {
    Shape result;
    for (int axis = 0; axis < old_shapes_[at(node)].rank(); ++axis) {
      const int to = new_axis(node, axis);
      if (to < 0) continue;
      if (to == result.rank())
        result.push_back(old_shapes_[at(node)][axis]);
      else
        result[to] = result[to] * old_shapes_[at(node)][axis];
    }
    return result;
  }

  void rewrite(int n) {
    DraftNode& d = body_[at(n)];
    d.type.shape = new_shape(n);
    if (d.op == nullptr || d.op->kind == ops::OpKind::elementwise) return;
    if (d.attrs.has("shape")) d.attrs.set("shape", d.type.shape);
    if (d.attrs.has("dims")) rewrite_dims(n);
    if (d.attrs.has("perm")) rewrite_perm(n);
    if (d.attrs.has("axes")) rewrite_axes(n);
    if (d.attrs.has("axis")) {
      const int from = d.op->name == "concat" || d.op->name == "iota" ? n : d.operands[0];
      d.attrs.set("axis", std::int64_t{new_axis(from, d.attrs.get<std::int64_t>("axis"))});
    }
    for (const char* name : {"start", "limit", "step", "low", "high", "interior", "window", "strides", "padding_low", "padding_high"}) {
      if (d.attrs.has(name)) rewrite_each(n, name);
    }
  }

  void rewrite_dims(int n) {
    DraftNode& d = body_[at(n)];
    const Ints old = d.attrs.get<Ints>("dims");
    Ints dims;
    for (std::size_t i = 0; i < old.size(); ++i) {
      const int from = new_axis(d.operands[0], static_cast<std::int64_t>(i));
      if (from == static_cast<int>(dims.size())) dims.push_back(new_axis(n, old[i]));
    }
    d.attrs.set("dims", dims);
  }

  void rewrite_perm(int n) {
    DraftNode& d = body_[at(n)];
    const Ints old = d.attrs.get<Ints>("perm");
    Ints perm;
    for (std::size_t i = 0; i < old.size(); ++i) {
      if (new_axis(n, static_cast<std::int64_t>(i)) == static_cast<int>(perm.size())) perm.push_back(new_axis(d.operands[0], old[i]));
    }
    d.attrs.set("perm", perm);
  }

  void rewrite_axes(int n) {
    DraftNode& d = body_[at(n)];
    Ints axes;
    for (std::int64_t old : d.attrs.get<Ints>("axes")) {
      const std::int64_t axis = new_axis(d.operands[0], old);
      if (axis >= 0 && (axes.empty() || axes.back() != axis)) axes.push_back(axis);
    }
    d.attrs.set("axes", axes);
  }

  /// One entry an axis: merged axes are all passive but perhaps the first, whose entry counts them all (the limit of a slice is restored by
  /// full_attrs).
  void rewrite_each(int n, const char* name) {
    DraftNode& d = body_[at(n)];
    const Ints old = d.attrs.get<Ints>(name);
    if (old.size() != old_shapes_[at(n)].size()) return;
    Ints values;
    for (std::size_t i = 0; i < old.size(); ++i) {
      const int to = new_axis(n, static_cast<std::int64_t>(i));
      if (to == static_cast<int>(values.size()))
        values.push_back(old[i]);
      else if (to >= 0 && counts_places(name) && values.back() != 0)
        values.back() *= std::int64_t{old_shapes_[at(n)][static_cast<int>(i)]};
    }
    d.attrs.set(name, values);
  }

  static bool counts_places(std::string_view attr) { return attr == "start" || attr == "limit" || attr == "low" || attr == "high"; }

  void bypass_reshapes() {
    std::vector<int> instead(body_.size());
    for (std::size_t i = 0; i < body_.size(); ++i) {
      DraftNode& d = body_[i];
      for (int& o : d.operands) o = instead[at(o)];
      const bool identity = is_reshape(static_cast<int>(i)) && body_[at(d.operands[0])].type.shape == d.type.shape;
      instead[i] = identity ? d.operands[0] : static_cast<int>(i);
    }
  }

  std::vector<DraftNode>& body_;
  int keep_split_, split_axis_;
  std::vector<int> first_;
  Classes pinned_;
  Classes split_;
  std::vector<AxisLabels> labels_;
  std::vector<int> new_axis_;
  std::vector<Shape> old_shapes_;
};

}  // namespace

void collapse_axes(std::vector<DraftNode>& body, int keep_split, int split_axis) { Collapser(body, keep_split, split_axis).run(); }

}  // namespace kiln::passes
