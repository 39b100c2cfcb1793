// Random graphs through the dialect: import and export alone, through text, after each pass alone, and after the whole pipeline, always
// interpreted.
#include <fmt/format.h>
#include <mlir/IR/Verifier.h>

#include "base/require.h"
#include "graph/interpret.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/pipeline.h"
#include "tests/catch.h"
#include "tests/fuzz/lib/graph_fuzz.h"

namespace kiln::passes {
namespace {

using graph::Graph;
using graph::Value;
using testing::Compare;
using testing::Leg;

using Transform = std::function<Graph(const Graph&)>;

/// One context for the program: making one takes longer than compiling a small graph.
mlir::MLIRContext& context() {
  static const std::unique_ptr<mlir::MLIRContext> instance = ir::make_context();
  return *instance;
}

void require_valid(mlir::ModuleOp module) {
  if (mlir::failed(mlir::verify(module))) throw InternalError("invalid IR:\n" + ir::text(module), {});
}

Leg leg(std::string name, Compare compare, Transform transform) {
  return {std::move(name), compare, [transform = std::move(transform)](const Graph& graph, std::span<const Value> inputs) {
            const Graph result = transform(graph);
            result.verify();
            return graph::interpret(result, inputs);
          }};
}

Graph through_pass(const PassInfo& pass, Numerics numerics, const Graph& graph) {
  auto module = ir::import_graph(context(), graph);
  require_valid(*module);
  pass.run(ir::only_function(*module), {numerics, current_target()});
  require_valid(*module);
  return ir::export_graph(ir::only_function(*module));
}

Graph through_pipeline(Numerics numerics, const Graph& graph) {
  auto module = ir::import_graph(context(), graph);
  PipelineOptions options;
  options.passes = {numerics, current_target()};
  options.verify = true;
  runtime::CompileResult result;
  run_pipeline(*module, options, result);
  return ir::export_graph(ir::only_function(*module));
}

/// The graph's text, parsed, must be the graph: by hash, so by structure, types, attributes and constants.
Graph through_text(const Graph& graph) {
  auto module = ir::parse_module(context(), graph.text());
  Graph parsed = ir::export_graph(ir::only_function(*module));
  KILN_ASSERT(parsed.hash() == graph.hash(), "the parsed graph differs:\n{}", parsed.text());
  return parsed;
}

Graph there_and_back(const Graph& graph) {
  auto module = ir::import_graph(context(), graph);
  require_valid(*module);
  Graph back = ir::export_graph(ir::only_function(*module));
  KILN_ASSERT(back.hash() == graph.hash(), "the graph that came back differs:\n{}", back.text());
  KILN_ASSERT(back.text() == graph.text(), "the graph that came back has other names or lines:\n{}", back.text());
  return back;
}

}  // namespace

TEST_CASE("graphs survive the dialect and its text") {
  const Leg legs[] = {leg("import and export", Compare::bits, there_and_back), leg("text", Compare::bits, through_text)};
  CHECK(testing::run_fuzz(legs, 500) == 0);
}

TEST_CASE("each pass alone keeps eager's bits in strict mode and the bound in standard mode") {
  std::vector<Leg> legs;
  for (const PassInfo& pass : all_passes()) {
    for (const Numerics numerics : {Numerics::strict, Numerics::standard}) {
      const bool strict = numerics == Numerics::strict;
      legs.push_back(leg(fmt::format("{} {}", pass.name, strict ? "strict" : "standard"), strict ? Compare::bits : Compare::bound,
                         [&pass, numerics](const Graph& graph) { return through_pass(pass, numerics, graph); }));
    }
  }
  CHECK(testing::run_fuzz(legs, 400, 10001) == 0);
}

TEST_CASE("the whole pipeline keeps eager's bits in strict mode and the bound in standard mode") {
  const Leg legs[] = {
      leg("pipeline strict", Compare::bits, [](const Graph& graph) { return through_pipeline(Numerics::strict, graph); }),
      leg("pipeline standard", Compare::bound, [](const Graph& graph) { return through_pipeline(Numerics::standard, graph); }),
  };
  CHECK(testing::run_fuzz(legs, 1000, 20001) == 0);
}

}  // namespace kiln::passes
