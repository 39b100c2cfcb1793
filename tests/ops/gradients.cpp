// Gradients of every differentiable op against central differences in float64, and a few second derivatives.
#include <cmath>

#include "graph/tape.h"
#include "graph/value_ops.h"
#include "ops/build.h"
#include "ops/composite.h"
#include "tests/catch.h"
#include "tests/fuzz/lib/structural_cases.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::testing;
using Numbers = std::vector<double>;

namespace {

using Function = std::function<Value(std::span<const Value>)>;

/// sum(weights * y): one number whose gradient reaches every element.
double weighted(const Value& y, const Numbers& weights) {
  Numbers v = numbers(y);
  double sum = 0;
  for (std::size_t i = 0; i < v.size(); ++i) sum += v[i] * weights[i];
  return sum;
}

struct Difference {
  double value = 0;
  bool smooth = false;  ///< two steps agree: no kink and no pole nearby
};

Difference central_difference(const Function& f, std::vector<Value> at, std::size_t operand, std::size_t element, const Numbers& weights) {
  Value original = at[operand];
  Numbers base = numbers(original);
  auto slope = [&](double h) {
    Numbers moved = base;
    moved[element] = base[element] + h;
    at[operand] = tensor(original.shape(), moved, original.dtype());
    double up = weighted(f(at), weights);
    moved[element] = base[element] - h;
    at[operand] = tensor(original.shape(), moved, original.dtype());
    return (up - weighted(f(at), weights)) / (2 * h);
  };
  double coarse = slope(2e-5), fine = slope(1e-5);
  return {fine, std::abs(coarse - fine) <= 1e-6 * (1 + std::abs(fine))};
}

/// Compares d(sum(weights * f))/d(operand) with differences for each floating operand. Returns how many elements were compared.
int check_gradient(const Function& f, const std::vector<Value>& at, unsigned seed) {
  Tape tape;
  for (const Value& v : at) {
    if (is_floating(v.dtype())) tape.watch(v);
  }
  Value y = f(at);
  Numbers weights = random_numbers(static_cast<std::size_t>(y.shape().count()), seed + 1000, 0.5, 1.5);
  std::vector<Value> gradients = tape.gradient(y, at, tensor(y.shape(), weights, y.dtype()), true);
  int compared = 0;
  for (std::size_t k = 0; k < at.size(); ++k) {
    if (!is_floating(at[k].dtype())) continue;
    Numbers g = gradients[k].defined() ? numbers(gradients[k]) : Numbers(static_cast<std::size_t>(at[k].shape().count()), 0);
    if (gradients[k].defined()) CHECK(gradients[k].type() == at[k].type());
    std::size_t stride = g.size() / 12 + 1;
    for (std::size_t i = 0; i < g.size(); i += stride) {
      Difference d = central_difference(f, at, k, i, weights);
      if (!d.smooth) continue;
      INFO("operand " << k << " element " << i << " of " << at[k].type().str());
      CHECK(std::abs(g[i] - d.value) <= 2e-6 * (1 + std::abs(d.value)));
      ++compared;
    }
  }
  return compared;
}

bool all_finite(const Value& v) {
  for (double x : numbers(v)) {
    if (!std::isfinite(x)) return false;
  }
  return true;
}

struct Interval {
  double low, high;
};

}  // namespace

TEST_CASE("gradients of elementwise ops") {
  const std::vector<std::vector<Shape>> shapes = {
      {{3, 4}, {3, 4}, {3, 4}}, {{3, 4}, {4}, {3, 1}}, {{1, 4}, {2, 3, 1}, {}}, {{}, {5}, {2, 1}}};
  const Interval intervals[] = {{-1.7, 1.7}, {0.2, 0.9}, {1.1, 1.9}};
  for (const ops::OpDef* op : ops::all_ops()) {
    if (op->kind != ops::OpKind::elementwise || !op->differentiable || op->types == ops::TypeRule::compare) continue;
    int compared = 0;
    for (unsigned s = 0; s < shapes.size(); ++s) {
      for (Interval interval : intervals) {
        INFO(op->name << " shapes " << s << " in [" << interval.low << ", " << interval.high << "]");
        std::vector<Value> at;
        for (int k = 0; k < op->arity; ++k) {
          bool condition = op->types == ops::TypeRule::select && k == 0;
          Value v = random_tensor(shapes[s][static_cast<std::size_t>(k)], 10 * s + static_cast<unsigned>(k), DType::float64, interval.low,
                                  interval.high);
          at.push_back(condition ? greater(v, (interval.low + interval.high) / 2) : v);
        }
        Function f = [op](std::span<const Value> operands) { return apply(*op, operands); };
        if (all_finite(f(at))) compared += check_gradient(f, at, s);
      }
    }
    INFO(op->name);
    CHECK(compared >= 20);
  }
}

