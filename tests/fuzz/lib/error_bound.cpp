// Forward error analysis of a graph, op by op.
#include "tests/fuzz/lib/error_bound.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/require.h"
#include "tests/fuzz/lib/fuzz_case.h"
#include "tests/rounding.h"
#include "tests/values.h"

namespace kiln::testing {

namespace {

using Numbers = std::vector<double>;
using graph::Node;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kExactInteger = 0x1p53;
constexpr double kSmallestNormal = 0x1p-126;  ///< of float32 and bfloat16
/// Our functions are within 2 ulp; a rewrite may take two roundings for one.
constexpr double kUlps = 4;

/// What sums are carried in.
double accumulator_epsilon(DType t) { return t == DType::float64 ? 0x1p-52 : 0x1p-23; }

double largest(DType t) {
  switch (t) {
    case DType::float16:
      return 65504;
    case DType::bfloat16:
      return 0x1.fep127;
    case DType::float32:
      return std::numeric_limits<float>::max();
    case DType::float64:
      return std::numeric_limits<double>::max();
    default:
      return kExactInteger;
  }
}

/// Distance of two results that may be equal infinities or both NaN; infinite if they are of different kinds.
double distance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  return std::isfinite(a) && std::isfinite(b) ? std::abs(a - b) : kInfinity;
}

bool any(const std::vector<char>& flags) { return std::find(flags.begin(), flags.end(), 1) != flags.end(); }
bool any_error(const Bounded& x) {
  return any(x.free) || std::any_of(x.error.begin(), x.error.end(), [](double e) { return e != 0; });
}

Numbers map(const Numbers& x, double (*f)(double)) {
  Numbers out(x.size());
  std::transform(x.begin(), x.end(), out.begin(), f);
  return out;
}

/// |x|, and 0 where x is not finite: what contributes to rounding errors.
Numbers magnitude(const Numbers& x) {
  return map(x, [](double v) { return std::isfinite(v) ? std::abs(v) : 0; });
}

Numbers as_numbers(const std::vector<char>& flags) { return {flags.begin(), flags.end()}; }
Numbers plus(const Numbers& a, const Numbers& b, double sign) {
  Numbers out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = a[i] + sign * b[i];
  return out;
}

/// One op on bounded operands.
class OpBound {
 public:
  OpBound(const Node& node, std::vector<const Bounded*> operands) : node_(node), operands_(std::move(operands)) {
    for (const Bounded* x : operands_) types_.push_back(x->type);
    out_.type = node.type;
    std::vector<Numbers> values;
    for (const Bounded* x : operands_) values.push_back(x->value);
    out_.value = reference(values, types_, node.type);
    out_.error.assign(out_.value.size(), 0);
    out_.free.assign(out_.value.size(), 0);
  }

  Bounded run() {
    using Rule = void (OpBound::*)();
    static const std::map<std::string_view, Rule> rules = {{"reduce", &OpBound::reduce},
                                                           {"arg_reduce", &OpBound::arg_reduce},
                                                           {"contract", &OpBound::contract},
                                                           {"window_reduce", &OpBound::window},
                                                           {"window_max_grad", &OpBound::window_max_grad},
                                                           {"reshape", &OpBound::movement},
                                                           {"transpose", &OpBound::movement},
                                                           {"broadcast", &OpBound::movement},
                                                           {"slice", &OpBound::movement},
                                                           {"concat", &OpBound::movement},
                                                           {"pad", &OpBound::movement},
                                                           {"gather", &OpBound::gather},
                                                           {"scatter_add", &OpBound::scatter},
                                                           {"iota", &OpBound::source},
                                                           {"constant", &OpBound::exact_source},
                                                           {"random", &OpBound::random},
                                                           {"cast", &OpBound::pointwise}};
    if (node_.op->kind == ops::OpKind::elementwise) {
      pointwise();
    } else {
      (this->*rules.at(node_.op->name))();
    }
    free_overflows();
    return std::move(out_);
  }

 private:
  Numbers reference(const std::vector<Numbers>& operands, std::span<const TensorType> types, const TensorType& type) const {
    Numbers result;
    node_.op->reference(*node_.op, types, operands, type, result, node_.attrs);
    return result;
  }

