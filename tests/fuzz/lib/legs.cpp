// The comparison, and the interpreter's legs.
#include "tests/fuzz/lib/legs.h"

#include "base/require.h"
#include "graph/interpret.h"
#include "tests/values.h"

namespace kiln::testing {

namespace {

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

std::string compare(const Leg& leg, std::span<const Value> got, const FuzzRun& run, const std::vector<Bounded>* bounds) {
  if (got.size() != run.eager.size()) return fmt::format("gave {} outputs, not {}", got.size(), run.eager.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (leg.compare == Compare::bits) {
      if (!same_bits(got[i], run.eager[i])) return fmt::format("output {}, {}", i, first_difference(got[i], run.eager[i]));
    } else if (auto wrong = outside(got[i], (*bounds)[i])) {
      return fmt::format("output {}, {}", i, *wrong);
    }
  }
  return "";
}

}  // namespace

const std::vector<Bounded>& Bounds::of_run(std::size_t run) {
  if (by_run_[run].empty()) by_run_[run] = evaluate_bounded(*case_.graph, case_.runs[run].inputs);
  return by_run_[run];
}

std::string check_leg(const Leg& leg, const FuzzCase& c, Bounds& bounds) {
  try {
    Runner runner = leg.prepare(*c.graph);
    // The last run is the first once more: nothing may be left of the others.
    for (std::size_t i = 0; i <= c.runs.size(); ++i) {
      std::size_t r = i % c.runs.size();
      std::vector<Value> got = runner(c.runs[r].inputs);
      std::string wrong = compare(leg, got, c.runs[r], leg.compare == Compare::bound ? &bounds.of_run(r) : nullptr);
      if (!wrong.empty()) return fmt::format("run {}: {}", i, wrong);
    }
  } catch (const std::exception& e) {
    return fmt::format("threw: {}", e.what());
  }
  return "";
}

std::vector<Leg> interpreter_legs() {
  auto prepare = [](const graph::Graph& graph) -> Runner {
    return [&graph](std::span<const Value> inputs) { return graph::interpret(graph, inputs); };
  };
  return {{"interpreter", Compare::bits, prepare}, {"interpreter, bound", Compare::bound, prepare}};
}

}  // namespace kiln::testing
