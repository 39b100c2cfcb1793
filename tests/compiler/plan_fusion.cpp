// What fuse makes of graphs: launches of training steps, rules of the cost model, order, speed.
#include <chrono>
#include <set>

#include "base/target.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/build_plan.h"
#include "passes/fuse_ir.h"
#include "passes/kernel_spec.h"
#include "passes/pipeline.h"
#include "tests/catch.h"
#include "tests/compiler/plan_steps.h"

using namespace kiln;
using namespace kiln::passes;
using namespace kiln::testing;
using graph::NodeId;
using graph::Value;

namespace {

/// The graph through the whole pipeline, fused.
FusedGraph compile(const graph::Graph& graph, runtime::CompileResult& result) {
  auto context = ir::make_context();
  auto module = ir::import_graph(*context, graph);
  run_pipeline(*module, {.passes = {Numerics::standard, current_target()}, .verify = true}, result);
  return read_fused(ir::only_function(*module));
}

int count(const FusedGraph& fused, FusionKind kind) {
  return static_cast<int>(std::count_if(fused.fusions.begin(), fused.fusions.end(), [&](const Fusion& f) { return f.kind == kind; }));
}

/// Every value that a fusion or the caller reads is a parameter, a constant, an output of an earlier fusion, or a reshape of one.
void check_division(const FusedGraph& fused) {
  std::set<NodeId> ready;
  const auto check = [&](NodeId n) {
    const NodeId base = base_of(fused.graph, n);
    INFO("node " << base);
    CHECK((ready.count(base) != 0 || fused.graph.node(base).op == nullptr || is_plan_constant(fused.graph.node(base))));
  };
  for (const Fusion& f : fused.fusions) {
    for (NodeId n : f.inputs) check(n);
    std::set<NodeId> inside(f.inputs.begin(), f.inputs.end());
    for (NodeId n : f.nodes) {
      for (NodeId operand : fused.graph.node(n).operands) CHECK(inside.count(operand) == 1);
      inside.insert(n);
    }
    CHECK_FALSE(f.outputs.empty());
    for (NodeId n : f.outputs) {
      CHECK(inside.count(n) == 1);
      ready.insert(n);
    }
  }
  for (NodeId n : fused.graph.results()) check(n);
  for (const graph::StateWrite& w : fused.graph.state_writes()) check(w.value);
}

/// A trace of `body` on arguments x, y, ... of those shapes.
template <class Body>
graph::Captured trace(std::vector<Shape> shapes, const Body& body) {
  graph::Trace t("f");
  std::vector<Value> arguments;
  for (const Shape& s : shapes) arguments.push_back(t.add_argument("x", {DType::float32, s}, Loc::here()));
  const std::vector<Value> results = body(arguments);
  return t.finish(results);
}

/// The division of the graph as it is.
FusedGraph divided(const graph::Captured& captured) {
  FusedGraph fused = fuse(*captured.graph);
  check_division(fused);
  return fused;
}

}  // namespace

TEST_CASE("launches of an MLP's training step") {
  runtime::CompileResult result;
  const graph::Captured captured = mlp_step();
  const FusedGraph fused = compile(*captured.graph, result);
  check_division(fused);
  const runtime::Plan plan = build_plan(fused, Numerics::standard, captured.graph.get());
  INFO(kernels_text(fused, plan, captured.graph.get()));
  CHECK(count(fused, FusionKind::contract) == 5);
  CHECK(plan.launches.size() <= 12);
  for (std::size_t i = 1; i < plan.outputs.size(); ++i) CHECK(plan.outputs[i].in_place);
}

TEST_CASE("launches of a CNN's training step with Adam") {
  runtime::CompileResult result;
  const graph::Captured captured = cnn_step();
  const FusedGraph fused = compile(*captured.graph, result);
  check_division(fused);
  const runtime::Plan plan = build_plan(fused, Numerics::standard, captured.graph.get());
  INFO(kernels_text(fused, plan, captured.graph.get()));
  CHECK(count(fused, FusionKind::contract) == 8);
  CHECK(plan.launches.size() <= 24);
  for (std::size_t i = 1; i < plan.outputs.size(); ++i) CHECK(plan.outputs[i].in_place);
}
