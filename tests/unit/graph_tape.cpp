// Tapes: what they watch, persistent and used-up ones, higher derivatives, variables, traced gradients.
#include "graph/tape.h"

#include "base/require.h"
#include "graph/interpret.h"
#include "graph/trace.h"
#include "graph/value_ops.h"
#include "graph/variable.h"
#include "ops/build.h"
#include "tests/catch.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::testing;
using Numbers = std::vector<double>;

namespace {

Value one_gradient(Tape& tape, const Value& y, const Value& x, bool release = false) {
  const Value sources[] = {x};
  return tape.gradient(y, sources, {}, release)[0];
}

}  // namespace

TEST_CASE("a gradient follows the chain rule") {
  Value x = tensor({3}, {1, 2, 3});
  Tape tape;
  tape.watch(x);
  Value y = x * x + 3.0 * x;
  CHECK(numbers(one_gradient(tape, y, x)) == Numbers{5, 7, 9});
}

TEST_CASE("gradients are summed to the shape of a broadcast operand") {
  Value x = tensor({2, 3}, {1, 2, 3, 4, 5, 6});
  Value b = tensor({3}, {1, 1, 1}), c = tensor({}, {2}), r = tensor({2, 1}, {1, 2});
  const Value sources[] = {x, b, c, r};
  Tape tape;
  for (const Value& v : sources) tape.watch(v);
  Value y = (x + b) * c * r;
  std::vector<Value> g = tape.gradient(y, sources);
  CHECK(numbers(g[0]) == Numbers{2, 2, 2, 4, 4, 4});
  CHECK(numbers(g[1]) == Numbers{6, 6, 6});
  CHECK(numbers(g[2]) == Numbers{9 + 2 * 18});
  CHECK(g[3].shape() == Shape{2, 1});
  CHECK(numbers(g[3]) == Numbers{18, 36});
}

TEST_CASE("only what a watched value reaches is logged") {
  Value x = tensor({2}, {1, 2}), other = tensor({2}, {3, 4});
  Tape tape;
  tape.watch(x);
  Value unrelated = other * other + 1.0;
  CHECK(tape.size() == 0);
  Value y = x * unrelated;
  CHECK(tape.size() == 1);
  Value flags = greater(y, 0.0);
  CHECK(tape.size() == 1);
  CHECK(any_tape_watches(y));
  CHECK_FALSE(any_tape_watches(flags));
  CHECK_FALSE(any_tape_watches(other));
  {
    NoTapeScope quiet;
    CHECK_FALSE(any_tape_watches(y));
    Value z = y * y;
  }
  CHECK(tape.size() == 1);
  tape.stop();
  Value late = y * y;
  CHECK(tape.size() == 1);
  CHECK_FALSE(one_gradient(tape, late, x).defined());
  CHECK(one_gradient(tape, y, x).defined());
}

TEST_CASE("an unconnected source has no gradient") {
  Value x = tensor({2}, {1, 2}), z = tensor({2}, {1, 2});
  Tape tape;
  tape.watch(x);
  tape.watch(z);
  Value y = x * 2.0;
  const Value sources[] = {x, z, tensor({1}, {0})};
  std::vector<Value> g = tape.gradient(y, sources);
  CHECK(g[0].defined());
  CHECK_FALSE(g[1].defined());
  CHECK_FALSE(g[2].defined());
  CHECK_FALSE(one_gradient(tape, z, x).defined());
  CHECK(numbers(one_gradient(tape, x, x)) == Numbers{1, 1});
}

TEST_CASE("a used-up tape says so, a persistent one goes on") {
  Value x = tensor({2}, {1, 2});
  Tape persistent, once;
  persistent.watch(x);
  once.watch(x);
  Value y = x * x;
  CHECK(numbers(one_gradient(persistent, y, x)) == Numbers{2, 4});
  CHECK(numbers(one_gradient(persistent, y, x)) == Numbers{2, 4});
  CHECK(numbers(one_gradient(once, y, x, true)) == Numbers{2, 4});
  CHECK(once.stopped());
  CHECK(once.size() == 0);
  CHECK_THROWS_AS(one_gradient(once, y, x), StateError);
  CHECK_THROWS_AS(once.watch(x), StateError);
}

TEST_CASE("gradients of gradients") {
  Value x = tensor({2}, {0.5, -1.5}, DType::float64);
  SECTION("on nested tapes") {
    Tape outer;
    outer.watch(x);
    Value first;
    {
      Tape inner;
      inner.watch(x);
      Value y = x * x * x;
      first = one_gradient(inner, y, x, true);
    }
    CHECK(numbers(one_gradient(outer, first, x)) == Numbers{3, -9});
  }
  SECTION("on one tape") {
    Tape tape;
    tape.watch(x);
    Value y = x * x * x * x;
    Value g = one_gradient(tape, y, x);
    Value gg = one_gradient(tape, g, x);
    Value ggg = one_gradient(tape, gg, x);
    CHECK(numbers(gg) == Numbers{12 * 0.25, 12 * 2.25});
    CHECK(numbers(ggg) == Numbers{12, -36});
  }
}