TEST_CASE("gradients of structural ops") {
  for (const ops::OpDef* op : ops::all_ops()) {
    if (op->kind != ops::OpKind::structural || !op->differentiable) continue;
    int compared = 0;
    for (unsigned seed = 0; seed < 400 && compared < 400; ++seed) {
      Rng rng(seed);
      Shape shape = random_shape(rng);
      if (shape.count() > 200) continue;
      auto c = structural_case(*op, {DType::float64, shape}, rng);
      if (!c) continue;
      if (c->attrs.has("dtype")) c->attrs.set("dtype", DType::float64);
      std::vector<Value> at;
      for (const OperandSpec& spec : c->operands) {
        auto count = static_cast<std::size_t>(spec.type.shape.count());
        Numbers values = random_numbers(count, seed + static_cast<unsigned>(at.size()));
        if (spec.limit > 0) {
          for (double& v : values) v = static_cast<double>(rng.below(spec.limit));
        }
        at.push_back(tensor(spec.type.shape, values, spec.type.dtype));
      }
      Function f = [&](std::span<const Value> operands) { return apply(*op, operands, c->attrs); };
      INFO(op->name << " seed " << seed << " shape " << shape.str());
      compared += check_gradient(f, at, seed);
    }
    INFO(op->name);
    CHECK(compared >= 50);
  }
}

TEST_CASE("second derivatives") {
  auto second = [](const Function& f, const std::vector<Value>& at, unsigned seed) {
    // The gradient of the first operand, as a function of all.
    Function gradient = [&f](std::span<const Value> operands) {
      Tape tape;
      tape.watch(operands[0]);
      return tape.gradient(f(operands), operands.first(1), {}, true)[0];
    };
    return check_gradient(gradient, at, seed);
  };
  Value x = random_tensor({3, 4}, 1, DType::float64, 0.2, 1.5), w = random_tensor({4, 2}, 2, DType::float64);
  Value b = random_tensor({4}, 3, DType::float64);
  auto unary = [&](Value (*op)(const Value&)) { return second([op](std::span<const Value> v) { return op(v[0]) * v[1]; }, {x, b}, 4); };
  CHECK(unary(exp) >= 10);
  CHECK(unary(log) >= 10);
  CHECK(unary(tanh) >= 10);
  CHECK(unary(sqrt) >= 10);
  CHECK(unary(sigmoid) >= 10);
  CHECK(unary(erf) >= 10);
  CHECK(second([](std::span<const Value> v) { return v[0] / v[1] * v[0]; }, {x, b}, 5) >= 10);
  CHECK(second([](std::span<const Value> v) { return pow(v[0], v[1]); }, {x, b}, 6) >= 10);
  CHECK(second([](std::span<const Value> v) { return square(ops::contract(v[0], v[1], "mk,kn->mn")); }, {x, w}, 7) >= 10);
  CHECK(second([](std::span<const Value> v) { return square(ops::reduce(v[0], "mul", {1})); }, {x}, 8) >= 6);
  CHECK(second([](std::span<const Value> v) { return square(ops::reduce_max(v[0], {1})); }, {x}, 9) >= 3);
  ops::WindowAttrs pool{{2, 2}, {1, 2}, {0, 0}, {0, 0}};
  CHECK(second([&](std::span<const Value> v) { return square(ops::window_reduce(v[0], "max", pool)); }, {x}, 10) >= 3);
}
