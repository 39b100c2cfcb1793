// Plans compute what the interpreter computes, bit for bit: fusion, kernel specs, order and memory proved without code generation.
#include "base/target.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/build_plan.h"
#include "passes/fuse_ir.h"
#include "passes/pipeline.h"
#include "tests/catch.h"
#include "tests/compiler/plan_executor.h"
#include "tests/compiler/plan_steps.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::passes;
using namespace kiln::testing;
using graph::Value;

namespace {

/// The graph divided as it is.
std::vector<Value> run_plan(const graph::Graph& graph, std::span<const Value> inputs) {
  const runtime::Plan plan = build_plan(fuse(graph), Numerics::strict);
  return PlanExecutor(runtime::Plan::deserialize(plan.serialize()), inputs).run();
}

/// The graph through every pass and the fused IR.
std::vector<Value> run_pipeline_and_plan(const graph::Graph& graph, std::span<const Value> inputs) {
  static const auto context = ir::make_context();
  auto module = ir::import_graph(*context, graph);
  runtime::CompileResult result;
  run_pipeline(*module, {.passes = {Numerics::strict, current_target()}, .verify = true}, result);
  const runtime::Plan plan = build_plan(read_fused(ir::only_function(*module)), Numerics::strict, &graph);
  return PlanExecutor(plan, inputs).run();
}

/// Random values for a captured graph's parameters; symbolic lengths are `length`.
std::vector<Value> inputs_of(const graph::Captured& captured, std::int64_t length) {
  std::vector<Value> inputs;
  for (int i = 0; i < captured.graph->num_parameters(); ++i) {
    const TensorType& type = captured.graph->node(i).type;
    Shape shape;
    for (Dim d : type.shape) shape.push_back(d.value_or(length));
    const bool labels = is_integer(type.dtype);
    inputs.push_back(make_tensor(shape, static_cast<unsigned>(i) + 7, type.dtype, labels ? 0 : -1, labels ? 10 : 1));
  }
  return inputs;
}

void check_step(const graph::Captured& captured, std::int64_t length = 1) {
  const std::vector<Value> inputs = inputs_of(captured, length);
  const std::vector<Value> expected = graph::interpret(*captured.graph, inputs);
  for (const auto& run : {run_plan, run_pipeline_and_plan}) {
    const std::vector<Value> got = run(*captured.graph, inputs);
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO("output " << i);
      CHECK(same_bits(got[i], expected[i]));
    }
  }
}

}  // namespace

TEST_CASE("an MLP's step") { check_step(mlp_step()); }
TEST_CASE("an MLP's step of any batch") {
  for (std::int64_t batch : {1, 5, 32}) check_step(mlp_step(Dim::symbol("batch")), batch);
}
TEST_CASE("a CNN's step with Adam") { check_step(cnn_step()); }
