// Unrolled loops: what the compiler makes of them computes what eager execution does, and gradients flow through all of it.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <cmath>
#include <functional>
#include <tuple>
#include <vector>

#include "runtime/compile.h"
#include "tests/catch.h"

using namespace kiln;

namespace {

bool have_compiler() { return !runtime::compiler_build_id().empty(); }

using Body = std::function<std::vector<Tensor>(std::vector<Tensor>)>;

Tensor normal(const Shape& shape, std::int64_t seed) { return random::normal(shape, {.key = random::Key{.seed = seed}}); }

/// Rows [begin, end) and columns [first, last).
Tensor part(const Tensor& x, std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t last) {
  return x[{Slice{begin, end}, Slice{first, last}}];
}

double largest(const Tensor& t) { return t.shape().count() == 0 ? 0 : static_cast<double>(max(abs(t)).item<float>()); }

/// Strict code gives eager's bits, default code its values within rounding; returns the cost of the default code.
Cost check(const Body& body, const std::vector<Tensor>& arguments) {
  const std::vector<Tensor> expected = body(arguments);
  for (const bool strict : {true, false}) {
    FunctionOptions options;
    options.strict = strict;
    auto compiled = function(body, options);
    const std::vector<Tensor> found = compiled(arguments);
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      INFO("result " << i << (strict ? ", strict" : ""));
      REQUIRE(found[i].shape() == expected[i].shape());
      const double bound = strict ? 0 : 2e-5 * (1 + largest(expected[i]));
      CHECK(largest(found[i] - expected[i]) <= bound);
    }
    if (!strict) return compiled.concrete(arguments).cost();
  }
  return {};
}

/// Gradients of the sum of squares of what `forward` returns, for all arguments.
Body with_gradients(const std::function<Tensor(const std::vector<Tensor>&)>& forward) {
  return [forward](std::vector<Tensor> arguments) {
    GradientTape tape;
    for (const Tensor& a : arguments) tape.watch(a);
    Tensor y = forward(arguments);
    std::vector<Tensor> results = tape.gradient(sum(square(y)), arguments);
    results.push_back(y);
    return results;
  };
}

Tensor recurrence(const std::vector<Tensor>& a, int axis) {
  const Tensor &x = a[0], &w = a[1], &u = a[2], &b = a[3];
  const std::int64_t steps = x.shape()[axis];
  Tensor h = zeros({x.shape()[1 - axis], u.shape()[0]});
  const Tensor by_time = axis == 0 ? x : transpose(x, {1, 0, 2});
  for (std::int64_t t = 0; t < steps; ++t) h = tanh(matmul(by_time[t], w) + b + matmul(h, u));
  return h;
}

std::vector<Tensor> recurrence_arguments(const Shape& x, std::int64_t units) {
  return {normal(x, 1), normal({x[2], units}, 2) * 0.3, normal({units, units}, 3) * 0.2, normal({units}, 4)};
}

}  // namespace

TEST_CASE("a recurrence over the first axis: products of all steps are one, gradients of weights too") {
  if (!have_compiler()) return;
  const int steps = 9;
  const Cost cost = check(with_gradients([](auto& a) { return recurrence(a, 0); }), recurrence_arguments({steps, 3, 17}, 65));
  // Forward a product a step, backward one for the state; one each for the inputs, and for the gradients of w, u and x.
  CHECK(cost.launches <= 4 * steps + 10);
}

TEST_CASE("a recurrence over the second axis") {
  if (!have_compiler()) return;
  check(with_gradients([](auto& a) { return recurrence(a, 1); }), recurrence_arguments({5, 7, 16}, 64));
}

TEST_CASE("two LSTMs, one above the other") {
  if (!have_compiler()) return;
  nn::LSTM first(40, {.return_sequences = true}), second(24);
  const Tensor x = normal({3, 6, 20}, 5);
  (void)second(first(x));
  check(with_gradients([&](auto& a) { return second(first(a[0])); }), {x});
}

