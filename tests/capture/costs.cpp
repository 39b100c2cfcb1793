// Costs and memory plans of small functions, computed by hand.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <algorithm>
#include <string>

#include "runtime/compile.h"
#include "tests/catch.h"

using namespace kiln;

namespace {

bool have_compiler() { return !runtime::compiler_build_id().empty(); }

KILN_FUNCTION(Tensor, dense, (Tensor x, Tensor w, Tensor b)) { return relu(matmul(x, w) + b); }
KILN_FUNCTION(Tensor, total, (Tensor x)) { return sum(tanh(x) * x); }
KILN_FUNCTION(Tensor, counted, (Tensor i)) { return i * i + i; }
KILN_FUNCTION(Tensor, any_batch, (Tensor x), .input_signature = {{DType::float32, {Dim::symbol("n"), 4}}}) { return x * 3 + 1; }
KILN_FUNCTION(void, decay, (Variable & v, Tensor rate)) { v.assign(v - v * rate); }
constexpr int kChain = __LINE__ + 2;
KILN_FUNCTION(Tensor, chain, (Tensor x, Tensor w)) {
  Tensor a = matmul(x, w);
  Tensor b = matmul(a, w);
  Tensor c = matmul(b, w);
  return matmul(c, w);
}

}  // namespace

TEST_CASE("a dense layer: one contraction with its bias and relu on each tile") {
  if (!have_compiler()) return;
  const Cost c = dense.concrete(zeros({8, 16}), zeros({16, 4}), zeros({4})).cost();
  CHECK(c.captured_ops == 6);  // contract, broadcast, add, constant, broadcast, maximum
  CHECK(c.optimized_ops == 6);
  CHECK(c.launches == 1);
  CHECK(c.kernels == 1);
  CHECK(c.flops == 2 * 8 * 4 * 16 + 8 * 4 + 8 * 4);
  CHECK(c.bytes_moved == 4 * (8 * 16 + 16 * 4 + 4 + 8 * 4));
  CHECK(c.arena_bytes == 0);
  CHECK(c.output_bytes == 4 * 8 * 4);
  CHECK(c.constant_bytes == 0);
  CHECK(c.peak_bytes == c.output_bytes);
}

TEST_CASE("a reduction with its elementwise producers: one kernel") {
  if (!have_compiler()) return;
  const Cost c = total.concrete(zeros({1000})).cost();
  CHECK(c.captured_ops == 3);
  CHECK(c.optimized_ops == 3);
  CHECK(c.launches == 1);
  CHECK(c.flops == 3 * 1000);
  CHECK(c.bytes_moved == 4 * 1000 + 4);
  CHECK(c.output_bytes == 4);
}

TEST_CASE("integers are no floating-point operations") {
  if (!have_compiler()) return;
  const Cost c = counted.concrete(zeros({10}, DType::int32)).cost();
  CHECK(c.flops == 0);
  CHECK(c.bytes_moved == 2 * 4 * 10);
}

TEST_CASE("lengths left open are those of the first call") {
  if (!have_compiler()) return;
  const Cost c = any_batch.concrete(zeros({5, 4})).cost();
  CHECK(c.flops == 2 * 5 * 4);
  CHECK(c.output_bytes == 4 * 5 * 4);
}

TEST_CASE("a variable written in place is read and written once, and needs no memory") {
  if (!have_compiler()) return;
  Variable v{zeros({100})};
  const Cost c = decay.concrete(v, tensor(0.5f)).cost();
  CHECK(c.launches == 1);
  CHECK(c.output_bytes == 0);
  CHECK(c.flops == 2 * 100);
}

TEST_CASE("intermediate products take turns in the arena") {
  if (!have_compiler()) return;
  const Concrete f = chain.concrete(zeros({64, 64}), zeros({64, 64}));
  const MemoryPlan plan = f.memory_plan();
  REQUIRE(plan.blocks.size() == 3);
  const std::int64_t size = 4 * 64 * 64;
  for (std::size_t i = 0; i < 3; ++i) {
    const MemoryBlock& b = plan.blocks[i];
    INFO(i);
    CHECK(b.bytes == size);
    CHECK(b.first_launch == static_cast<int>(i));
    CHECK(b.last_launch == static_cast<int>(i) + 1);
    CHECK(b.op == "contract");
    CHECK(std::string(b.where.file) == __FILE__);
    CHECK(b.where.line == kChain + static_cast<int>(i));
  }
  CHECK(plan.blocks[0].offset == plan.blocks[2].offset);
  CHECK(plan.blocks[0].offset != plan.blocks[1].offset);
  CHECK(plan.total_bytes == 2 * size);
  CHECK(plan.lower_bound == 2 * size);
  CHECK(f.cost().arena_bytes == 2 * size);
  CHECK(f.cost().flops == std::int64_t{4} * 2 * 64 * 64 * 64);
  const std::string text = plan.str();
  CHECK(text.find("1 to 2      contract  " + std::string(__FILE__) + ":" + std::to_string(kChain + 1)) != std::string::npos);
  CHECK(text.ends_with("32768 bytes in all; no plan needs fewer than 32768\n"));
}

namespace {

struct Net : nn::Model<Net> {
  nn::Dense hidden{128, {.activation = relu}}, out{10};
  Tensor call(Tensor x) { return out(hidden(x)); }
};

}  // namespace

TEST_CASE("a training step: fewer ops after optimization, a plan between its bounds") {
  if (!have_compiler()) return;
  Net net;
  optim::SGD sgd;
  auto step = kiln::function([](Net& net, optim::SGD& sgd, Tensor x, Tensor y) {
    GradientTape tape;
    Tensor loss = losses::sparse_categorical_crossentropy(y, net(x, nn::training), {.from_logits = true});
    Variables weights = net.trainable_variables();
    sgd.apply_gradients(tape.gradient(loss, weights), weights);
    return loss;
  });
  const Concrete c = step.concrete(net, sgd, zeros({32, 784}), zeros({32}, DType::int32));
  const Cost cost = c.cost();
  CHECK(cost.optimized_ops < cost.captured_ops);
  CHECK(cost.kernels <= cost.launches);
  // Forward, and the gradients of both kernels and of the hidden layer.
  const std::int64_t products = 2 * 32 * (2 * 784 * 128 + 3 * 128 * 10);
  CHECK(cost.flops > products);
  CHECK(cost.flops < products * 11 / 10);
  CHECK(cost.output_bytes == 4);  // the loss; weights are updated in place
  const MemoryPlan plan = c.memory_plan();
  CHECK(plan.total_bytes == cost.arena_bytes);
  CHECK(plan.lower_bound <= plan.total_bytes);
  for (const MemoryBlock& b : plan.blocks) {
    CHECK(b.offset + b.bytes <= plan.total_bytes);
    for (const MemoryBlock& other : plan.blocks) {
      const bool lives = b.first_launch <= other.last_launch && other.first_launch <= b.last_launch;
      const bool same_place = b.offset == other.offset && b.bytes == other.bytes;  // a result written over an input that dies
      CHECK((&b == &other || !lives || same_place || b.offset + b.bytes <= other.offset || other.offset + other.bytes <= b.offset));
    }
  }
}
