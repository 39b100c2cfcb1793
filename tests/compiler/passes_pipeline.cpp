// The pipeline: what it leaves of a small training step, its texts and times, and that its work grows with the graph and not faster.
#include "passes/pipeline.h"

#include <fmt/format.h>

#include <cstring>
#include <tuple>

#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/build_plan.h"
#include "passes/fuse_ir.h"
#include "passes/visits.h"
#include "tests/catch.h"

namespace kiln::passes {
namespace {

using graph::Graph;
using graph::NodeId;

/// Emits nodes into a graph with few words.
struct Emitter {
  Graph graph{"step"};

  NodeId op(std::string_view name, std::vector<NodeId> operands, Attrs attrs = {}) {
    return graph.add(ops::op(name), std::move(operands), std::move(attrs), {"step.cpp", static_cast<int>(graph.nodes().size())});
  }
  NodeId number(float value, const Shape& shape) {
    std::vector<std::byte> bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    const Literal literal{{DType::float32, Shape()}, false, std::make_shared<const std::vector<std::byte>>(bytes)};
    return op("broadcast", {op("constant", {}, {{"value", literal}})}, {{"dims", Ints()}, {"shape", shape}});
  }
};

/// Dense layers forward, then an update of each weight and bias like Adam's: a dozen elementwise ops on constants, weights and slots.
Graph training_step(int layers) {
  Emitter e;
  const TensorType activations{DType::float32, {32, 64}};
  const TensorType weights{DType::float32, {64, 64}};
  NodeId x = e.graph.add_parameter({graph::ParameterKind::argument, "x", 0}, activations, {});
  std::vector<NodeId> w;
  for (int i = 0; i < layers; ++i)
    w.push_back(e.graph.add_parameter({graph::ParameterKind::variable, fmt::format("w{}", i), 0}, weights, {}));
  const Attrs matmul = {{"equation", std::string("mk,kn->mn")}, {"order", std::string("k")}, {"window", std::string()}};
  const Attrs swap = {{"perm", Ints{1, 0}}};
  for (int i = 0; i < layers; ++i) {
    const NodeId before = x;
    x = e.op("maximum", {e.op("contract", {x, w[static_cast<std::size_t>(i)]}, matmul), e.number(0, activations.shape)});
    const NodeId gradient = e.op("contract", {e.op("transpose", {before}, swap), x}, matmul);
    const NodeId scaled = e.op("mul", {gradient, e.number(1e-3F, weights.shape)});
    const NodeId decayed =
        e.op("mul", {w[static_cast<std::size_t>(i)], e.op("sub", {e.number(1, weights.shape), e.number(0.25F, weights.shape)})});
    const NodeId root = e.op("add", {e.op("sqrt", {e.op("mul", {gradient, gradient})}), e.number(1e-7F, weights.shape)});
    const NodeId step = e.op("div", {e.op("mul", {scaled, e.number(1, weights.shape)}), root});
    e.graph.add_state_write({i + 1, e.op("sub", {decayed, step})});
  }
  e.graph.add_result(e.op("reduce", {x}, {{"kind", std::string("add")}, {"axes", Ints{0, 1}}}));
  return std::move(e.graph);
}

/// Elementwise ops one after the other.
Graph chain(int ops) {
  Emitter e;
  const Shape shape{1000};
  NodeId x = e.graph.add_parameter({graph::ParameterKind::argument, "x", 0}, {DType::float32, shape}, {});
  for (int i = 0; i < ops; i += 2) x = e.op("tanh", {e.op("add", {x, e.number(0.5F, shape)})});
  e.graph.add_result(x);
  return std::move(e.graph);
}

/// Ops that the passes and the plan look at, each as often as they do.
double visits(const Graph& graph) {
  const std::uint64_t before = visited_ops();
  const auto context = ir::make_context();
  const auto module = ir::import_graph(*context, graph);
  runtime::CompileResult result;
  run_pipeline(*module, {}, result);
  build_plan(read_fused(ir::only_function(*module)), Numerics::standard, &graph);
  return static_cast<double>(visited_ops() - before);
}

}  // namespace

TEST_CASE("what the pipeline leaves of a training step") {
  const auto context = ir::make_context();
  const auto module = ir::import_graph(*context, training_step(2));
  runtime::CompileResult result;
  PipelineOptions options;
  options.verify = true;
  run_pipeline(*module, options, result);
  const std::string& captured = result.text[static_cast<std::size_t>(runtime::StageId::captured)];
  const std::string& optimized = result.text[static_cast<std::size_t>(runtime::StageId::optimized)];
  const std::string& fused = result.text[static_cast<std::size_t>(runtime::StageId::fused)];
  CHECK(captured.find("kiln.transpose") != std::string::npos);
  CHECK(optimized.find("kiln.transpose") == std::string::npos);
  CHECK(optimized.find("\"km,kn->mn\"") != std::string::npos);
  CHECK(optimized.find("\"square\"") != std::string::npos);
  CHECK(optimized.find("7.500000e-01") != std::string::npos);
  CHECK(optimized.find("loc(\"step.cpp\":") != std::string::npos);
  CHECK(fused.find("kiln.fusion \"contract\"") != std::string::npos);
  REQUIRE_FALSE(result.times.empty());
  CHECK(result.times.back().milliseconds >= 0);
}

TEST_CASE("ops looked at grow with the graph, not with its square") {
  for (const auto& [graph, small, large] : {std::tuple(&training_step, 12, 120), std::tuple(&chain, 160, 1600)}) {
    const double few = visits(graph(small)), many = visits(graph(large));
    INFO(small << ": " << few << " ops looked at, " << large << ": " << many);
    CHECK(few > 5 * small);
    CHECK(many < 1.3 * (large / small) * few);
  }
}

}  // namespace kiln::passes