  /// The op on doubles, whatever the dtype; integer operands from `first_index` on keep their type.
  Numbers on_doubles(const std::vector<Numbers>& operands) const {
    std::vector<TensorType> types = types_;
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (i != index_operand()) types[i].dtype = DType::float64;
    }
    return reference(operands, types, {DType::float64, node_.type.shape});
  }

  /// The operand that holds indices, or one past all.
  std::size_t index_operand() const { return (node_.op->name == "gather" || node_.op->name == "scatter_add") ? 1 : operands_.size(); }

  DType dtype() const { return node_.type.dtype; }

  /// Adds the op's own rounding.
  void round(double ulps) {
    if (!is_floating(dtype())) return;
    for (std::size_t i = 0; i < out_.value.size(); ++i) {
      double size = std::isfinite(out_.value[i]) ? std::abs(out_.value[i]) : 0;
      out_.error[i] += ulps * (epsilon(dtype()) * (size + out_.error[i]) + smallest(dtype()));
    }
  }

  void free_overflows() {
    for (std::size_t i = 0; i < out_.value.size(); ++i) {
      double v = out_.value[i];
      bool over = std::isfinite(v) && std::abs(v) + out_.error[i] >= largest(dtype()) * (1 - epsilon(dtype()));
      if (over && dtype() != DType::boolean && (is_floating(dtype()) || dtype() == DType::int64)) out_.free[i] = 1;
      if (!std::isfinite(out_.error[i])) out_.free[i] = 1;
      if (out_.free[i] != 0) out_.error[i] = 0;
    }
  }

  void free_all() { out_.free.assign(out_.value.size(), 1); }

  // --- elementwise and cast: every combination of operand values within their errors ---------------------------------

  static constexpr int kCandidates = 6;

  /// The t-th value to try for an element.
  static double candidate(const Bounded& x, std::size_t i, int t) {
    double v = x.value[i], e = x.error[i];
    if (x.type.dtype == DType::boolean) return (e != 0 || x.free[i] != 0) && t > 0 ? static_cast<double>(t % 2) : v;
    if (is_integer(x.type.dtype)) {
      if (e == 0 && x.free[i] == 0) return v;
      if (x.free[i] != 0) {
        v = 0;
        e = kExactInteger;
      }
      const double tries[kCandidates] = {v, v - e, v + e, 0, 1, 2};
      double limit = x.type.dtype == DType::uint8   ? 255
                     : x.type.dtype == DType::int8  ? 127
                     : x.type.dtype == DType::int32 ? 2147483647.0
                                                    : 0x1p52;
      return std::clamp(tries[t], x.type.dtype == DType::uint8 ? 0 : -limit, limit);
    }
    if (x.free[i] != 0) {
      const double tries[kCandidates] = {v, std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity, 1.5, 0};
      return tries[t];
    }
    if (!std::isfinite(v)) return v;
    // Which zero a maximum of two zeros gives is nobody's promise.
    if (v == 0 && e == 0) return t == 1 ? -v : v;
    // Poles and changes of sign are at zero, steps at integers, powers of negative numbers alternate there.
    double near = std::round(v);
    const double tries[kCandidates] = {v, v - e, v + e, 0, near, near + 1};
    return std::clamp(tries[t], v - e, v + e);
  }

  /// Where the operands of a binary op may be equal, they are: comparisons jump there.
  void try_equal_operands() {
    if (operands_.size() != 2 || (!any_error(*operands_[0]) && !any_error(*operands_[1]))) return;
    const Bounded &a = *operands_[0], &b = *operands_[1];
    std::vector<Numbers> met = {a.value, b.value};
    for (std::size_t i = 0; i < a.value.size(); ++i) {
      if (a.free[i] != 0 || b.free[i] != 0) {
        met[0][i] = met[1][i] = a.free[i] != 0 ? b.value[i] : a.value[i];
        continue;
      }
      if (std::abs(a.value[i] - b.value[i]) > a.error[i] + b.error[i]) continue;
      met[0][i] = a.error[i] == 0 ? a.value[i] : b.error[i] == 0 ? b.value[i] : (a.value[i] + b.value[i]) / 2;
      met[1][i] = met[0][i];
    }
    try_values(met);
  }

