// What fuse makes of graphs: launches of training steps, rules of the cost model, order, speed.
#include <set>

#include "base/target.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/build_plan.h"
#include "passes/fuse_ir.h"
#include "passes/kernel_spec.h"
#include "passes/pipeline.h"
#include "passes/storage.h"
#include "passes/visits.h"
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
  const Storage storage(fused.graph, fused.views);
  const auto check = [&](NodeId n) {
    storage.for_each_part(storage.base(n), [&](NodeId part) {
      INFO("node " << part);
      CHECK((ready.count(part) != 0 || fused.graph.node(part).op == nullptr || is_plan_constant(fused.graph.node(part))));
    });
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
  CHECK(plan.launches.size() <= 22);
  for (std::size_t i = 1; i < plan.outputs.size(); ++i) CHECK(plan.outputs[i].in_place);
}

TEST_CASE("a value read by kernels of several shapes: cheap ones are computed again, others once") {
  const auto consumers = [](const Value& v) { return std::vector<Value>{ops::reduce_sum(v, {0}), ops::reduce_sum(v, {1})}; };
  const FusedGraph cheap = divided(trace({{300, 200}}, [&](auto& a) { return consumers(a[0] * Value(2.0)); }));
  CHECK(cheap.fusions.size() == 2);
  const FusedGraph expensive = divided(trace({{300, 200}}, [&](auto& a) { return consumers(exp(a[0])); }));
  CHECK(expensive.fusions.size() == 2);  // the sum of rows writes it too
  CHECK(count(expensive, FusionKind::row) == 1);
  const FusedGraph small = divided(trace({{3, 2}}, [&](auto& a) { return consumers(exp(a[0])); }));
  CHECK(small.fusions.size() == 2);
  const FusedGraph stretched = divided(trace({{200}, {300, 200}}, [&](auto& a) { return std::vector<Value>{a[1] * exp(a[0])}; }));
  CHECK(stretched.fusions.size() == 2);
}

TEST_CASE("siblings over the same elements are one kernel, unless one needs the other's neighbours") {
  const FusedGraph siblings =
      divided(trace({{300, 200}}, [](auto& a) { return std::vector<Value>{tanh(a[0]), exp(a[0]), tanh(a[0]) + Value(1.0)}; }));
  REQUIRE(siblings.fusions.size() == 1);
  CHECK(siblings.fusions[0].outputs.size() == 3);
  const FusedGraph neighbours = divided(trace({{200, 200}}, [](auto& a) {
    Value t = tanh(a[0]);
    return std::vector<Value>{t, ops::transpose(t, {1, 0}) + a[0]};
  }));
  CHECK(neighbours.fusions.size() == 2);
}

TEST_CASE("reductions over the same axes that read one tensor are one kernel, unless one needs another's result") {
  const Ints rows = {0};
  const FusedGraph gradients = divided(trace({{300, 200}, {300, 200}, {200}}, [&](auto& a) {
    Value offset = ops::reduce_sum(a[0], rows), scale = ops::reduce_sum(a[0] * a[1], rows);
    return std::vector<Value>{a[2] - offset * Value(0.1), scale, scale * offset};
  }));
  REQUIRE(gradients.fusions.size() == 1);
  CHECK(gradients.fusions[0].kind == FusionKind::reduce);
  CHECK(gradients.fusions[0].outputs.size() == 3);
  const FusedGraph variance = divided(trace({{300, 200}}, [&](auto& a) {
    Value mean = ops::reduce_sum(a[0], rows) * Value(1.0 / 300);
    return std::vector<Value>{ops::reduce_sum(square(a[0] - mean), rows)};
  }));
  CHECK(variance.fusions.size() == 2);
  const FusedGraph turned = divided(
      trace({{200, 200}}, [&](auto& a) { return std::vector<Value>{ops::reduce_sum(a[0], rows), ops::reduce_sum(exp(a[0]), Ints{1})}; }));
  CHECK(turned.fusions.size() == 2);
  const FusedGraph many = divided(trace({{300, 200}}, [&](auto& a) {
    std::vector<Value> sums;
    for (int i = 0; i < 6; ++i) sums.push_back(ops::reduce_sum(a[0] * Value(i + 2.0), rows));
    return sums;
  }));
  CHECK(many.fusions.size() == 2);
  const FusedGraph unknown = divided(trace({{Dim::symbol("batch"), 200}}, [&](auto& a) {
    return std::vector<Value>{ops::reduce_sum(a[0], rows), ops::reduce_sum(exp(a[0]), rows)};
  }));
  CHECK(unknown.fusions.size() == 1);
}

TEST_CASE("a diamond whose sides are different kernels makes no cycle") {
  const FusedGraph fused = divided(trace({{300, 200}}, [](auto& a) {
    Value t = tanh(a[0]);
    Value total = ops::reduce_sum(t, {0});
    return std::vector<Value>{t, exp(t) * total};
  }));
  CHECK(fused.fusions.size() == 3);
}

TEST_CASE("a launch that leaves little in memory runs while what it reads is in cache") {
  const FusedGraph fused = divided(trace({{300, 200}, {200, 200}}, [](auto& a) {
    Value t = tanh(a[0]);
    return std::vector<Value>{ops::matmul(ops::matmul(t, a[1]), a[1]), ops::reduce_sum(t, {0})};
  }));
  const runtime::Plan plan = build_plan(fused, Numerics::strict);
  REQUIRE(plan.launches.size() == 4);
  CHECK(plan.launches[1].kind == runtime::Launch::Kind::kernel);
  CHECK(plan.launches[2].kind == runtime::Launch::Kind::contraction);
}