TEST_CASE("slices of one product, gathered again") {
  if (!have_compiler()) return;
  const auto forward = [](const std::vector<Tensor>& a) {
    std::vector<Tensor> rows;
    for (int t = 5; t >= 0; --t) rows.push_back(matmul(a[0][t], a[1]) * (t + 1.0));
    return stack(rows, 1);
  };
  check(with_gradients(forward), {normal({6, 4, 8}, 6), normal({8, 9}, 7)});
}

TEST_CASE("parts of a tensor that overlap, that leave gaps, of one row, of none") {
  if (!have_compiler()) return;
  const auto forward = [](const std::vector<Tensor>& a) {
    const Tensor x = a[0];
    Tensor y = sum(exp(part(x, 0, 10, 0, 7))) + sum(tanh(part(x, 8, 20, 0, 7))) + sum(square(part(x, 30, 31, 0, 7)));
    y = y + sum(part(x, 0, 33, 2, 5) * 3.0) + sum(exp(part(x, 12, 12, 1, 4)));
    return y;
  };
  check(with_gradients(forward), {normal({33, 7}, 8)});
}

TEST_CASE("a concat of results, read whole, in parts, and returned") {
  if (!have_compiler()) return;
  const Body body = [](std::vector<Tensor> a) {
    const Tensor p = exp(a[0]), q = tanh(a[0]) * 2.0, r = matmul(a[0], a[1]);
    const Tensor all = concat({p, q, r}, 0);
    const Tensor again = concat({p, all}, 0);  // p cannot lie in both
    return std::vector<Tensor>{all, matmul(all, a[1]), sum(all, {0}), q, again, part(all, 40, 90, 0, 50) + 1.0, concat({q, q}, 0)};
  };
  check(body, {normal({50, 50}, 9), normal({50, 50}, 10) * 0.1});
}

TEST_CASE("a variable that is read in parts and assigned") {
  if (!have_compiler()) return;
  const auto run = [](bool eager) {
    Variable v(normal({64, 40}, 11));
    const auto body = [&v](Tensor x) {
      const Tensor top = part(v.value(), 0, 32, 0, 40), bottom = part(v.value(), 32, 64, 0, 40);
      v.assign(concat({bottom + x, top * 0.5}, 0));
      return sum(top * bottom);
    };
    const Tensor x = normal({32, 40}, 12);
    std::vector<Tensor> sums;
    auto compiled = function(body);
    for (int i = 0; i < 3; ++i) sums.push_back(eager ? body(x) : compiled(x));
    sums.push_back(v.value());
    return sums;
  };
  const std::vector<Tensor> expected = run(true), found = run(false);
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(largest(found[i] - expected[i]) <= 1e-4 * (1 + largest(expected[i])));
}

TEST_CASE("long chains on vectors of any length, one value wide and two") {
  if (!have_compiler()) return;
  const Body one = [](std::vector<Tensor> a) {
    Tensor x = a[0];
    for (int i = 0; i < 50; ++i) x = maximum(tanh(x * 1.25) + 0.125, -0.5);
    return std::vector<Tensor>{x};
  };
  const Body two = [](std::vector<Tensor> a) {
    Tensor x = a[0], y = a[0] * 0.5;
    for (int i = 0; i < 60; ++i) std::tie(x, y) = std::tuple(y, tanh(x + y * 0.25) * 0.75);
    return std::vector<Tensor>{x, y};
  };
  for (const std::int64_t n : {1, 7, 16, 31, 33, 1000, 5003}) {
    INFO(n << " elements");
    check(one, {normal({n}, 13)});
    check(two, {normal({n}, 14)});
  }
}

TEST_CASE("a long chain is one short kernel, again and again") {
  if (!have_compiler()) return;
  for (const int layers : {100, 400}) {
    const Body body = [layers](std::vector<Tensor> a) {
      Tensor x = a[0];
      for (int i = 0; i < layers; ++i) x = maximum(tanh(x * 1.25) + 0.125, -0.5);
      return std::vector<Tensor>{x};
    };
    for (const std::int64_t n : {10, 1000}) {
      const Cost c = function(body).concrete(std::vector{normal({n}, 15)}).cost();
      CHECK(c.kernels <= 2);
      CHECK(c.launches >= layers / 40);
      CHECK(c.launches <= layers / 10);
    }
  }
}
