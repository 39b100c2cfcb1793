// The driver: wrong results and crashes of a leg are found, narrowed down to the op that is to blame, and can be repeated.
// Its workers are forked, so nothing here may start threads before.
#include <csignal>

#include "graph/interpret.h"
#include "tests/catch.h"
#include "tests/fuzz/lib/driver.h"
#include "tests/stderr_text.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::testing;
using graph::Value;

namespace {

bool uses(const graph::Graph& graph, std::string_view op) {
  for (const graph::Node& node : graph.nodes()) {
    if (node.op != nullptr && node.op->name == op) return true;
  }
  return false;
}

/// The interpreter, but that graphs with a tanh meet `misfortune`.
std::vector<Leg> legs_with(const std::function<void(std::vector<Value>& outputs)>& misfortune) {
  return {
      {"fine", Compare::bits, [](const graph::Graph& g) -> Runner { return [&g](auto inputs) { return graph::interpret(g, inputs); }; }},
      {"unlucky", Compare::bits, [misfortune](const graph::Graph& graph) -> Runner {
         return [&graph, misfortune](std::span<const Value> inputs) {
           std::vector<Value> outputs = graph::interpret(graph, inputs);
           if (uses(graph, "tanh")) misfortune(outputs);
           return outputs;
         };
       }}};
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

/// What the driver prints about the first failure.
std::string report(const std::function<void(std::vector<Value>&)>& misfortune) {
  DriverOptions options;
  options.program = "graph_fuzz";
  options.count = 400;
  options.target = "baseline";
  int failures = 0;
  std::string text = stderr_text([&] { failures = run_driver(options, [&] { return legs_with(misfortune); }); });
  CHECK(failures == 1);
  return text;
}

}  // namespace

TEST_CASE("a wrong result is narrowed down to the op, and the line that repeats it is given") {
  std::string text = report([](std::vector<Value>& outputs) { outputs.pop_back(); });
  INFO(text);
  std::size_t narrowed = text.find("narrowed: run 0: gave 0 outputs, not 1\n");
  REQUIRE(narrowed != text.npos);
  std::string part = text.substr(narrowed);
  CHECK(count(part, "kiln.map") == 1);
  CHECK(count(part, "kiln.map \"tanh\"") == 1);
  CHECK(count(part, "\nrepeat: graph_fuzz --seed ") == 1);
  CHECK(part.find("--count 1 --target baseline --threads ") != part.npos);
  CHECK(part.find("--leg \"unlucky\"\n") != part.npos);
}

TEST_CASE("so is a crash") {
  std::string text = report([](std::vector<Value>&) { raise(SIGKILL); });
  INFO(text);
  CHECK(text.find("leg \"unlucky\"") != text.npos);
  CHECK(text.find("narrowed: killed by signal 9") != text.npos);
  CHECK(count(text.substr(text.find("narrowed:")), "kiln.map") == 1);
}

TEST_CASE("legs without fault pass") {
  DriverOptions options;
  options.count = 60;
  options.jobs = 2;
  CHECK(run_driver(options, [] { return legs_with([](std::vector<Value>&) {}); }) == 0);
}
