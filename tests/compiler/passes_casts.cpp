// A cast of a cast becomes one cast only where every value comes out the same: all pairs of steps between dtypes, on edge values.
#include <algorithm>
#include <limits>

#include "graph/interpret.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/passes.h"
#include "tests/catch.h"
#include "tests/values.h"

namespace kiln::passes {
namespace {

graph::Value edge_values(DType dtype) {
  std::vector<double> values = {0, 1, 2, 3, 127, 100};
  if (dtype == DType::boolean) values = {0, 1};
  if (dtype == DType::uint8) values = {0, 1, 2, 127, 128, 200, 255};
  if (dtype == DType::int8) values = {0, 1, -1, 127, -127, -128};
  if (dtype == DType::int32)
    values = {0, 1, -1, 200, -200, 300, 2049, 65535, 65537, 70000, 16777217, 33554431, 2147483647.0, -2147483648.0};
  if (dtype == DType::int64) values = {0, 1, -1, 300, 70000, 16777217, 0x1p31, 0x1p32 + 5, 0x1p53, 0x1p62, -0x1p63};
  if (is_floating(dtype)) {
    const double inf = std::numeric_limits<double>::infinity();
    values = {0.0,       -0.0,  0.5,  -0.5,     1.5,      -1.5,     255.5, 256,  300,   -300,   2049, 65504,    65519,
              65520,     1e-8,  3e38, -3e38,    2.5e9,    -2.5e9,   1e19,  1e30, 6e-8,  1e-40,  inf,  -inf,     std::nan(""),
              0x1p-1074, 1e300, 0.1,  0x1.8p-9, 1 + 1e-3, 1 + 1e-7, 2.5,   3.5,  127.9, -128.9, -129, 1 + 1e-12};
  }
  return testing::tensor(Shape{static_cast<std::int64_t>(values.size())}, values, dtype);
}

graph::Graph two_casts(const TensorType& from, DType middle, DType to) {
  graph::Graph graph("casts");
  const auto x = graph.add_parameter({graph::ParameterKind::argument, "x", 0}, from, {});
  const auto inner = graph.add(ops::op("cast"), {x}, {{"dtype", middle}}, {});
  graph.add_result(graph.add(ops::op("cast"), {inner}, {{"dtype", to}}, {}));
  return graph;
}

}  // namespace

TEST_CASE("casts of casts keep every bit") {
  const auto context = ir::make_context();
  int merged = 0;
  for (int code = 0; code < kDTypeCount * kDTypeCount * kDTypeCount; ++code) {
    const auto from = static_cast<DType>(code % kDTypeCount);
    const auto middle = static_cast<DType>(code / kDTypeCount % kDTypeCount);
    const auto to = static_cast<DType>(code / kDTypeCount / kDTypeCount);
    const graph::Value x = edge_values(from);
    const graph::Graph before = two_casts(x.type(), middle, to);
    const auto module = ir::import_graph(*context, before);
    canonicalize(ir::only_function(*module), {});
    const graph::Graph after = ir::export_graph(ir::only_function(*module));
    if (middle != from && middle != to && after.nodes().size() < before.nodes().size()) ++merged;
    INFO(name(from) << " -> " << name(middle) << " -> " << name(to));
    CHECK(testing::same_bits(graph::interpret(before, std::span(&x, 1))[0], graph::interpret(after, std::span(&x, 1))[0]));
  }
  CHECK(merged > 50);
}

}  // namespace kiln::passes