  void try_values(const std::vector<Numbers>& operands) {
    Numbers moved = reference(operands, types_, node_.type);
    for (std::size_t i = 0; i < moved.size(); ++i) out_.error[i] = std::max(out_.error[i], distance(moved[i], out_.value[i]));
  }

  static int candidates(const Bounded& x) {
    bool zeros = is_floating(x.type.dtype) && std::find(x.value.begin(), x.value.end(), 0.0) != x.value.end();
    return any_error(x) ? kCandidates : zeros ? 2 : 1;
  }

  void pointwise() {
    Bounded quotient;
    if (node_.op->name == "floordiv") {
      // The quotient is rounded, perhaps to zero, before its floor is taken.
      quotient = *operands_[0];
      Numbers size = magnitude(quotient.value), divisor = magnitude(operands_[1]->value);
      for (std::size_t i = 0; i < size.size(); ++i) quotient.error[i] += epsilon(dtype()) * size[i] + smallest(dtype()) * (divisor[i] + 1);
      operands_[0] = &quotient;
    }
    std::vector<int> counts;
    int combinations = 1;
    for (const Bounded* x : operands_) {
      counts.push_back(candidates(*x));
      combinations *= counts.back();
    }
    std::vector<Numbers> tried(operands_.size());
    for (int c = 1; c < combinations; ++c) {
      int rest = c;
      for (std::size_t k = 0; k < operands_.size(); ++k) {
        int t = rest % counts[k];
        rest /= counts[k];
        tried[k].resize(operands_[k]->value.size());
        for (std::size_t i = 0; i < tried[k].size(); ++i) tried[k][i] = candidate(*operands_[k], i, t);
      }
      try_values(tried);
    }
    try_equal_operands();
    // A jump or an oscillation within the error: what was tried need not be the extreme.
    for (std::size_t i = 0; i < out_.error.size(); ++i) {
      if (out_.error[i] > 0.01 * std::abs(out_.value[i]) && dtype() != DType::boolean) out_.error[i] *= 2;
    }
    if (node_.op->name == "sin" || node_.op->name == "cos") {
      for (std::size_t i = 0; i < out_.error.size(); ++i) out_.error[i] = std::max(out_.error[i], std::min(operands_[0]->error[i], 2.0));
    }
    if (node_.op->name == "fma") bound_fma();
    if (node_.op->name == "rem" || node_.op->name == "mod") bound_remainder();
    bool free_input = std::any_of(operands_.begin(), operands_.end(), [](const Bounded* x) { return any(x->free); });
    for (std::size_t i = 0; free_input && i < out_.value.size(); ++i) {
      bool here = std::any_of(operands_.begin(), operands_.end(), [&](const Bounded* x) { return x->free[i] != 0; });
      if (here && out_.error[i] != 0) out_.free[i] = 1;
    }
    free_uncertain_integers();
    if (!node_.op->traits.exact) round(kUlps);
    free_wrapped_integers();
  }

  /// Bits and products of integers that are not known: what was tried says little.
  void free_uncertain_integers() {
    if (node_.op->types == ops::TypeRule::select || node_.op->types == ops::TypeRule::compare) return;
    for (const Bounded* x : operands_) {
      for (std::size_t i = 0; is_integer(x->type.dtype) && i < out_.value.size(); ++i) {
        if (x->error[i] != 0 || x->free[i] != 0) out_.free[i] = 1;
      }
    }
  }

  /// A remainder jumps by its divisor, and moves with the divisor's error as often as that fits.
  void bound_remainder() {
    const Bounded &a = *operands_[0], &b = *operands_[1];
    for (std::size_t i = 0; is_floating(dtype()) && i < out_.value.size(); ++i) {
      double quotient = std::abs(a.value[i] / b.value[i]), divisor = std::abs(b.value[i]), rest = std::abs(out_.value[i]);
      if (!std::isfinite(quotient) || !std::isfinite(out_.value[i])) continue;
      double linear = a.error[i] + (quotient + 1) * b.error[i];
      bool jumps = linear > 0 && std::min(rest, divisor - rest) <= linear;
      out_.error[i] = std::max(out_.error[i], jumps ? divisor + b.error[i] + linear : linear);
    }
  }

