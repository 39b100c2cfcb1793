// Kernel specs and plans of small graphs: shared kernels, few axes, order of launches, memory.
#include <random>
#include <set>

#include "base/require.h"
#include "passes/build_plan.h"
#include "passes/build_plan_order.h"
#include "passes/kernel_spec.h"
#include "passes/plan_memory.h"
#include "tests/catch.h"
#include "tests/compiler/plan_steps.h"

using namespace kiln;
using namespace kiln::passes;
using namespace kiln::testing;
using graph::Value;
using runtime::PlanOutput;

namespace {

template <class Body>
runtime::Plan plan_of(std::vector<Shape> shapes, const Body& body) {
  return build_plan(fuse(*trace(std::move(shapes), body).graph), Numerics::strict);
}

/// Ranks of the body's nodes.
std::set<std::size_t> ranks(const runtime::KernelSpec& spec) {
  std::set<std::size_t> result;
  for (const runtime::BodyNode& node : spec.body) result.insert(node.shape.size());
  return result;
}

}  // namespace

TEST_CASE("pure maps have one axis, a bias leaves two, axes of length 1 go") {
  const auto map = plan_of({{2, 3, 4, 5}, {2, 3, 4, 5}}, [](auto& a) { return std::vector<Value>{tanh(a[0]) * a[1]}; });
  CHECK(ranks(map.kernels[0]) == std::set<std::size_t>{1});
  const auto bias = plan_of({{2, 3, 4, 5}, {5}}, [](auto& a) { return std::vector<Value>{tanh(a[0] + a[1])}; });
  CHECK(ranks(bias.kernels[0]) == std::set<std::size_t>{1, 2});
  const auto middle = plan_of({{2, 3, 4, 5}, {3, 4, 1}}, [](auto& a) { return std::vector<Value>{tanh(a[0] + a[1])}; });
  CHECK(ranks(middle.kernels[0]) == std::set<std::size_t>{1, 3});
  const auto sum = plan_of({{2, 3, 4, 5}}, [](auto& a) { return std::vector<Value>{ops::reduce_sum(tanh(a[0]), {1, 2})}; });
  CHECK(ranks(sum.kernels[0]) == std::set<std::size_t>{2, 3});
  const auto reshaped =
      plan_of({{2, 3, 4, 5}, {6, 20}}, [](auto& a) { return std::vector<Value>{ops::reshape(exp(a[0]), {6, 20}) * a[1]}; });
  CHECK(ranks(reshaped.kernels[0]) == std::set<std::size_t>{1});
  for (const runtime::BodyNode& node : reshaped.kernels[0].body) CHECK(node.op != "reshape");
}

TEST_CASE("equal layers share a kernel, whatever their lengths, names and lines") {
  const auto plan = plan_of({{2, 3}, {3}, {40, 50, 60}, {60}, {7, 1, 8}, {8}},
                            [](auto& a) { return std::vector<Value>{tanh(a[0] + a[1]), tanh(a[2] + a[3]), tanh(a[4] + a[5])}; });
  CHECK(plan.launches.size() == 3);
  CHECK(plan.kernels.size() == 1);
  const auto rebuilt = runtime::KernelSpec::deserialize(plan.kernels[0].serialize());
  CHECK(rebuilt.serialize() == plan.kernels[0].serialize());
}

TEST_CASE("many short rows have a kernel for their length, unless much of what they read must be gathered") {
  const auto kernels = [](const Shape& a, const Shape& b, auto body) {
    return plan_of({a, {a.back()}, b, {b.back()}}, [&](auto& x) { return std::vector<Value>{body(x[0], x[1]), body(x[2], x[3])}; })
        .kernels.size();
  };
  const auto bias = [](auto& x, auto& b) { return tanh(x + b); };
  const auto swapped = [](auto& x, auto& b) { return tanh(ops::transpose(x, {1, 0, 2}) + b); };
  CHECK(kernels({1000, 60, 3}, {1000, 60, 10}, bias) == 2);
  CHECK(kernels({1000, 60, 3}, {1000, 60, 4}, swapped) == 2);
  CHECK(kernels({1000, 60, 10}, {1000, 60, 12}, swapped) == 1);
  CHECK(kernels({1000, 60, 17}, {1000, 60, 18}, bias) == 1);
}

