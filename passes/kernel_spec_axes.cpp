// Axes tied by the labels of each op.
#include "passes/kernel_spec_axes.h"

#include "passes/classes.h"
#include "passes/kernel_spec_labels.h"

namespace kiln::passes {
namespace {

class Axes {
 public:
  explicit Axes(const std::vector<DraftNode>& body)
      : body_(body), first_(first_axes(body)), classes_(static_cast<std::size_t>(first_.back())) {}

  void tie(int a, int axis_a, int b, int axis_b) { classes_.tie(id(a, axis_a), id(b, axis_b)); }
  int class_of(int node, int axis) { return classes_.find(id(node, axis)); }

  void tie_op(int node) {
    const DraftNode& d = body_[at(node)];
    if (d.op == nullptr) return;
    if (d.op->name == "reshape") return tie_reshape(node);
    std::vector<Shape> operands;
    for (int o : d.operands) operands.push_back(shape(o));
    const AxisLabels labels = axis_labels(*d.op, d.attrs, operands, d.type.shape);
    std::vector<std::pair<int, int>> seen(labels.hard.size(), {-1, -1});
    for (std::size_t t = 0; t < labels.tensors.size(); ++t) {
      const int tensor = t < d.operands.size() ? d.operands[t] : node;
      for (std::size_t axis = 0; axis < labels.tensors[t].size(); ++axis) {
        auto& [other, other_axis] = seen[at(labels.tensors[t][axis])];
        if (other >= 0) tie(other, other_axis, tensor, static_cast<int>(axis));
        other = tensor;
        other_axis = static_cast<int>(axis);
      }
    }
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  const Shape& shape(int node) const { return body_[at(node)].type.shape; }
  int id(int node, int axis) const { return first_[at(node)] + axis; }

  /// The number of axes before each value's, then of all.
  static std::vector<int> first_axes(const std::vector<DraftNode>& body) {
    std::vector<int> first{0};
    for (const DraftNode& d : body) first.push_back(first.back() + d.type.shape.rank());
    return first;
  }

  /// Axes that start at the same element and are equally long stay what they were.
  void tie_reshape(int node) {
    const int x = body_[at(node)].operands[0];
    const Shape &from = shape(x), &to = shape(node);
    Dim outside = 1;
    for (int i = 0; i < from.rank(); ++i) {
      Dim outside_result = 1;
      for (int j = 0; j < to.rank(); ++j) {
        if (outside == outside_result && from[i] == to[j]) tie(x, i, node, j);
        outside_result = outside_result * to[j];
      }
      outside = outside * from[i];
    }
  }

  const std::vector<DraftNode>& body_;
  std::vector<int> first_;
  Classes classes_;
};

}  // namespace

std::vector<std::vector<int>> axis_classes(const std::vector<DraftNode>& body, std::span<const int> iterated) {
  Axes axes(body);
  for (int n = 0; n < static_cast<int>(body.size()); ++n) axes.tie_op(n);
  for (const int a : iterated) {
    for (const int b : iterated) {
      const Shape& shape = body[static_cast<std::size_t>(a)].type.shape;
      for (int axis = 0; shape == body[static_cast<std::size_t>(b)].type.shape && axis < shape.rank(); ++axis) axes.tie(a, axis, b, axis);
    }
  }
  std::vector<std::vector<int>> classes;
  for (int n = 0; n < static_cast<int>(body.size()); ++n) {
    classes.emplace_back();
    for (int axis = 0; axis < body[static_cast<std::size_t>(n)].type.shape.rank(); ++axis) classes.back().push_back(axes.class_of(n, axis));
  }
  return classes;
}

}  // namespace kiln::passes
