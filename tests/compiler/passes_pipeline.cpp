// The pipeline: what it leaves of a small training step, its texts and times, and that its time grows with the graph and not faster.
#include "passes/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <map>

#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
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

double cpu_milliseconds() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Measured {
  std::map<std::string, double> by_stage;
  std::vector<std::string> order;
  double total = 0;
};

/// Processor time of import and pipeline, best of some runs, each in a context of its own as when compiling.
Measured measure(const Graph& graph, int runs) {
  Measured best;
  best.total = 1e30;
  for (int i = 0; i < runs; ++i) {
    Measured now;
    runtime::CompileResult result;
    const double start = cpu_milliseconds();
    const auto context = ir::make_context();
    const double made = cpu_milliseconds();
    const auto module = ir::import_graph(*context, graph);
    const double imported = cpu_milliseconds();
    run_pipeline(*module, {}, result);
    now.total = cpu_milliseconds() - start;
    now.order = {"context", "import"};
    now.by_stage = {{"context", made - start}, {"import", imported - made}};
    for (const runtime::StageTime& time : result.times) {
      if (now.by_stage.count(time.stage) == 0) now.order.push_back(time.stage);
      now.by_stage[time.stage] += time.milliseconds;
    }
    if (now.total < best.total) best = now;
  }
  return best;
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

TEST_CASE("time grows with the graph, not with its square") {
  const double small = measure(training_step(12), 8).total;
  const double large = measure(training_step(120), 4).total;
  INFO("12 layers " << small << " ms, 120 layers " << large << " ms");
  CHECK(large < 10 * small * 3);
}

}  // namespace kiln::passes