TEST_CASE("plans serialize and pass their own check") {
  const runtime::Plan plan = build_plan(fuse(*mlp_step().graph), Numerics::standard);
  CHECK(runtime::Plan::deserialize(plan.serialize()).serialize() == plan.serialize());
}

TEST_CASE("lengths known at run time only") {
  const graph::Captured captured = mlp_step(Dim::symbol("batch"));
  const runtime::Plan plan = build_plan(fuse(*captured.graph), Numerics::standard);
  CHECK(plan.equal_dims.size() == 1);  // x and y have one batch
  const runtime::Plan fixed = build_plan(fuse(*mlp_step().graph), Numerics::standard);
  CHECK(plan.launches.size() <= fixed.launches.size() + 4);
}

TEST_CASE("a length that no argument has alone cannot be known") {
  const Dim n = Dim::symbol("rows");
  const graph::Captured captured = trace({{n * 2, 3}}, [](auto& a) { return std::vector<Value>{tanh(a[0])}; });
  CHECK_THROWS_AS(build_plan(fuse(*captured.graph), Numerics::strict), CompileError);
}

TEST_CASE("variables: swapped, read after their update, handed out, left alone") {
  Step s("f");
  auto a = s.variable({30, 40}, "a"), b = s.variable({30, 40}, "b"), c = s.variable({30, 40}, "c"), d = s.variable({30, 40}, "d");
  Value va = graph::read_variable(a), vb = graph::read_variable(b), vc = graph::read_variable(c), vd = graph::read_variable(d);
  graph::assign_variable(a, vb);
  graph::assign_variable(b, va);
  Value next = tanh(vc);
  graph::assign_variable(c, next);
  // The new value of c is needed before its old one is read for the last time.
  Value late = ops::reduce_sum(exp(vc) * ops::reduce_sum(next, {0}), {1});
  graph::assign_variable(d, vd + Value(1.0));
  const Value results[] = {late, vd};
  const graph::Captured captured = s.trace.finish(results);
  const runtime::Plan plan = build_plan(fuse(*captured.graph), Numerics::strict);
  CHECK(plan.outputs[1].source == PlanOutput::Source::input);  // the old value of d
  for (std::size_t i = 2; i < plan.outputs.size(); ++i) CHECK_FALSE(plan.outputs[i].in_place);
}

TEST_CASE("readers of a variable run before it is overwritten") {
  Step s("f");
  Value x = s.trace.add_argument("x", {DType::float32, {64, 64}}, Loc::here());
  auto w = s.variable({64, 64}, "w");
  Value old = graph::read_variable(w);
  graph::assign_variable(w, tanh(old));  // captured first, launched last
  const Value results[] = {ops::matmul(x, old)};
  const graph::Captured captured = s.trace.finish(results);
  const runtime::Plan plan = build_plan(fuse(*captured.graph), Numerics::strict);
  REQUIRE(plan.launches.size() == 2);
  CHECK(plan.launches[0].kind == runtime::Launch::Kind::contraction);
  CHECK(plan.outputs[1].in_place);
}

TEST_CASE("outputs that are an argument, a constant, or one another need no launch") {
  const auto plan = plan_of({{30, 40}}, [](auto& a) {
    Value t = tanh(a[0]);
    return std::vector<Value>{a[0], ops::reshape(a[0], {1200}), t, ops::reshape(t, {40, 30}), ops::scalar<Value>(DType::float32, 3)};
  });
  CHECK(plan.launches.size() == 1);
  CHECK(plan.outputs[1].source == PlanOutput::Source::input);
  CHECK(plan.outputs[3].source == PlanOutput::Source::output);
  CHECK(plan.outputs[3].index == 2);
  CHECK(plan.outputs[4].source == PlanOutput::Source::constant);
}

