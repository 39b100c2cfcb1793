// State and side effects of traced functions: variables in and out, exceptions, C++ effects at trace time, names and signatures.
#include <kiln/kiln.h>

#include <signal.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/stderr_text.h"

using namespace kiln;

namespace {

Tensor leaked;

struct Counter {
  Variable total;
  int calls = 0;
  KILN_METHOD(Tensor, add, (Tensor x)) {
    ++calls;
    total.assign_add(x);
    return total;
  }
  KILN_METHOD(Tensor, read, (Tensor x) const) { return x + total; }
};

KILN_FUNCTION(Tensor, train, (Variable & w, Variable& steps, Tensor x)) {
  GradientTape tape;
  Tensor loss = w * w * x;
  w.assign_sub(0.5 * tape.gradient(loss, w));
  steps.assign_add(1);
  return loss;
}

int attempts = 0;
KILN_FUNCTION(Tensor, fails_once, (Variable & w, Tensor x)) {
  w.assign(x);
  leaked = x;
  if (++attempts == 1) throw std::runtime_error("not today");
  return w + 1;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("variables that are read and assigned become parameters and writes") {
  Variable w{tensor({1.f, 2.f}), {.name = "w"}}, steps{tensor(0), {.name = "steps", .trainable = false}};
  std::string ir = train.concrete(w, steps, tensor({1.f, 1.f})).ir(Stage::captured);
  CHECK(contains(ir, "kiln.kind = \"variable\", kiln.name = \"w\""));
  CHECK(contains(ir, "kiln.kind = \"variable\", kiln.name = \"steps\""));
  CHECK(contains(ir, "kiln.kind = \"argument\", kiln.name = \"x\""));
  CHECK(contains(ir, "writes = array<i64: 1, 2>"));
  CHECK(contains(ir, "effects.cpp"));
  CHECK(w.value().str() == "[1. 2.]");
}

TEST_CASE("a variable made in the first trace starts with what its constants and random numbers give, and is kept") {
  struct Running {
    Variable mean, noise;
    int traces = 0;
    KILN_METHOD(Tensor, update, (Tensor x)) {
      ++traces;
      if (!mean.defined()) {
        mean = Variable(zeros({3}) + 2, {.name = "mean"});
        noise = Variable(random::normal({3}) * 0 + 1, {.name = "noise"});
      }
      mean.assign(0.5 * (mean.value() + x) * noise);
      return mean;
    }
  } running;
  const Tensor x = tensor({0.f, 2.f, 4.f});
  CHECK(running.update(x).str() == "[1. 2. 3.]");
  CHECK(running.update(x).str() == "[0.5 2.  3.5]");
  CHECK(running.traces == 1);
  CHECK(running.mean.value().str() == "[0.5 2.  3.5]");
}

TEST_CASE("an exception from the body leaves everything as before, and the next call traces again") {
  Variable w{tensor({5.f})};
  Tensor x = tensor({1.f});
  leaked = tensor({9.f});
  CHECK_THROWS_WITH(fails_once.concrete(w, x), "not today");
  CHECK(w.value().str() == "[5.]");
  CHECK(leaked.str() == "[9.]");
  CHECK((x + 1).str() == "[2.]");
  CHECK_NOTHROW(fails_once.concrete(w, x));
  CHECK(attempts == 2);
}

TEST_CASE("an index out of range leaves every variable as it was, whatever else the step updates") {
  struct Model {
    Variable table{ones({5, 4}), {.name = "table"}}, scale{ones({4}), {.name = "scale"}},
        count{tensor(0), {.name = "count", .trainable = false}};
    KILN_METHOD(Tensor, step, (Tensor indices)) {
      GradientTape tape;
      Tensor loss = sum(square(gather(table, indices) * scale));
      auto gradients = tape.gradient(loss, {table, scale});
      count.assign_add(1);
      scale.assign_sub(0.1 * gradients[1]);
      table.assign_sub(0.1 * gradients[0]);
      return loss;
    }
  } model;
  CHECK(model.step(tensor({0, 4, 0})).item<float>() == 12);
  const std::string table = model.table.value().str(), scale = model.scale.value().str();
  for (const Tensor& wrong : {tensor({0, 5, 0}), tensor({1, 2, -1}), tensor({9, 9, 9})}) {
    CHECK_THROWS_AS(model.step(wrong), RuntimeError);
    CHECK(model.table.value().str() == table);
    CHECK(model.scale.value().str() == scale);
    CHECK(model.count.value().str() == "1");
  }
  CHECK_NOTHROW(model.step(tensor({3, 3, 3})));
  CHECK(model.table.value().str() != table);
}

TEST_CASE("methods find their owner, also in copies") {
  Counter c{Variable(tensor({1.f}))};
  c.add.concrete(tensor({1.f}));
  CHECK(c.calls == 1);
  c.add.concrete(tensor({1.f}));
  CHECK(c.calls == 1);
  Counter copy = c;
  copy.add.concrete(tensor({1.f}));
  CHECK(copy.calls == 2);
  CHECK(copy.total.id() != c.total.id());
  CHECK(contains(copy.add.concrete(tensor({1.f})).signature(), "this/total: variable " + std::to_string(copy.total.id())));
}

TEST_CASE("signature names what calls have in common") {
  Variable w{tensor({1.f}), {.name = "w"}}, steps{tensor(0), {.name = "steps", .trainable = false}};
  std::string text = train.concrete(w, steps, tensor({1.f})).signature();
  CHECK(text ==
        "training: false\nw: variable " + std::to_string(w.id()) + "\nsteps: variable " + std::to_string(steps.id()) + "\nx: float32[1]\n");
  CHECK(contains(train.concrete(w, steps, tensor({1.f})).dot(), "digraph"));
}

TEST_CASE("a tape outside differentiates through a traced call") {
  auto square = kiln::function([](Tensor x) { return x * x; });
  Tensor x = tensor({3.f});
  GradientTape tape;
  tape.watch(x);
  Tensor y = square(x);
  CHECK(y.str() == "[9.]");
  CHECK(tape.gradient(y, x).str() == "[6.]");
}

TEST_CASE("a tape outside sees the variables that a traced call reads and writes") {
  Variable w{tensor({2.f})}, count{tensor(0), {.trainable = false}};
  auto step = kiln::function([&](Tensor x) {
    count.assign_add(1);
    return x * w * w;
  });
  GradientTape tape;
  Tensor y = step(tensor({3.f}));
  CHECK(tape.gradient(y, w).str() == "[12.]");
  CHECK(count.value().item<int>() == 1);
}

TEST_CASE("run_eagerly runs the body itself") {
  int calls = 0;
  auto f = kiln::function([&](Tensor x) {
    ++calls;
    return x.item<float>() > 0 ? x + 1 : x - 1;
  });
  run_eagerly(true);
  CHECK(f(1.f).item<float>() == 2);
  CHECK(f(-1.f).item<float>() == -2);
  CHECK(f(-2.f).item<float>() == -3);
  run_eagerly(false);
  CHECK(calls == 3);
}

TEST_CASE("compiling leaves the process's signal handlers and signal stacks alone") {
  // A number that no kernel has had before, so that no cache has its code.
  const auto number = static_cast<float>(std::chrono::steady_clock::now().time_since_epoch().count() % 1000003) * 1.5F;
  struct State {
    std::vector<void (*)(int)> handlers;
    void* stack;
    bool operator==(const State&) const = default;
  };
  const auto state = [] {
    State s;
    for (int number = 1; number < SIGRTMIN; ++number) {
      struct sigaction action{};
      sigaction(number, nullptr, &action);
      s.handlers.push_back(action.sa_handler);
    }
    stack_t stack{};
    sigaltstack(nullptr, &stack);
    s.stack = stack.ss_sp;
    return s;
  };
  const State before = state();
  auto f = kiln::function([number](Tensor x) { return tanh(x) * number; });
  CHECK(f(tensor({0.f})).item<float>() == 0);
  CHECK(state() == before);
}
