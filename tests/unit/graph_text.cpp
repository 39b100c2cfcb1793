// Hash, text and Graphviz form of graphs, and what verify() finds.
#include "base/require.h"
#include "graph/graph.h"
#include "graph/trace.h"
#include "graph/value_ops.h"
#include "ops/build.h"
#include "tests/catch.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::testing;

namespace {

struct Variation {
  std::string name = "f", argument = "x";
  int line = 1;
  DType dtype = DType::float32;
  Dim rows = 4;
  double factor = 2;
  std::int64_t axis = 0;
  bool swapped = false, extra_result = false, write = false;
};

std::shared_ptr<const Graph> build(const Variation& v) {
  Trace trace(v.name);
  LocationScope line({"user.cpp", v.line});
  Value x = trace.add_argument(v.argument, {v.dtype, {v.rows, 3}}, {"user.cpp", v.line});
  Value y = v.swapped ? exp(x) - x * v.factor : x * v.factor - exp(x);
  std::vector<Value> results = {ops::reduce_sum(y, {v.axis})};
  if (v.extra_result) results.push_back(y);
  VariablePtr state = make_variable(tensor({1}, {1}, v.dtype), "state", false);
  Value old = read_variable(state);
  if (v.write) assign_variable(state, old + old);
  return trace.finish(results).graph;
}

}  // namespace

TEST_CASE("the hash ignores names and lines and nothing else") {
  std::string base = build({})->hash();
  CHECK(base.size() == 32);
  CHECK(build({.name = "other"})->hash() == base);
  CHECK(build({.argument = "input"})->hash() == base);
  CHECK(build({.line = 99})->hash() == base);
  std::vector<Variation> different = {{.dtype = DType::float64},
                                      {.rows = 5},
                                      {.factor = 3},
                                      {.factor = -2},
                                      {.axis = 1},
                                      {.swapped = true},
                                      {.extra_result = true},
                                      {.write = true},
                                      {.rows = Dim::symbol("n")}};
  for (std::size_t i = 0; i < different.size(); ++i) {
    INFO(i);
    CHECK(build(different[i])->hash() != base);
  }
  CHECK(build({.rows = Dim::symbol("n")})->hash() == build({.rows = Dim::symbol("batch")})->hash());
  CHECK(build({.rows = Dim::symbol("n")})->hash() != build({.rows = Dim::symbol("n") * Dim(2)})->hash());
}

TEST_CASE("text with lines, attributes and writes") {
  VariablePtr w = make_variable(tensor({3}, {1, 2, 3}), "fc/kernel", true);
  Trace trace("step");
  Dim batch = Dim::symbol("batch");
  Value x = trace.add_argument("x", {DType::float32, {batch, 3}}, {"user.cpp", 3});
  LocationScope line({"user.cpp", 4});
  Value y = ops::reduce_sum(x, {0});
  assign_variable(w, read_variable(w) - y);
  const Value results[] = {y};
  Captured captured = trace.finish(results);
  CHECK(
      captured.graph->text() ==
      "func.func @step(%0: tensor<?x3xf32, \"batch, 3\"> {kiln.kind = \"argument\", kiln.name = \"x\"} loc(\"user.cpp\":3:0), "
      "%1: tensor<3xf32> {kiln.kind = \"variable\", kiln.name = \"fc/kernel\"} loc(\"user.cpp\":4:0)) -> (tensor<3xf32>, tensor<3xf32>) {\n"
      "  %2 = kiln.reduce %0 {axes = array<i64: 0>, kind = \"add\"} : (tensor<?x3xf32, \"batch, 3\">) -> tensor<3xf32> "
      "loc(\"user.cpp\":4:0)\n"
      "  %3 = kiln.map \"sub\" %1, %2 : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32> loc(\"user.cpp\":4:0)\n"
      "  kiln.return %2, %3 {writes = array<i64: 1>} : tensor<3xf32>, tensor<3xf32>\n"
      "}\n");
  CHECK(captured.graph->text(false).find("loc(") == std::string::npos);
}

TEST_CASE("constants read back exactly") {
  auto text_of = [](const Value& v) {
    Trace trace("f");
    const Value results[] = {v};
    std::string text = trace.finish(results).graph->text(false);
    std::size_t begin = text.find("dense<");
    return text.substr(begin, text.find("}", begin) - begin);
  };
  CHECK(text_of(tensor({}, {1})) == "dense<1.0> : tensor<f32>");
  CHECK(text_of(tensor({}, {0.1})) == "dense<0.1> : tensor<f32>");
  CHECK(text_of(tensor({}, {1e-20})) == "dense<1.0e-20> : tensor<f32>");
  CHECK(text_of(tensor({}, {-0.0})) == "dense<-0.0> : tensor<f32>");
  CHECK(text_of(tensor({}, {INFINITY})) == "dense<0x7F800000> : tensor<f32>");
  CHECK(text_of(tensor({}, {-INFINITY}, DType::float16)) == "dense<0xFC00> : tensor<f16>");
  CHECK(text_of(tensor({2}, {1, 1}, DType::int64)) == "dense<1> : tensor<2xi64>");
  CHECK(text_of(tensor({2}, {1, 2}, DType::int32)) == "dense<\"0x0100000002000000\"> : tensor<2xi32>");
  CHECK(text_of(tensor({2, 1}, {1, 0}, DType::boolean)) == "dense<[[true], [false]]> : tensor<2x1xi1>");
  CHECK(text_of(tensor({0}, {}, DType::float32)) == "dense<> : tensor<0xf32>");
}

TEST_CASE("names are quoted where they must be") {
  Trace trace("a \"b\"\\\n");
  CHECK(trace.finish({}).graph->text() == "func.func @\"a \\22b\\22\\5C\\0A\"() {\n  kiln.return\n}\n");
}

TEST_CASE("Graphviz") {
  Trace trace("f");
  Value x = trace.add_argument("x\"", {DType::float32, {2}}, {});
  const Value results[] = {exp(x)};
  CHECK(trace.finish(results).graph->dot() ==
        "digraph \"f\" {\n"
        "  node [shape=box, fontname=\"sans-serif\"];\n"
        "  n0 [label=\"x\\\"\\nfloat32[2]\", shape=ellipse];\n"
        "  n1 [label=\"exp\\nfloat32[2]\"];\n"
        "  n0 -> n1;\n"
        "  r0 [label=\"result 0\", shape=ellipse, style=bold];\n"
        "  n1 -> r0;\n"
        "}\n");
}

TEST_CASE("verify finds what is wrong") {
  const ops::OpDef& add_op = ops::op("add");
  Node late;
  late.op = &add_op;
  late.operands = {0, 2};
  late.type = {DType::float32, {2}};
  Graph forward("f");
  forward.add_parameter({}, {DType::float32, {2}}, {});
  forward.add(late);
  CHECK_THROWS_AS(forward.verify(), InternalError);

  Graph mistyped("f");
  mistyped.add_parameter({}, {DType::float32, {2}}, {});
  late.operands = {0, 0};
  late.type = {DType::float64, {2}};
  mistyped.add(late);
  CHECK_THROWS_AS(mistyped.verify(), InternalError);

  Graph narrow("f");
  narrow.add_parameter({}, {DType::float32, {1}}, {});
  late.type = {DType::float32, {2}};
  narrow.add(late);
  CHECK_THROWS_AS(narrow.verify(), InternalError);

  Graph write("f");
  write.add_parameter({}, {DType::float32, {2}}, {});
  write.add_parameter({}, {DType::float32, {3}}, {});
  write.add_state_write({0, 1});
  CHECK_THROWS_AS(write.verify(), InternalError);
}