TEST_CASE("launches name the user's lines, and errors the captured node") {
  const graph::Captured captured = trace({{30, 40}, {40, 50}}, [](auto& a) {
    Value product, result;
    {
      const LocationScope line({"step.cpp", 41});
      product = ops::matmul(a[0], a[1]);
    }
    const LocationScope line({"step.cpp", 42});
    result = tanh(product);
    return std::vector<Value>{result};
  });
  const FusedGraph fused = fuse(*captured.graph);
  const runtime::Plan plan = build_plan(fused, Numerics::strict, captured.graph.get());
  const std::string text = kernels_text(fused, plan, captured.graph.get());
  INFO(text);
  CHECK(text.find("// step.cpp:42, step.cpp:41") != std::string::npos);
  REQUIRE(plan.op_nodes.size() == 2);
  for (const auto& [op, node] : plan.op_nodes) CHECK(captured.graph->node(node).op->name == op);
}

TEST_CASE("held-back launches: an order is found, or the request refused") {
  LaunchOrder order(4);
  order.add(0, 1);
  order.add(1, 2);
  const int readers[] = {2, 3};
  CHECK_FALSE(order.try_hold_back(0, readers));
  CHECK(order.order() == std::vector<int>{0, 1, 2, 3});
  const int other[] = {3, 1};
  CHECK(order.try_hold_back(1, other));
  CHECK(order.order() == std::vector<int>{0, 3, 1, 2});
}

TEST_CASE("blocks that live together never overlap, and little is wasted") {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<MemoryBlock> blocks;
    for (int i = 0; i < 40; ++i) {
      const int first = static_cast<int>(random() % 50);
      blocks.push_back({static_cast<std::int64_t>(random() % 5000), first, first + static_cast<int>(random() % 10)});
    }
    const MemoryLayout layout = plan_memory(blocks);
    std::int64_t needed = 0;  // by the launch that needs most
    for (int launch = 0; launch < 60; ++launch) {
      std::int64_t alive = 0;
      for (const MemoryBlock& b : blocks) alive += b.first <= launch && launch <= b.last ? (std::int64_t{b.bytes} + 63) / 64 * 64 : 0;
      needed = std::max(needed, alive);
    }
    CHECK(std::int64_t{layout.total} <= needed * 5 / 4);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const std::int64_t begin = layout.offsets[i], end = begin + std::int64_t{blocks[i].bytes};
      REQUIRE(begin % 64 == 0);
      REQUIRE(end <= std::int64_t{layout.total});
      for (std::size_t j = 0; j < i; ++j) {
        if (blocks[i].last < blocks[j].first || blocks[j].last < blocks[i].first) continue;
        const std::int64_t other = layout.offsets[j];
        REQUIRE((end <= other || other + std::int64_t{blocks[j].bytes} <= begin || blocks[i].bytes == 0 || blocks[j].bytes == 0));
      }
    }
  }
}

TEST_CASE("blocks of one symbolic size take over from one another") {
  const Dim n = Dim::symbol("n");
  const MemoryBlock blocks[] = {{n * 4, 0, 1}, {n * 4, 1, 2}, {n * 4, 2, 3}, {n * 8, 3, 3}, {100, 0, 3}};
  const MemoryLayout layout = plan_memory(blocks);
  CHECK(layout.offsets[0] == layout.offsets[2]);
  CHECK(layout.offsets[0] != layout.offsets[1]);
  const auto at = [](Dim d) { return d.evaluate([](std::string_view) { return std::int64_t{1000}; }); };
  CHECK(at(layout.total) == 128 + 4032 + 4032 + 8000);
}
