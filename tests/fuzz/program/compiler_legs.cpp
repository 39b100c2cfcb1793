// Graphs through the dialect: import and export alone, through text, after each pass alone, and after the whole pipeline, always
// interpreted; then as plans, run by an executor that is independent of code generation.
#include "tests/fuzz/program/compiler_legs.h"

#include <fmt/format.h>
#include <mlir/IR/Verifier.h>

#include "base/require.h"
#include "graph/interpret.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/build_plan.h"
#include "passes/fuse_ir.h"
#include "passes/pipeline.h"
#include "tests/compiler/plan_executor.h"

namespace kiln::testing {

namespace {

using graph::Graph;
using graph::Value;

using Transform = std::function<Graph(const Graph&)>;

/// One context for the process: making one takes longer than compiling a small graph.
mlir::MLIRContext& context() {
  static const std::unique_ptr<mlir::MLIRContext> instance = ir::make_context();
  return *instance;
}

void require_valid(mlir::ModuleOp module) {
  if (mlir::failed(mlir::verify(module))) throw InternalError("invalid IR:\n" + ir::text(module), {});
}

Leg transformed(std::string name, Compare compare, Transform transform) {
  return {std::move(name), compare, [transform = std::move(transform)](const Graph& graph) -> Runner {
            auto result = std::make_shared<const Graph>(transform(graph));
            result->verify();
            return [result](std::span<const Value> inputs) { return graph::interpret(*result, inputs); };
          }};
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

Graph through_pass(const passes::PassInfo& pass, Numerics numerics, const Graph& graph) {
  auto module = ir::import_graph(context(), graph);
  pass.run(ir::only_function(*module), {numerics, current_target()});
  require_valid(*module);
  return ir::export_graph(ir::only_function(*module));
}

mlir::OwningOpRef<mlir::ModuleOp> optimize(Numerics numerics, const Graph& graph) {
  auto module = ir::import_graph(context(), graph);
  passes::PipelineOptions options;
  options.passes = {numerics, current_target()};
  options.verify = true;
  runtime::CompileResult result;
  passes::run_pipeline(*module, options, result);
  return module;
}

Graph through_pipeline(Numerics numerics, const Graph& graph) { return ir::export_graph(ir::only_function(*optimize(numerics, graph))); }

Leg planned(std::string name, std::function<runtime::Plan(const Graph&)> plan) {
  return {std::move(name), Compare::bits, [plan = std::move(plan)](const Graph& graph) -> Runner {
            auto result = std::make_shared<const runtime::Plan>(runtime::Plan::deserialize(plan(graph).serialize()));
            return [result](std::span<const Value> inputs) { return PlanExecutor(*result, inputs).run(); };
          }};
}

}  // namespace

std::vector<Leg> compiler_legs() {
  std::vector<Leg> legs = {transformed("import and export", Compare::bits, there_and_back),
                           transformed("text", Compare::bits, through_text)};
  for (const passes::PassInfo& pass : passes::all_passes()) {
    legs.push_back(transformed(fmt::format("{} strict", pass.name), Compare::bits,
                               [&pass](const Graph& graph) { return through_pass(pass, Numerics::strict, graph); }));
    legs.back().share = 2;
    legs.push_back(transformed(fmt::format("{} standard", pass.name), Compare::bound,
                               [&pass](const Graph& graph) { return through_pass(pass, Numerics::standard, graph); }));
    legs.back().share = 2;
    legs.back().first = 1;
  }
  legs.push_back(transformed("pipeline standard", Compare::bound, [](const Graph& g) { return through_pipeline(Numerics::standard, g); }));
  legs.push_back(
      planned("plan of the graph as it is", [](const Graph& graph) { return passes::build_plan(passes::fuse(graph), Numerics::strict); }));
  legs.push_back(planned("pipeline strict, plan", [](const Graph& graph) {
    auto module = optimize(Numerics::strict, graph);
    return passes::build_plan(passes::read_fused(ir::only_function(*module)), Numerics::strict, &graph);
  }));
  return legs;
}

}  // namespace kiln::testing