TEST_CASE("a contraction takes bias, activation and residual along, and strides for transposes") {
  const graph::Captured captured = trace({{64, 96}, {32, 96}, {32}, {64, 32}}, [](auto& a) {
    Value y = ops::matmul(a[0], ops::transpose(a[1], {1, 0}));
    return std::vector<Value>{tanh(y + a[2]) + a[3]};
  });
  const FusedGraph fused = divided(captured);
  REQUIRE(fused.fusions.size() == 1);
  CHECK(fused.fusions[0].kind == FusionKind::contract);
  CHECK(fused.graph.node(fused.fusions[0].root).attrs.get<std::string>("equation") == "mk,nk->mn");
  const runtime::Plan plan = build_plan(fused, Numerics::strict);
  REQUIRE(plan.launches.size() == 1);
  CHECK(plan.arena_bytes < 0);  // the product lies where the result will
  CHECK(plan.kernels[0].kind == runtime::KernelKind::tile);
  CHECK(plan.kernels[0].num_dims == 2);
}

TEST_CASE("a contraction whose result comes out by columns swaps its operands") {
  const FusedGraph fused = divided(
      trace({{64, 96}, {96, 32}}, [](auto& a) { return std::vector<Value>{tanh(ops::transpose(ops::matmul(a[0], a[1]), {1, 0}))}; }));
  REQUIRE(fused.fusions.size() == 1);
  CHECK(fused.graph.node(fused.fusions[0].root).attrs.get<std::string>("equation") == "kn,mk->nm");
}

TEST_CASE("an SGD update is an epilogue, an Adam update a kernel with three outputs") {
  const auto step = [](bool adam) {
    Step s("step");
    Value x = s.trace.add_argument("x", {DType::float32, {64, 96}}, Loc::here());
    auto w = s.variable({96, 32}, "w");
    const std::vector<Value> gradients{ops::contract(x, ops::matmul(x, graph::read_variable(w)), "mk,mn->kn")};
    if (adam)
      s.adam(gradients);
    else
      s.sgd(gradients, 0.1);
    return fuse(*s.trace.finish({}).graph);
  };
  const FusedGraph sgd = step(false);
  CHECK(sgd.fusions.size() == 2);
  const FusedGraph adam = step(true);
  CHECK(adam.fusions.size() == 4);
  CHECK(adam.fusions.back().kind == FusionKind::loop);
  CHECK(adam.fusions.back().outputs.size() == 3);
}

TEST_CASE("relu's gradient reads the result, so the argument is not kept") {
  const FusedGraph fused = divided(trace({{64, 96}, {96, 32}, {64, 32}}, [](auto& a) {
    Value z = ops::matmul(a[0], a[1]);
    Value zero = ops::full<Value>(z.shape(), z.dtype(), 0);
    return std::vector<Value>{maximum(z, zero), ops::reduce_sum(where(greater(z, zero), a[2], zero), {0})};
  }));
  for (const Fusion& f : fused.fusions) CHECK(f.outputs.size() == 1);
}

TEST_CASE("a long kernel ends early where its expression begins again, if that costs little") {
  const auto chain = [](const Shape& shape, int layers) {
    return divided(trace({shape}, [layers](auto& a) {
      Value v = a[0];
      for (int i = 0; i < layers; ++i) v = tanh(v * Value(1.25)) + Value(0.125);
      return std::vector<Value>{v};
    }));
  };
  const auto kernels = [](const FusedGraph& fused) { return build_plan(fused, Numerics::strict).kernels.size(); };
  const FusedGraph small = chain({1000}, 400), tiny = chain({10}, 400), large = chain({16'000'000}, 400);
  CHECK(small.fusions.size() > tiny.fusions.size());  // a launch costs more than ten elements' work
  CHECK(tiny.fusions.size() >= large.fusions.size());
  for (const FusedGraph* f : {&small, &tiny, &large}) CHECK(kernels(*f) <= 2);
  CHECK(chain({1000}, 8).fusions.size() == 1);
  CHECK(chain({16'000'000}, 16).fusions.size() == 1);
  // Nothing begins again.
  const FusedGraph other = divided(trace({{1000}}, [](auto& a) {
    Value v = a[0];
    for (int i = 0; i < 30; ++i) v = tanh(v + Value(1.0 + i));
    return std::vector<Value>{v};
  }));
  CHECK(other.fusions.size() == 1);
  const auto visits = [&](int layers) {
    const std::uint64_t before = visited_ops();
    chain({1000}, layers);
    return visited_ops() - before;
  };
  CHECK(visits(1600) <= 5 * visits(400));
}

TEST_CASE("graphs of thousands of nodes are divided") {
  const graph::Captured chain = trace({{64, 64}}, [](auto& a) {
    Value v = a[0];
    for (int i = 0; i < 1600; ++i) v = i % 2 == 0 ? tanh(v) : v + a[0];
    return std::vector<Value>{v};
  });
  const graph::Captured layers = trace({{64, 64}, {64}}, [](auto& a) {
    Value v = a[0];
    for (int i = 0; i < 500; ++i) v = tanh(ops::matmul(v, v) + a[1]) * v + exp(v) * ops::reduce_sum(v, {0});
    return std::vector<Value>{v};
  });
  CHECK(layers.graph->nodes().size() > 5000);
  check_division(fuse(*chain.graph));
  check_division(fuse(*layers.graph));
}
