// Traces: what becomes an argument, constant, capture or state; leaked values; the journal; splicing.
#include "graph/trace.h"

#include "base/require.h"
#include "graph/interpret.h"
#include "graph/random.h"
#include "graph/value_ops.h"
#include "ops/build.h"
#include "tests/catch.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::testing;
using Numbers = std::vector<double>;

namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

/// Binds a capture's variables and captures, and `arguments` in order.
std::vector<Value> run(const Captured& captured, std::vector<Value> arguments) {
  std::vector<Value> bound;
  std::size_t next = 0;
  for (std::size_t i = 0; i < captured.graph->parameters().size(); ++i) {
    switch (captured.graph->parameters()[i].kind) {
      case ParameterKind::argument:
        bound.push_back(arguments[next++]);
        break;
      case ParameterKind::variable:
        bound.push_back(read_variable(captured.variables[i]));
        break;
      case ParameterKind::capture:
        bound.push_back(captured.captures[i]);
        break;
      case ParameterKind::random:
        bound.push_back(key_value(reserve_streams(captured.random_streams)));
        break;
    }
  }
  return interpret(*captured.graph, bound);
}

Captured finish(Trace& trace, std::vector<Value> results) {
  Captured captured = trace.finish(results);
  captured.graph->verify();
  return captured;
}

}  // namespace

TEST_CASE("small eager operands become constants, large ones captures, each once") {
  Value small = tensor({256}, random_numbers(256, 1)), large = tensor({257}, random_numbers(257, 2));
  Trace trace("f");
  Value x = trace.add_argument("x", {DType::float32, {256}}, {});
  Value z = trace.add_argument("z", {DType::float32, {257}}, {});
  Captured captured = finish(trace, {x * small + small, z * large + large});
  CHECK(captured.graph->num_parameters() == 3);
  CHECK(captured.graph->parameters()[2].kind == ParameterKind::capture);
  CHECK(captured.captures[2] == large);
  int constants = 0;
  for (const Node& node : captured.graph->nodes()) constants += node.op != nullptr && node.attrs.has("value") ? 1 : 0;
  CHECK(constants == 1);
  Value a = random_tensor({256}, 3), b = random_tensor({257}, 4);
  std::vector<Value> got = run(captured, {a, b});
  CHECK(same_bits(got[0], a * small + small));
  CHECK(same_bits(got[1], b * large + large));
}

TEST_CASE("weak scalars become literals of the tensor's dtype, broadcasts are explicit") {
  Trace trace("f");
  Value x = trace.add_argument("x", {DType::float16, {2, 3}}, {});
  Captured captured = finish(trace, {2.0 * x});
  CHECK(captured.graph->text(false) ==
        "func.func @f(%0: tensor<2x3xf16> {kiln.kind = \"argument\", kiln.name = \"x\"}) -> tensor<2x3xf16> {\n"
        "  %1 = kiln.constant {value = dense<2.0> : tensor<f16>} : () -> tensor<f16>\n"
        "  %2 = kiln.broadcast %1 {dims = array<i64>} : (tensor<f16>) -> tensor<2x3xf16>\n"
        "  %3 = kiln.map \"mul\" %2, %0 : (tensor<2x3xf16>, tensor<2x3xf16>) -> tensor<2x3xf16>\n"
        "  kiln.return %3 : tensor<2x3xf16>\n"
        "}\n");
}

TEST_CASE("a variable first read late is still among the first nodes") {
  VariablePtr w = make_variable(tensor({2}, {1, 2}), "w", true);
  Trace trace("f");
  Value x = trace.add_argument("x", {DType::float32, {2}}, {});
  Value y = exp(x);
  Value z = y * read_variable(w);
  Captured captured = finish(trace, {z});
  CHECK(captured.graph->num_parameters() == 2);
  CHECK(captured.graph->parameters()[1].kind == ParameterKind::variable);
  CHECK(captured.variables[1] == w);
  CHECK(captured.graph->state_writes().empty());
  Value a = tensor({2}, {0.5, 1});
  CHECK(same_bits(run(captured, {a})[0], exp(a) * read_variable(w)));
}