  /// Targets without the instruction round the product, which may overflow.
  void bound_fma() {
    const Bounded &a = *operands_[0], &b = *operands_[1];
    for (std::size_t i = 0; i < out_.value.size(); ++i) {
      double product = std::abs(a.value[i] * b.value[i]);
      if (std::isfinite(product)) out_.error[i] += accumulator_epsilon(dtype()) * product;
      double most = dtype() == DType::float64 ? largest(dtype()) : largest(DType::float32);
      if (std::isfinite(a.value[i]) && std::isfinite(b.value[i]) && product >= most) out_.free[i] = 1;
    }
  }

  /// Products beyond 2^53 are inexact in double before they wrap.
  void free_wrapped_integers() {
    bool integers = !types_.empty() && is_integer(types_.back().dtype) && is_integer(dtype());
    if (!integers || node_.op->types != ops::TypeRule::numeric) return;
    std::vector<Numbers> values;
    for (const Bounded* x : operands_) values.push_back(x->value);
    Numbers wide = on_doubles(values);
    for (std::size_t i = 0; i < wide.size(); ++i) {
      if (!(std::abs(wide[i]) < kExactInteger)) out_.free[i] = 1;
    }
  }

  // --- sums --------------------------------------------------------------------------------------------------------------

  /// out = sum of terms: `linear` their errors, `size` the sum of their magnitudes, `count` how many.
  void sum(const Numbers& linear, const Numbers& size, const Numbers& count, const Numbers& freed) {
    for (std::size_t i = 0; i < out_.value.size(); ++i) {
      double gamma = is_floating(dtype()) ? (count[i] + 1) * accumulator_epsilon(dtype()) : 0;
      out_.error[i] = linear[i] + gamma * (size[i] + linear[i]);
      bool wraps = !is_floating(dtype()) && (size[i] >= kExactInteger || out_.error[i] != 0);
      bool overflows =
          is_floating(dtype()) && size[i] + out_.error[i] >= largest(dtype() == DType::float64 ? DType::float64 : DType::float32) / 2;
      if (freed[i] != 0 || wraps || overflows) out_.free[i] = 1;
    }
    round(1);
  }

  static Numbers ones(const Bounded& x) { return Numbers(x.value.size(), 1); }

  void reduce() {
    const Bounded& x = *operands_[0];
    const auto& kind = node_.attrs.get<std::string>("kind");
    if (kind == "add")
      return sum(on_doubles({x.error}), on_doubles({magnitude(x.value)}), on_doubles({ones(x)}), on_doubles({as_numbers(x.free)}));
    if (kind == "mul") return product();
    if (kind == "max" || kind == "min") return extreme();
    Numbers low = x.value, high = x.value;
    for (std::size_t i = 0; i < low.size(); ++i) {
      if (x.error[i] == 0 && x.free[i] == 0) continue;
      low[i] = 0;
      high[i] = 1;
    }
    Numbers at_low = reference({low}, types_, node_.type), at_high = reference({high}, types_, node_.type);
    for (std::size_t i = 0; i < at_low.size(); ++i) out_.error[i] = distance(at_low[i], at_high[i]);
  }