TEST_CASE("gradients that nobody asked for are not computed") {
  Trace trace("f");
  Value x = trace.add_argument("x", {DType::float32, {4, 3}}, {}), w = trace.add_argument("w", {DType::float32, {3, 5}}, {});
  Tape tape;
  tape.watch(w);
  Value y = ops::contract(x, w, "mk,kn->mn");
  const Value results[] = {one_gradient(tape, y, w)};
  Captured captured = trace.finish(results);
  int contractions = 0;
  for (const Node& node : captured.graph->nodes()) contractions += node.attrs.has("equation") ? 1 : 0;
  CHECK(contractions == 2);
}

TEST_CASE("a seed weighs the target") {
  Value x = tensor({2}, {1, 2});
  Tape tape;
  tape.watch(x);
  Value y = x * x;
  const Value sources[] = {x};
  CHECK(numbers(tape.gradient(y, sources, tensor({2}, {10, 100}))[0]) == Numbers{20, 400});
  CHECK(numbers(tape.gradient(y, sources, Value(0.5))[0]) == Numbers{1, 2});
  CHECK_THROWS_AS(tape.gradient(y, sources, tensor({1}, {1})), ShapeError);
  CHECK_THROWS_AS(tape.gradient(y, sources, tensor({2}, {1, 1}, DType::float64)), DTypeError);
}

TEST_CASE("integers cannot be watched") {
  Tape tape;
  CHECK_THROWS_AS(tape.watch(tensor({1}, {1}, DType::int32)), DTypeError);
}

TEST_CASE("variables are watched when they are read") {
  VariablePtr w = make_variable(tensor({2}, {1, 2}), "w", true), frozen = make_variable(tensor({2}, {3, 4}), "f", false);
  Tape tape;
  CHECK_FALSE(tape.watched(w).defined());
  Value y = read_variable(w) * read_variable(frozen) + read_variable(w);
  CHECK(numbers(one_gradient(tape, y, tape.watched(w))) == Numbers{4, 5});
  CHECK_FALSE(tape.watched(frozen).defined());
}

TEST_CASE("a variable's gradient counts the reads before and after an assignment") {
  VariablePtr w = make_variable(tensor({1}, {2}), "w", true);
  Tape tape;
  Value before = read_variable(w) * 3.0;
  assign_variable(w, tensor({1}, {5}));
  Value after = read_variable(w) * read_variable(w);
  CHECK(numbers(one_gradient(tape, before + after, tape.watched(w))) == Numbers{13});
}

TEST_CASE("two variables made from one tensor are told apart") {
  Value start = tensor({1}, {2});
  VariablePtr a = make_variable(start, "a", true), b = make_variable(start, "b", true);
  Tape tape;
  tape.watch(start);
  Value y = read_variable(a) * read_variable(b);
  CHECK(numbers(one_gradient(tape, y, tape.watched(a))) == Numbers{2});
  CHECK_FALSE(one_gradient(tape, y, start).defined());
}

TEST_CASE("gradient ops carry their forward op's line, and eager tapes ignore traced ops") {
  Value watched = random_tensor({600}, 1);
  Tape outer;
  outer.watch(watched);
  Trace trace("f");
  Value x = trace.add_argument("x", {DType::float32, {600}}, {"user.cpp", 1});
  Value g;
  {
    Tape tape;
    tape.watch(x);
    Value y;
    {
      LocationScope line({"user.cpp", 7});
      y = tanh(x * watched);
    }
    LocationScope line({"user.cpp", 9});
    g = one_gradient(tape, y, x);
  }
  CHECK(outer.size() == 0);
  const Value results[] = {g};
  Captured captured = trace.finish(results);
  INFO(captured.graph->text());
  int checked = 0;
  for (const Node& node : captured.graph->nodes()) {
    if (node.op == nullptr || node.op->kind != ops::OpKind::elementwise) continue;
    CHECK(node.loc.line == 7);
    ++checked;
  }
  CHECK(checked > 3);
}

TEST_CASE("a traced gradient is the eager gradient") {
  Value x = random_tensor({4, 3}, 1), w = random_tensor({3, 5}, 2), b = random_tensor({5}, 3);
  auto loss_gradients = [](const Value& x, const Value& w, const Value& b) {
    const Value sources[] = {x, w, b};
    Tape tape;
    for (const Value& v : sources) tape.watch(v);
    Value h = tanh(ops::contract(x, w, "mk,kn->mn") + b);
    Value loss = ops::reduce_sum(h * h, {0, 1});
    return tape.gradient(loss, sources, {}, true);
  };
  std::vector<Value> eager = loss_gradients(x, w, b);
  Trace trace("f");
  const Value arguments[] = {x, w, b};
  std::vector<Value> symbolic;
  for (const Value& v : arguments) symbolic.push_back(trace.add_argument("", v.type(), {}));
  std::vector<Value> traced = loss_gradients(symbolic[0], symbolic[1], symbolic[2]);
  Captured captured = trace.finish(traced);
  captured.graph->verify();
  std::vector<Value> run = interpret(*captured.graph, arguments);
  for (std::size_t i = 0; i < 3; ++i) CHECK(same_bits(run[i], eager[i]));
}
