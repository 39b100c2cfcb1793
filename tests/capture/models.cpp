// Models, layers and optimizers in traced functions: every construct of the public interface, and what identity and members mean for
// retraces.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "tests/catch.h"

using namespace kiln;

namespace {

int runs = 0;

template <class F>
int traces(F&& f) {
  int before = runs;
  f();
  return runs - before;
}

// Built at the first call.
struct Scale : nn::Model<Scale> {
  Variable gain;
  void build(const Shape&) { gain = Variable(tensor(2.f)); }
  Tensor call(Tensor x) { return x * gain; }
};

// A constructor, private members, layers on the heap.
class Mlp : public nn::Model<Mlp> {
 public:
  explicit Mlp(int depth) {
    for (int i = 0; i < depth; ++i) hidden_.emplace_back(6, nn::DenseOptions{.activation = relu});
  }
  Tensor call(Tensor x) {
    for (auto& h : hidden_) x = h(x);
    return out_(x);
  }
  KILN_MEMBERS(hidden_, out_)

 private:
  std::vector<nn::Dense> hidden_;
  nn::Dense out_{3};
};

struct Block : nn::Model<Block> {
  int width = 4;
  float rate = 0.1f;
  nn::Dense a{width, {.activation = softmax}}, b{width, {.activation = [](Tensor x) { return softmax(x, {.axis = 1}) + 1; }}};
  Tensor call(Tensor x, bool both) { return both ? b(a(x)) * rate : a(x); }
};

struct Stack : nn::Model<Stack> {
  std::vector<Block> blocks{Block{}, Block{{}, 5}};
  std::map<std::string, nn::Dense> heads;
  Scale scale;
  Mlp mlp{2};
  std::tuple<Tensor, Tensor> call(Tensor x, Tensor y) {
    for (auto& b : blocks) x = b(x, true);
    return {mlp(scale(x)), y};
  }
};

struct Tied : nn::Model<Tied> {
  nn::Dense e{4};
  Tensor call(Tensor x) { return e(e(x)); }
};

struct Out {
  Tensor loss, accuracy;
  std::map<std::string, Tensor> logs;
};

KILN_FUNCTION(Out, evaluate, (Stack & m, Tensor x, const std::vector<Tensor>& ys, bool flag)) {
  ++runs;
  auto [p, q] = m(x, ys[0]);
  (void)flag;
  return {p, q, {{"p", p}}};
}
KILN_FUNCTION((std::tuple<Tensor, Tensor>), pair_of, (Tensor x), .input_signature = {{DType::float32, {-1, 4}}}, .strict = true) {
  return {x, x + 1};
}
KILN_FUNCTION(Tensor, collatz, (Tensor n)) {
  Tensor steps = 0;
  while (n != 1) {
    if (n % 2 == 0)
      n = n / 2;
    else
      n = 3 * n + 1;
    steps += 1;
  }
  return steps;
}

struct Trainer {
  Tied net;
  optim::Adam adam{1e-3};
  int epoch = 0;
  KILN_METHOD(Tensor, step, (Tensor x, Tensor y)) {
    ++runs;
    ++epoch;
    GradientTape tape;
    Tensor loss = mean(square(net(x) - y));
    Variables w = net.trainable_variables();
    adam.apply_gradients(tape.gradient(loss, w), w);
    return loss;
  }
  KILN_METHOD(Tensor, predict, (Tensor x) const) { return x + epoch; }
};

struct Holder {
  int k = 2;
  Function<Tensor(Tensor)> f = kiln::function([](Tensor x) { return relu(x) + 1; });
};

struct Fails : nn::Model<Fails> {
  nn::Dense fc{3};
  bool fail = true;
  Tensor call(Tensor x) {
    Tensor y = fc(x);
    if (fail) throw std::runtime_error("stop");
    return y;
  }
};

Tensor batch() { return ones({2, 4}); }

}  // namespace