TEST_CASE("writes follow program order") {
  VariablePtr v = make_variable(tensor({1}, {10}), "v", false), idle = make_variable(tensor({1}, {0}), "idle", false);
  Trace trace("f");
  Value x = trace.add_argument("x", {DType::float32, {1}}, {});
  assign_variable(v, read_variable(v) + x);
  Value seen = read_variable(v) * 2.0;
  assign_variable(v, read_variable(v) + 100.0);
  assign_variable(idle, read_variable(idle));
  Captured captured = finish(trace, {seen});
  REQUIRE(captured.graph->state_writes().size() == 1);
  CHECK(captured.variables[static_cast<std::size_t>(captured.graph->state_writes()[0].parameter)] == v);
  std::vector<Value> got = run(captured, {tensor({1}, {1})});
  CHECK(numbers(got[0]) == Numbers{22});
  CHECK(numbers(got[1]) == Numbers{111});
  CHECK(numbers(read_variable(v)) == Numbers{10});
}

TEST_CASE("assignments check the type") {
  VariablePtr v = make_variable(tensor({2}, {1, 2}), "fc/bias", true);
  CHECK(message_of([&] { assign_variable(v, tensor({3}, {1, 2, 3})); }) ==
        "assign to variable \"fc/bias\": it holds float32[2], not float32[3]");
  CHECK_THROWS_AS(assign_variable(v, tensor({2}, {1, 2}, DType::float64)), DTypeError);
  assign_variable(v, tensor({2}, {7, 8}));
  CHECK(numbers(read_variable(v)) == Numbers{7, 8});
}

TEST_CASE("a leaked symbolic tensor says where it came from") {
  Value leaked;
  {
    Trace trace("train_step");
    Value x = trace.add_argument("x", {DType::float32, {2}}, {});
    LocationScope line({"user.cpp", 5});
    leaked = x + 1.0;
    finish(trace, {leaked});
  }
  LocationScope line({"user.cpp", 9});
  std::string message = message_of([&] { leaked * 2.0; });
  CHECK(
      message.find("mul: the tensor made at user.cpp:5 while tracing \"train_step\" was used after the trace ended, when it has no value; "
                   "return it from the function, or keep it in a Variable") != std::string::npos);
  CHECK(message.find("user.cpp:9") != std::string::npos);
  Trace other("other");
  CHECK_THROWS_AS(leaked * 2.0, TraceError);
  CHECK_THROWS_AS(leaked.buffer(), TraceError);
}

TEST_CASE("reading a symbolic tensor, and computing initial values from one") {
  Trace trace("f");
  Value x = trace.add_argument("x", {DType::float32, {2}}, {});
  CHECK(message_of([&] { static_cast<void>(x.buffer()); }).find("has a type but no elements") != std::string::npos);
  CHECK_THROWS_AS(make_variable(x, "v", true), TraceError);
  EagerScope eager;
  CHECK(message_of([&] { x + 1.0; }).find("initial values are computed eagerly") != std::string::npos);
}

TEST_CASE("an abandoned trace is undone in reverse order") {
  std::vector<int> undone;
  RandomKey before = reserve_streams(0);
  VariablePtr made;
  try {
    Trace trace("f");
    journal_undo([&] { undone.push_back(1); });
    {
      Trace inner("g");
      journal_undo([&] { undone.push_back(2); });
      finish(inner, {});
    }
    EagerScope eager;
    journal_undo([&] { undone.push_back(3); });
    random_stream();
    random_stream();
    throw ValueError("user", {});
  } catch (const ValueError&) {
  }
  CHECK(undone == std::vector<int>{3, 2, 1});
  CHECK(Trace::current() == nullptr);
  CHECK(reserve_streams(0).stream == before.stream);
  journal_undo([&] { undone.push_back(4); });
  {
    Trace trace("f");
    journal_undo([&] { undone.push_back(5); });
    finish(trace, {});
  }
  CHECK(undone.size() == 3);
}

