// The fuzzer itself: what it draws, whether it can fail, and whether failures are narrowed down.
#include <set>

#include "graph/interpret.h"
#include "tests/catch.h"
#include "tests/fuzz/lib/coverage.h"
#include "tests/fuzz/lib/legs.h"
#include "tests/fuzz/lib/structural_cases.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::testing;
using graph::Value;

namespace {

/// The interpreter with one thing wrong.
Leg broken(Compare compare, std::function<void(std::vector<Value>&)> change) {
  return {"broken", compare, [change](const graph::Graph& graph) -> Runner {
            return [&graph, change](std::span<const Value> inputs) {
              std::vector<Value> out = graph::interpret(graph, inputs);
              change(out);
              return out;
            };
          }};
}

Leg with_first(Compare compare, double (*change)(double)) {
  return broken(compare, [change](std::vector<Value>& out) {
    std::vector<double> values = numbers(out[0]);
    values[0] = change(values[0]);
    out[0] = tensor(out[0].shape(), values, out[0].dtype());
  });
}

/// A case whose first result begins with a float32 that is bound.
FuzzCase bound_case() {
  for (std::uint64_t seed = 1; seed < 500; ++seed) {
    FuzzCase c = random_case(seed, {.edge_values = false});
    const Value& first = c.runs[0].eager[0];
    if (first.dtype() != DType::float32 || first.shape().count() == 0) continue;
    Bounded bound = evaluate_bounded(*c.graph, c.runs[0].inputs)[0];
    if (bound.free[0] == 0 && std::isfinite(bound.value[0]) && bound.error[0] < 1) return c;
  }
  FAIL("no such case");
  return {};
}

}  // namespace

TEST_CASE("CI's graphs hold every op with every type that it takes, symbols, state, gradients, empty values and every rank") {
  Coverage coverage;
  std::size_t checked = 0, free = 0;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    FuzzCase c = random_case(seed, options_of(seed));
    coverage.add(c);
    if (seed % 10 != 0) continue;
    for (const Bounded& b : evaluate_bounded(*c.graph, c.runs[0].inputs)) {
      checked += b.value.size();
      for (std::size_t i = 0; i < b.value.size(); ++i) free += b.free[i] != 0 || b.error[i] > 0.1 * std::abs(b.value[i]) + 0.01 ? 1 : 0;
    }
  }
  CHECK(never_drawn(coverage) == std::vector<std::string>());
  for (const ops::OpDef* op : ops::all_ops()) {
    INFO(op->name);
    if (op->kind == ops::OpKind::structural) CHECK(has_structural_case(*op));
  }
  CHECK(coverage.symbolic > 300);
  CHECK(coverage.state > 300);
  CHECK(coverage.gradients > 200);
  CHECK(coverage.empty > 300);
  for (std::size_t rank = 0; rank <= 5; ++rank) CHECK(coverage.ranks[rank] > 300);
  // Bounds are tight enough to mean something.
  INFO(free << " of " << checked << " numbers are not bound");
  CHECK(free * 4 < checked);
}

TEST_CASE("the same seed gives the same case") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    FuzzCase a = random_case(seed, options_of(seed)), b = random_case(seed, options_of(seed));
    CHECK(a.graph->hash() == b.graph->hash());
    for (std::size_t i = 0; i < a.runs[0].eager.size(); ++i) CHECK(same_bits(a.runs[0].eager[i], b.runs[0].eager[i]));
  }
}

TEST_CASE("the comparison fails where it must") {
  FuzzCase c = bound_case();
  auto nan = [](double) { return std::nan(""); };
  auto off = [](double x) { return x * 1.5 + 1e3; };
  auto last_bit = [](double x) { return static_cast<double>(std::nextafter(static_cast<float>(x), 1e30f)); };
  for (const Leg& leg : interpreter_legs()) CHECK(check_leg(leg, c).empty());
  for (Compare compare : {Compare::bits, Compare::bound}) {
    CHECK_FALSE(check_leg(with_first(compare, nan), c).empty());
    CHECK_FALSE(check_leg(with_first(compare, off), c).empty());
    CHECK_FALSE(check_leg(broken(compare, [](std::vector<Value>& out) { out.pop_back(); }), c).empty());
    CHECK_FALSE(check_leg(broken(compare, [](std::vector<Value>&) { throw std::runtime_error("no"); }), c).empty());
  }
  CHECK_FALSE(check_leg(with_first(Compare::bits, last_bit), c).empty());
}

TEST_CASE("parts of a case compute what the whole computes") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    FuzzCase c = random_case(seed, options_of(seed));
    INFO("seed " << seed << "\n" << c.graph->text(false));
    FuzzCase same = reduced(c, {});
    REQUIRE(same.runs.size() == c.runs.size());
    for (std::size_t r = 0; r < c.runs.size(); ++r) {
      for (std::size_t i = 0; i < c.runs[r].eager.size(); ++i) CHECK(same_bits(same.runs[r].eager[i], c.runs[r].eager[i]));
    }
    Reduction cut;
    cut.cut.assign(c.graph->nodes().size(), true);
    FuzzCase leaves = reduced(c, cut);
    for (std::size_t i = 0; i < c.runs[0].eager.size(); ++i) CHECK(same_bits(leaves.runs[0].eager[i], c.runs[0].eager[i]));
    CHECK(leaves.graph->nodes().size() <= c.graph->nodes().size() + c.graph->parameters().size());
  }
}

TEST_CASE("the bounds of a symbolic graph are those of its lengths") {
  int seen = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    FuzzCase c = random_case(seed, {.max_nodes = 10, .symbolic = true});
    for (const FuzzRun& run : c.runs) {
      graph::Graph known = at_lengths_of(*c.graph, run.inputs);
      for (const graph::Node& node : known.nodes()) CHECK(node.type.shape.is_static());
      std::vector<Value> results = graph::interpret(known, run.inputs);
      for (std::size_t i = 0; i < results.size(); ++i) CHECK(same_bits(results[i], run.eager[i]));
    }
    seen += c.runs[0].eager[0].shape() == c.runs[1].eager[0].shape() ? 0 : 1;
  }
  CHECK(seen > 5);
}