TEST_CASE("a model is traced once though its weights are made in the trace") {
  Stack s;
  CHECK(traces([&] { evaluate.concrete(s, batch(), {batch()}, true); }) == 1);
  CHECK(traces([&] { evaluate.concrete(s, batch(), {batch()}, true); }) == 0);
  CHECK(s.trainable_variables().size() == 15);
  CHECK(s.trainable_variables()[0]->value().shape() == Shape{4, 4});
}

TEST_CASE("plain members of a model are part of the signature; copies are other models, moved ones the same") {
  Stack m;
  evaluate.concrete(m, batch(), {batch()}, true);
  m.blocks[0].rate = 0.5f;
  CHECK(traces([&] { evaluate.concrete(m, batch(), {batch()}, true); }) == 1);
  m.blocks[0].rate = 0.1f;
  CHECK(traces([&] { evaluate.concrete(m, batch(), {batch()}, true); }) == 0);
  Stack copy = m;
  CHECK(copy.trainable_variables()[0]->id() != m.trainable_variables()[0]->id());
  CHECK(traces([&] { evaluate.concrete(copy, batch(), {batch()}, true); }) == 1);
  Stack moved = std::move(m);
  CHECK(traces([&] { evaluate.concrete(moved, batch(), {batch()}, true); }) == 0);
}

TEST_CASE("two unbuilt models never share a trace") {
  auto f = kiln::function([](Scale& s, Tensor x) {
    ++runs;
    return s(x);
  });
  Scale a, b;
  CHECK(traces([&] { f.concrete(a, batch()); }) == 1);
  CHECK(traces([&] { f.concrete(b, batch()); }) == 1);
  CHECK(a.gain.id() != b.gain.id());
  CHECK(traces([&] { f.concrete(a, batch()), f.concrete(b, batch()); }) == 0);
}

TEST_CASE("methods, optimizers and their state") {
  Trainer t;
  CHECK(traces([&] { t.step.concrete(batch(), batch()); }) == 1);
  CHECK(traces([&] { t.step.concrete(batch(), batch()); }) == 0);
  CHECK(t.epoch == 1);
  std::string ir = t.step.concrete(batch(), batch()).ir(Stage::captured);
  CHECK(ir.find("writes = array<i64") != std::string::npos);
  CHECK(t.predict.concrete(batch()).ir(Stage::captured).find("add") != std::string::npos);
}

TEST_CASE("an exception in a model's first trace leaves it unbuilt") {
  Fails m;
  auto f = kiln::function([](Fails& net, Tensor x) { return net(x); });
  CHECK_THROWS_WITH(f.concrete(m, batch()), "stop");
  CHECK_FALSE(m.fc.built());
  m.fail = false;
  CHECK_NOTHROW(f.concrete(m, batch()));
  CHECK(m.fc.built());
}

TEST_CASE("lambdas that capture a model, generic lambdas, functions as members and in maps") {
  Stack m;
  m(batch(), batch());
  float rate = 0.5f;
  auto f = kiln::function([&m, rate](Tensor x) { return m.scale(x) * rate; }, {.strict = true});
  auto g = kiln::function([](auto& net, Tensor x) { return net(x); });
  Tied tied;
  std::map<std::string, Function<Tensor(Tensor)>> table;
  table.emplace("f", f);
  Holder holder;
  CHECK(f.concrete(batch()).ir(Stage::captured).find("mul") != std::string::npos);
  CHECK(g.concrete(tied, batch()).ir(Stage::captured).find("contract") != std::string::npos);
  CHECK(table.at("f").concrete(batch()).name() == "lambda");
  CHECK(holder.f.concrete(batch()).ir(Stage::captured).find("maximum") != std::string::npos);
  CHECK(pair_of.concrete(batch()).signature().find("x: float32[2, 4]") != std::string::npos);
}

TEST_CASE("eagerly, control flow on tensors just runs") {
  run_eagerly(true);
  CHECK(collatz(27).item<int>() == 111);
  Trainer t;
  float first = t.step(batch(), batch()).item<float>();
  for (int i = 0; i < 20; ++i) t.step(batch(), batch());
  CHECK(t.step(batch(), batch()).item<float>() < first);
  CHECK(t.epoch == 22);
  run_eagerly(false);
}
