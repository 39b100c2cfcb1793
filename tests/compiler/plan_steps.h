// Traces and training steps as graphs, for tests of plans.
#pragma once
#include <cmath>
#include <random>
#include <vector>

#include "graph/graph.h"
#include "graph/tape.h"
#include "graph/trace.h"
#include "graph/value_ops.h"
#include "graph/variable.h"
#include "ops/composite.h"

namespace kiln::testing {

/// Numbers in [low, high) of that type, the same for the same seed.
inline graph::Value make_tensor(Shape shape, unsigned seed, DType dtype = DType::float32, double low = -1, double high = 1) {
  std::mt19937 generator(seed);
  const auto count = static_cast<std::size_t>(shape.count());
  runtime::Buffer buffer = runtime::Buffer::allocate(count * size_of(dtype));
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    for (std::size_t i = 0; i < count; ++i) {
      const double x = low + (high - low) * (static_cast<double>(generator()) / 4294967296.0);
      if constexpr (std::is_arithmetic_v<T>) static_cast<T*>(buffer.data())[i] = static_cast<T>(x);
    }
  });
  return graph::Value::eager({dtype, shape}, buffer);
}

/// A trace of `body` on float32 arguments of those shapes.
template <class Body>
graph::Captured trace(std::vector<Shape> shapes, const Body& body) {
  graph::Trace t("f");
  std::vector<graph::Value> arguments;
  for (const Shape& s : shapes) arguments.push_back(t.add_argument("x", {DType::float32, s}, Loc::here()));
  const std::vector<graph::Value> results = body(arguments);
  return t.finish(results);
}

/// A step under construction: variables, and how gradients change them.
struct Step {
  explicit Step(const char* name) : trace(name) {}

  graph::VariablePtr variable(Shape shape, const char* name, bool trainable = true) {
    const double spread = shape.rank() == 0 ? 0 : 0.1;
    auto v = graph::make_variable(make_tensor(shape, ++seed, DType::float32, -spread, spread), name, trainable);
    if (trainable) variables.push_back(v);
    return v;
  }

  /// x w + b
  static graph::Value dense(const graph::Value& x, const graph::VariablePtr& w, const graph::VariablePtr& b) {
    return ops::matmul(x, graph::read_variable(w)) + graph::read_variable(b);
  }

  static graph::Value loss_of(const graph::Value& logits, const graph::Value& labels) {
    return ops::mean(ops::sparse_softmax_cross_entropy(labels, logits), {0});
  }

  std::vector<graph::Value> gradients(graph::Tape& tape, const graph::Value& loss) {
    std::vector<graph::Value> sources;
    for (const auto& v : variables) sources.push_back(tape.watched(v));
    return tape.gradient(loss, sources, {}, true);
  }

  void sgd(const std::vector<graph::Value>& gradients, double rate) {
    for (std::size_t i = 0; i < variables.size(); ++i)
      graph::assign_variable(variables[i], graph::read_variable(variables[i]) - gradients[i] * graph::Value(rate));
  }

  void adam(const std::vector<graph::Value>& gradients) {
    using graph::Value;
    auto steps = variable({}, "adam/steps", false);
    Value t = graph::read_variable(steps) + Value(1.0);
    graph::assign_variable(steps, t);
    Value rate = Value(1e-3) * sqrt(Value(1.0) - pow(Value(0.999), t)) / (Value(1.0) - pow(Value(0.9), t));
    const auto trainable = variables;
    for (std::size_t i = 0; i < trainable.size(); ++i) {
      const Shape shape = trainable[i]->type.shape;
      auto m = variable(shape, "adam/m", false), v = variable(shape, "adam/v", false);
      Value m1 = graph::read_variable(m) * Value(0.9) + gradients[i] * Value(0.1);
      Value v1 = graph::read_variable(v) * Value(0.999) + square(gradients[i]) * Value(0.001);
      graph::assign_variable(m, m1);
      graph::assign_variable(v, v1);
      graph::assign_variable(trainable[i], graph::read_variable(trainable[i]) - rate * m1 / (sqrt(v1) + Value(1e-7)));
    }
  }

  graph::Trace trace;
  std::vector<graph::VariablePtr> variables;
  unsigned seed = 0;
};

/// 784-128-10 with relu, softmax cross-entropy and SGD.
inline graph::Captured mlp_step(Dim batch = 32) {
  Step s("mlp_step");
  graph::Value x = s.trace.add_argument("x", {DType::float32, {batch, 784}}, Loc::here());
  graph::Value y = s.trace.add_argument("y", {DType::int64, {batch}}, Loc::here());
  auto w1 = s.variable({784, 128}, "w1"), b1 = s.variable({128}, "b1"), w2 = s.variable({128, 10}, "w2"), b2 = s.variable({10}, "b2");
  graph::Tape tape;
  graph::Value loss = Step::loss_of(Step::dense(ops::relu(Step::dense(x, w1, b1)), w2, b2), y);
  s.sgd(s.gradients(tape, loss), 0.1);
  const graph::Value results[] = {loss};
  return s.trace.finish(results);
}

/// conv 3x3x8, relu, max pool, dense 32, relu, dense 10, with Adam.
inline graph::Captured cnn_step() {
  Step s("cnn_step");
  graph::Value x = s.trace.add_argument("x", {DType::float32, {4, 12, 12, 1}}, Loc::here());
  graph::Value y = s.trace.add_argument("y", {DType::int64, {4}}, Loc::here());
  auto k = s.variable({3, 3, 1, 8}, "conv/kernel"), kb = s.variable({8}, "conv/bias");
  auto w1 = s.variable({200, 32}, "w1"), b1 = s.variable({32}, "b1"), w2 = s.variable({32, 10}, "w2"), b2 = s.variable({10}, "b2");
  graph::Tape tape;
  graph::Value c = ops::relu(ops::conv2d(x, graph::read_variable(k), {}) + graph::read_variable(kb));
  graph::Value flat = ops::reshape(ops::max_pool2d(c, {}), {4, 200});
  graph::Value loss = Step::loss_of(Step::dense(ops::relu(Step::dense(flat, w1, b1)), w2, b2), y);
  s.adam(s.gradients(tape, loss));
  const graph::Value results[] = {loss};
  return s.trace.finish(results);
}

}  // namespace kiln::testing