  void product() {
    const Bounded& x = *operands_[0];
    Numbers size = magnitude(x.value);
    Numbers low = on_doubles({size}), high = on_doubles({plus(size, x.error, 1)});
    Numbers grown = on_doubles({map(size, [](double v) { return std::max(v, 1.0); })});
    Numbers shrunk = on_doubles({map(size, [](double v) { return v > 0 ? std::min(v, 1.0) : 1.0; })});
    Numbers freed = group_sum(as_numbers(x.free));
    double count = out_.value.empty() ? 0 : static_cast<double>(x.value.size()) / static_cast<double>(out_.value.size());
    for (std::size_t i = 0; i < out_.value.size(); ++i) {
      double gamma = is_floating(dtype()) ? (count + 1) * accumulator_epsilon(dtype()) : 0;
      out_.error[i] = (high[i] - low[i]) + gamma * high[i];
      bool wide = grown[i] >= (is_floating(dtype()) ? largest(dtype()) : kExactInteger) || (!is_floating(dtype()) && out_.error[i] != 0);
      // Partial products may overflow or vanish in one order and not in another.
      bool vanishes = is_floating(dtype()) && shrunk[i] < 1e-30;
      if (freed[i] != 0 || wide || vanishes || !std::isfinite(out_.value[i])) out_.free[i] = 1;
    }
    round(1);
  }

  /// The sum of each group, whatever this op's kind.
  Numbers group_sum(const Numbers& flags) const {
    Node sum = node_;
    sum.attrs.set("kind", std::string("add"));
    TensorType from{DType::float64, types_[0].shape};
    Numbers result;
    sum.op->reference(*sum.op, std::span(&from, 1), std::span(&flags, 1), {DType::float64, node_.type.shape}, result, sum.attrs);
    return result;
  }

  void extreme() {
    const Bounded& x = *operands_[0];
    Numbers low = on_doubles({plus(x.value, x.error, -1)}), high = on_doubles({plus(x.value, x.error, 1)});
    Numbers freed = group_sum(as_numbers(x.free));
    for (std::size_t i = 0; i < out_.value.size(); ++i) {
      out_.error[i] = std::max(distance(low[i], out_.value[i]), distance(high[i], out_.value[i]));
      if (freed[i] != 0) out_.free[i] = 1;
    }
  }

  void window() {
    const Bounded& x = *operands_[0];
    if (node_.attrs.get<std::string>("kind") != "add") return extreme();
    sum(on_doubles({x.error}), on_doubles({magnitude(x.value)}), on_doubles({ones(x)}), on_doubles({as_numbers(x.free)}));
  }

  void arg_reduce() {
    const Bounded& x = *operands_[0];
    const Shape& shape = x.type.shape;
    std::int64_t axis = node_.attrs.get<std::int64_t>("axis"), length = shape[axis], inner = 1;
    for (int i = static_cast<int>(axis) + 1; i < shape.rank(); ++i) inner *= shape[i];
    double sign = node_.attrs.get<std::string>("kind") == "max" ? 1 : -1;
    for (std::size_t i = 0; i < out_.value.size(); ++i) {
      auto at = [&](std::int64_t k) {
        auto place = static_cast<std::int64_t>(i);
        return static_cast<std::size_t>((place / inner * length + k) * inner + place % inner);
      };
      std::size_t winner = at(static_cast<std::int64_t>(out_.value[i]));
      for (std::int64_t k = 0; k < length; ++k) {
        std::size_t other = at(k);
        bool certain = x.error[other] == 0 && x.error[winner] == 0;
        bool close = !(sign * x.value[other] + x.error[other] < sign * x.value[winner] - x.error[winner]);
        if (x.free[other] != 0 || (other != winner && close && !certain)) out_.free[i] = 1;
      }
    }
  }

  /// Instructions for pairs of bfloat16 take subnormal numbers for zeros.
  Bounded flushed(const Bounded& x) const {
    Bounded result = x;
    for (std::size_t i = 0; dtype() == DType::bfloat16 && i < x.value.size(); ++i) {
      if (std::abs(x.value[i]) < kSmallestNormal) result.error[i] += std::abs(x.value[i]);
    }
    return result;
  }

  void contract() {
    const Bounded a = flushed(*operands_[0]), b = flushed(*operands_[1]);
    Numbers size_a = magnitude(a.value), size_b = magnitude(b.value);
    Numbers linear = plus(on_doubles({size_a, b.error}), on_doubles({a.error, plus(size_b, b.error, 1)}), 1);
    Numbers freed = plus(on_doubles({as_numbers(a.free), ones(b)}), on_doubles({ones(a), as_numbers(b.free)}), 1);
    Numbers terms = on_doubles({ones(a), ones(b)});
    if (dtype() == DType::bfloat16) linear = plus(linear, terms, kSmallestNormal);
    sum(linear, on_doubles({size_a, size_b}), terms, freed);
    bool uncertain = any_error(a) || any_error(b);
    // An infinity times a number whose sign is uncertain.
    for (std::size_t i = 0; uncertain && i < out_.value.size(); ++i) {
      if (!std::isfinite(out_.value[i])) out_.free[i] = 1;
    }
  }

