// Iteration labels of each kind of op.
#include "passes/kernel_spec_labels.h"

#include <algorithm>
#include <numeric>

namespace kiln::passes {
namespace {

/// Hands out labels while the rules below describe an op. The result's axes are labels 0, 1, ... of their own.
class Labeller {
 public:
  Labeller(const Attrs& attrs, std::span<const Shape> operands, const Shape& result) : attrs_(attrs), operands_(operands), result_(result) {
    for (const Shape& s : operands) labels_.tensors.emplace_back(s.size(), -1);
    labels_.tensors.emplace_back(result.size());
    std::iota(labels_.result().begin(), labels_.result().end(), 0);
    labels_.hard.resize(result.size(), false);
  }

  using Rule = void (Labeller::*)();

  /// Axes that no rule has named get hard labels.
  AxisLabels finish(Rule rule) {
    (this->*rule)();
    for (auto& tensor : labels_.tensors) {
      for (int& label : tensor) {
        if (label < 0) label = fresh(true);
      }
    }
    return std::move(labels_);
  }

  void unknown() { std::fill(labels_.hard.begin(), labels_.hard.end(), true); }

  void elementwise() {
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      if (operands_[i].size() == result_.size()) labels_.tensors[i] = labels_.result();
    }
  }

  void broadcast() {
    const Ints& dims = attrs_.get<Ints>("dims");
    for (int i = 0; i < rank(0); ++i) {
      operand(0, i) = operands_[0][i] == result_[dims[at(i)]] ? static_cast<int>(dims[at(i)]) : fresh(false);
    }
  }

  void transpose() {
    const Ints& perm = attrs_.get<Ints>("perm");
    for (int i = 0; i < result_.rank(); ++i) operand(0, static_cast<int>(perm[at(i)])) = i;
  }

  void reduce() {
    const Ints& axes = attrs_.get<Ints>("axes");
    int kept = 0;
    for (int i = 0; i < rank(0); ++i) {
      const bool reduced = std::find(axes.begin(), axes.end(), i) != axes.end();
      operand(0, i) = reduced ? fresh(false) : kept++;
    }
  }

  void arg_reduce() {
    const auto axis = static_cast<int>(attrs_.get<std::int64_t>("axis"));
    for (int i = 0; i < rank(0); ++i) operand(0, i) = i == axis ? fresh(true) : i - (i > axis ? 1 : 0);
  }

  void slice() {
    const Ints &start = attrs_.get<Ints>("start"), &step = attrs_.get<Ints>("step");
    for (int i = 0; i < rank(0); ++i) passive_if(i, start[at(i)] == 0 && step[at(i)] == 1 && operands_[0][i] == result_[i]);
  }

  void pad() {
    const Ints &low = attrs_.get<Ints>("low"), &high = attrs_.get<Ints>("high"), &interior = attrs_.get<Ints>("interior");
    for (int i = 0; i < rank(0); ++i) passive_if(i, low[at(i)] == 0 && high[at(i)] == 0 && interior[at(i)] == 0);
  }

  void concat() {
    const auto axis = static_cast<int>(attrs_.get<std::int64_t>("axis"));
    labels_.hard[at(axis)] = true;
    for (std::size_t o = 0; o < operands_.size(); ++o) {
      for (int i = 0; i < rank(o); ++i) {
        if (i != axis) operand(o, i) = i;
      }
    }
  }

  void window() {
    const Ints &size = attrs_.get<Ints>("window"), &stride = attrs_.get<Ints>("strides");
    const Ints &low = attrs_.get<Ints>("padding_low"), &high = attrs_.get<Ints>("padding_high");
    for (int i = 0; i < result_.rank(); ++i) {
      const bool passive = size[at(i)] == 1 && stride[at(i)] == 1 && low[at(i)] == 0 && high[at(i)] == 0;
      if (!passive) labels_.hard[at(i)] = true;
      for (std::size_t o = 0; passive && o < operands_.size(); ++o) operand(o, i) = i;
    }
  }

  void gather() {
    const auto axis = static_cast<int>(attrs_.get<std::int64_t>("axis"));
    for (int i = 0; i < rank(1); ++i) operand(1, i) = axis + i;
    for (int i = 0; i < rank(0); ++i) {
      if (i < axis) operand(0, i) = i;
      if (i > axis) operand(0, i) = i - 1 + rank(1);
    }
  }

  void scatter_add() {
    const auto axis = static_cast<int>(attrs_.get<std::int64_t>("axis"));
    labels_.hard[at(axis)] = true;
    labels_.tensors[0] = labels_.result();
    for (int i = 0; i < rank(1); ++i) operand(1, i) = operand(2, axis + i) = fresh(false);
    for (int i = 0; i < result_.rank(); ++i) {
      if (i < axis) operand(2, i) = i;
      if (i > axis) operand(2, i - 1 + rank(1)) = i;
    }
  }

  void iota() { labels_.hard[at(static_cast<int>(attrs_.get<std::int64_t>("axis")))] = true; }

  /// The result's elements depend on their row-major number only.
  void flat() {}

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  int rank(std::size_t operand) const { return operands_[operand].rank(); }
  int& operand(std::size_t o, int axis) { return labels_.tensors[o][at(axis)]; }

  int fresh(bool hard) {
    labels_.hard.push_back(hard);
    return static_cast<int>(labels_.hard.size()) - 1;
  }

  void passive_if(int axis, bool passive) {
    if (passive)
      operand(0, axis) = axis;
    else
      labels_.hard[at(axis)] = true;
  }

  const Attrs& attrs_;
  std::span<const Shape> operands_;
  const Shape& result_;
  AxisLabels labels_;
};

Labeller::Rule rule_of(const ops::OpDef& op) {
  static constexpr std::pair<std::string_view, Labeller::Rule> rules[] = {
      {"broadcast", &Labeller::broadcast},
      {"transpose", &Labeller::transpose},
      {"cast", &Labeller::elementwise},
      {"reduce", &Labeller::reduce},
      {"arg_reduce", &Labeller::arg_reduce},
      {"slice", &Labeller::slice},
      {"pad", &Labeller::pad},
      {"concat", &Labeller::concat},
      {"window_reduce", &Labeller::window},
      {"gather", &Labeller::gather},
      {"scatter_add", &Labeller::scatter_add},
      {"window_max_grad", &Labeller::window},
      {"iota", &Labeller::iota},
      {"random", &Labeller::flat},
      {"constant", &Labeller::flat},
  };
  if (op.kind == ops::OpKind::elementwise) return &Labeller::elementwise;
  for (const auto& [name, rule] : rules) {
    if (name == op.name) return rule;
  }
  return &Labeller::unknown;
}

}  // namespace

AxisLabels axis_labels(const ops::OpDef& op, const Attrs& attrs, std::span<const Shape> operands, const Shape& result) {
  return Labeller(attrs, operands, result).finish(rule_of(op));
}

}  // namespace kiln::passes