TEST_CASE("a variable made while tracing is eager, reported, and read as state") {
  Trace trace("f");
  VariablePtr v;
  {
    EagerScope eager;
    v = make_variable(tensor({2}, {1, 2}) * 2.0, "w", true);
  }
  Value y = read_variable(v) + 1.0;
  CHECK(y.symbolic());
  Captured captured = finish(trace, {y});
  REQUIRE(captured.created.size() == 1);
  CHECK(captured.created[0] == v);
  CHECK(numbers(run(captured, {})[0]) == Numbers{3, 5});
  CHECK(make_variable(tensor({1}, {1}), "u", true)->id != v->id);
}

TEST_CASE("a captured graph is spliced into another") {
  VariablePtr v = make_variable(tensor({2}, {1, 2}), "v", true);
  Value large = random_tensor({400}, 5);
  Trace inner("inner");
  Value a = inner.add_argument("a", {DType::float32, {2}}, {});
  assign_variable(v, read_variable(v) + a);
  Captured callee = finish(inner, {read_variable(v) * 2.0, large + 0.0});

  Trace outer("outer");
  Value x = outer.add_argument("x", {DType::float32, {2}}, {});
  assign_variable(v, read_variable(v) * 10.0);
  const Value arguments[] = {exp(x)};
  std::vector<Value> results = outer.splice(callee, arguments);
  Captured captured = finish(outer, {results[0] + read_variable(v), results[1], large * 1.0});
  CHECK(captured.graph->num_parameters() == 3);
  Value x0 = tensor({2}, {0, 1});
  std::vector<Value> got = run(captured, {x0});
  Value updated = tensor({2}, {10, 20}) + exp(x0);
  CHECK(same_bits(got[0], updated * 2.0 + updated));
  CHECK(same_bits(got[3], updated));
  CHECK(same_bits(got[1], large));
}

TEST_CASE("an inner trace captures the outer one's tensors") {
  Trace outer("outer");
  Value x = outer.add_argument("x", {DType::float32, {2}}, {});
  Captured callee;
  {
    Trace inner("inner");
    Value a = inner.add_argument("a", {DType::float32, {2}}, {});
    callee = finish(inner, {a * x});
  }
  const Value arguments[] = {x + 1.0};
  Captured captured = finish(outer, outer.splice(callee, arguments));
  CHECK(captured.graph->num_parameters() == 1);
  CHECK(numbers(run(captured, {tensor({2}, {2, 3})})[0]) == Numbers{6, 12});
}

TEST_CASE("random streams of spliced functions follow the caller's") {
  auto noise = [] {
    auto [key, stream] = random_stream();
    return ops::random(key, "uniform", Shape{4}, DType::float32, stream);
  };
  Trace inner("inner");
  Value n0 = noise(), n1 = noise();
  Captured callee = finish(inner, {n0, n1});
  Trace outer("outer");
  std::vector<Value> all = {noise()};
  for (int i = 0; i < 2; ++i) {
    for (const Value& v : outer.splice(callee, {})) all.push_back(v);
  }
  all.push_back(noise());
  Captured captured = finish(outer, all);
  CHECK(captured.random_streams == 6);
  set_seed(7);
  std::vector<Value> traced = run(captured, {});
  CHECK(reserve_streams(0).stream == 6);
  set_seed(7);
  for (const Value& v : traced) CHECK(same_bits(v, noise()));
}

TEST_CASE("symbolic dims are bound when a graph is interpreted or spliced") {
  Dim batch = Dim::symbol("batch");
  Trace trace("f");
  Value x = trace.add_argument("x", {DType::float32, {batch, 2}}, {});
  Value b = trace.add_argument("b", {DType::float32, {2}}, {});
  Value y = ops::reshape(x + b, {batch * Dim(2)});
  Captured captured = finish(trace, {y});
  Value x3 = random_tensor({3, 2}, 1), b2 = random_tensor({2}, 2);
  CHECK(same_bits(run(captured, {x3, b2})[0], ops::reshape(x3 + b2, {6})));
  CHECK_THROWS_AS(run(captured, {random_tensor({3, 3}, 1), b2}), ShapeError);
  Trace outer("outer");
  Value u = outer.add_argument("u", {DType::float32, {5, 2}}, {});
  const Value arguments[] = {u, b2};
  std::vector<Value> results = outer.splice(captured, arguments);
  CHECK(results[0].shape() == Shape{10});
  finish(outer, results);
}
