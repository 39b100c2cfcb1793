// Random graphs: eager ops against the interpreter, and both against the double reference within its bound.
#include "tests/fuzz/lib/graph_fuzz.h"

#include <set>

#include "graph/interpret.h"
#include "tests/catch.h"
#include "tests/fuzz/lib/error_bound.h"
#include "tests/fuzz/lib/structural_cases.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::testing;

TEST_CASE("interpreted graphs give eager's bits, and stay within the error bound") {
  const Leg legs[] = {{"interpret", Compare::bits, graph::interpret}, {"interpret, bound", Compare::bound, graph::interpret}};
  CHECK(run_fuzz(legs, 2000) == 0);
}

TEST_CASE("every op is generated, and bounds are tight enough to mean something") {
  std::set<std::string_view> seen;
  std::size_t checked = 0, free = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    FuzzCase c = random_case(seed);
    for (const graph::Node& node : c.graph->nodes()) {
      if (node.op != nullptr) seen.insert(node.op->name);
    }
    for (const Bounded& b : evaluate_bounded(*c.graph, c.inputs)) {
      checked += b.value.size();
      for (std::size_t i = 0; i < b.value.size(); ++i) free += b.free[i] != 0 || b.error[i] > 0.1 * std::abs(b.value[i]) + 0.01 ? 1 : 0;
    }
  }
  for (const ops::OpDef* op : ops::all_ops()) {
    INFO(op->name);
    CHECK(seen.contains(op->name));
    if (op->kind == ops::OpKind::structural) CHECK(has_structural_case(*op));
  }
  INFO(free << " of " << checked << " numbers are not bound");
  CHECK(free * 4 < checked);
}

TEST_CASE("the comparison fails where it must") {
  FuzzCase c;
  bool found = false;
  for (std::uint64_t seed = 1; seed < 500 && !found; ++seed) {
    c = random_case(seed, {.edge_values = false});
    if (c.eager[0].dtype() != DType::float32 || c.eager[0].shape().count() == 0) continue;
    Bounded bound = evaluate_bounded(*c.graph, c.inputs)[0];
    found = bound.free[0] == 0 && std::isfinite(bound.value[0]) && bound.error[0] < 1;
  }
  REQUIRE(found);
  auto with_first = [&](double (*change)(double)) {
    return [&c, change](const graph::Graph& g, std::span<const graph::Value> inputs) {
      std::vector<graph::Value> out = graph::interpret(g, inputs);
      std::vector<double> values = numbers(out[0]);
      values[0] = change(values[0]);
      out[0] = tensor(out[0].shape(), values, out[0].dtype());
      return out;
    };
  };
  auto nan = with_first([](double) { return std::nan(""); });
  auto off = with_first([](double x) { return x * 1.5 + 1e3; });
  auto last_bit = with_first([](double x) { return static_cast<double>(std::nextafter(static_cast<float>(x), 1e30f)); });
  CHECK(check_leg({"bits", Compare::bits, graph::interpret}, c).empty());
  for (Compare compare : {Compare::bits, Compare::bound}) {
    CHECK_FALSE(check_leg({"nan", compare, nan}, c).empty());
    CHECK_FALSE(check_leg({"off", compare, off}, c).empty());
  }
  CHECK_FALSE(check_leg({"last bit", Compare::bits, last_bit}, c).empty());
}
