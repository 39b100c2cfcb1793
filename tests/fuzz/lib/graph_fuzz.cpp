// Runs random graphs through legs, compares, and narrows failures down.
#include "tests/fuzz/lib/graph_fuzz.h"

#include <cstdio>
#include <cstdlib>

#include "base/require.h"
#include "graph/interpret.h"
#include "tests/fuzz/lib/error_bound.h"
#include "tests/values.h"

namespace kiln::testing {

namespace {

using graph::Graph;
using graph::NodeId;
using graph::Value;

std::string first_difference(const Value& got, const Value& expected) {
  if (got.type() != expected.type()) return fmt::format("got {}, expected {}", got.type().str(), expected.type().str());
  std::vector<double> a = numbers(got), b = numbers(expected);
  for (std::size_t i = 0; i < a.size(); ++i) {
    bool same = (a[i] == b[i] && std::signbit(a[i]) == std::signbit(b[i])) || (std::isnan(a[i]) && std::isnan(b[i]));
    if (!same) return fmt::format("element {} of {}: got {:.17g}, eager {:.17g}", i, got.type().str(), a[i], b[i]);
  }
  return "other bits";
}

/// What is wrong with one run; empty if nothing. Exceptions count as failures.
std::string compare(const Leg& leg, const Graph& graph, std::span<const Value> inputs, std::span<const Value> eager) {
  std::vector<Value> got;
  try {
    got = leg.run(graph, inputs);
  } catch (const std::exception& e) {
    return fmt::format("threw: {}", e.what());
  }
  if (got.size() != eager.size()) return fmt::format("gave {} outputs, not {}", got.size(), eager.size());
  std::vector<Bounded> bounds;
  if (leg.compare == Compare::bound) bounds = evaluate_bounded(graph, inputs);
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (leg.compare == Compare::bits) {
      if (!same_bits(got[i], eager[i])) return fmt::format("output {}, {}", i, first_difference(got[i], eager[i]));
    } else if (auto wrong = outside(got[i], bounds[i])) {
      return fmt::format("output {}, {}", i, *wrong);
    }
  }
  return "";
}

/// The first node whose slice alone fails, as text.
std::string narrow(const Leg& leg, const FuzzCase& c) {
  for (std::size_t i = c.graph->parameters().size(); i < c.graph->nodes().size(); ++i) {
    Graph slice = slice_of(*c.graph, static_cast<NodeId>(i));
    std::string wrong = compare(leg, slice, c.inputs, graph::interpret(slice, c.inputs));
    if (!wrong.empty()) return fmt::format("smallest failing slice (%{} of the graph): {}\n{}", i, wrong, slice.text(false));
  }
  return "no slice of one result fails; the whole graph:\n" + c.graph->text(false);
}

long environment(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtol(text, nullptr, 10) : otherwise;
}

}  // namespace

Graph slice_of(const Graph& graph, NodeId node) {
  std::vector<bool> needed(graph.nodes().size());
  needed[static_cast<std::size_t>(node)] = true;
  for (auto i = static_cast<std::size_t>(node) + 1; i-- > 0;) {
    if (!needed[i]) continue;
    for (NodeId operand : graph.nodes()[i].operands) needed[static_cast<std::size_t>(operand)] = true;
  }
  Graph slice(graph.name());
  std::vector<NodeId> renamed(graph.nodes().size(), -1);
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    graph::Node copy = graph.nodes()[i];
    if (copy.op == nullptr) {
      renamed[i] = slice.add_parameter(graph.parameters()[i], copy.type, copy.loc);
    } else if (needed[i]) {
      for (NodeId& operand : copy.operands) operand = renamed[static_cast<std::size_t>(operand)];
      renamed[i] = slice.add(std::move(copy));
    }
  }
  slice.add_result(renamed[static_cast<std::size_t>(node)]);
  return slice;
}

std::string check_leg(const Leg& leg, const FuzzCase& c) { return compare(leg, *c.graph, c.inputs, c.eager); }

int run_fuzz(std::span<const Leg> legs, int count, std::uint64_t first_seed, const FuzzOptions& options) {
  long only = environment("KILN_FUZZ_SEED", -1);
  count = only >= 0 ? 1 : static_cast<int>(environment("KILN_FUZZ_COUNT", count));
  if (only >= 0) first_seed = static_cast<std::uint64_t>(only);
  int failures = 0;
  for (int i = 0; i < count; ++i) {
    std::uint64_t seed = first_seed + static_cast<std::uint64_t>(i);
    FuzzCase c;
    try {
      c = random_case(seed, options);
    } catch (const std::exception& e) {
      ++failures;
      fmt::print(stderr, "fuzz: seed {}: the generator threw: {}\n", seed, e.what());
      continue;
    }
    for (const Leg& leg : legs) {
      std::string wrong = check_leg(leg, c);
      if (wrong.empty()) continue;
      ++failures;
      fmt::print(stderr, "fuzz: leg \"{}\" fails with seed {}: {}\n{}rerun: KILN_FUZZ_SEED={} {}\n", leg.name, seed, wrong, narrow(leg, c),
                 seed, program_invocation_name);
    }
    if (failures >= 5) break;
  }
  return failures;
}

}  // namespace kiln::testing