  void window_max_grad() {
    const Bounded &x = *operands_[0], &dy = *operands_[1];
    // Which element of a window is its maximum is a discontinuity.
    if (any_error(x)) return free_all();
    Numbers count = on_doubles({x.value, ones(dy)});
    sum(on_doubles({x.value, dy.error}), on_doubles({x.value, magnitude(dy.value)}), count, on_doubles({x.value, as_numbers(dy.free)}));
  }

  // --- movement ----------------------------------------------------------------------------------------------------------

  void movement() {
    std::vector<Numbers> errors, freed;
    for (std::size_t k = 0; k < operands_.size(); ++k) {
      bool index = k == index_operand();
      errors.push_back(index ? operands_[k]->value : operands_[k]->error);
      freed.push_back(index ? operands_[k]->value : as_numbers(operands_[k]->free));
    }
    out_.error = on_doubles(errors);
    Numbers flags = on_doubles(freed);
    for (std::size_t i = 0; i < flags.size(); ++i) out_.free[i] = flags[i] != 0 ? 1 : 0;
  }

  void gather() {
    if (any_error(*operands_[1])) return free_all();
    movement();
  }

  void scatter() {
    const Bounded &x = *operands_[0], &index = *operands_[1], &updates = *operands_[2];
    if (any_error(index)) return free_all();
    Numbers freed = on_doubles({as_numbers(x.free), index.value, as_numbers(updates.free)});
    sum(on_doubles({x.error, index.value, updates.error}), on_doubles({magnitude(x.value), index.value, magnitude(updates.value)}),
        on_doubles({ones(x), index.value, ones(updates)}), freed);
  }

  void exact_source() {}
  void source() { round(kUlps); }

  /// A normal number is a cosine of a rounded angle times at most 6.7.
  void random() {
    source();
    if (node_.attrs.get<std::string>("kind") != "normal") return;
    for (double& e : out_.error) e += 64 * accumulator_epsilon(dtype());
  }

  const Node& node_;
  std::vector<const Bounded*> operands_;
  std::vector<TensorType> types_;
  Bounded out_;
};

}  // namespace

std::vector<Bounded> evaluate_bounded(const graph::Graph& given, std::span<const graph::Value> inputs) {
  const graph::Graph graph = at_lengths_of(given, inputs);
  std::vector<Bounded> values;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.op == nullptr) {
      Bounded input;
      input.type = inputs[i].type();
      input.value = numbers(inputs[i]);
      input.error.assign(input.value.size(), 0);
      input.free.assign(input.value.size(), 0);
      values.push_back(std::move(input));
      continue;
    }
    std::vector<const Bounded*> operands;
    for (graph::NodeId id : node.operands) operands.push_back(&values[static_cast<std::size_t>(id)]);
    values.push_back(OpBound(node, std::move(operands)).run());
  }
  std::vector<Bounded> outputs;
  for (graph::NodeId id : graph.results()) outputs.push_back(values[static_cast<std::size_t>(id)]);
  for (const graph::StateWrite& write : graph.state_writes()) outputs.push_back(values[static_cast<std::size_t>(write.value)]);
  return outputs;
}

std::optional<std::string> outside(const graph::Value& got, const Bounded& expected) {
  if (got.type() != expected.type) return fmt::format("got {}, expected {}", got.type().str(), expected.type.str());
  Numbers actual = numbers(got);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (expected.free[i] != 0 || distance(actual[i], expected.value[i]) <= expected.error[i]) continue;
    return fmt::format("element {}: got {:.9g}, expected {:.9g} +- {:.3g}", i, actual[i], expected.value[i], expected.error[i]);
  }
  return {};
}

}  // namespace kiln::testing
