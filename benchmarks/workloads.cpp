// Definitions of the workloads.
#include "workloads.h"

#include <kiln/data.h>
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <array>
#include <memory>

namespace bench {

using namespace kiln;

FunctionOptions options(bool strict) {
  FunctionOptions o;
  o.strict = strict;
  return o;
}

namespace {

Tensor normal(Shape shape) { return random::normal(shape); }

/// A workload that calls the compiled `body` on fixed arguments.
template <class F, class... A>
Workload call_of(std::string name, bool strict, F body, std::function<std::tuple<A...>()> arguments) {
  return {std::move(name), [strict, body, arguments]() -> Call {
            auto compiled = function(body, options(strict));
            auto data = arguments();
            return {[compiled, data]() mutable { std::apply([&](auto&... a) { (void)compiled(a...); }, data); },
                    [compiled, data]() mutable { std::apply([&](auto&... a) { compiled.concrete(a...).compile(); }, data); }};
          }};
}

template <class F>
Workload unary(std::string name, bool strict, Shape shape, F body) {
  return call_of(std::move(name), strict, body, std::function([shape] { return std::tuple{normal(shape)}; }));
}

template <class F>
Workload binary(std::string name, bool strict, Shape first, Shape second, F body) {
  return call_of(std::move(name), strict, body, std::function([first, second] { return std::tuple{normal(first), normal(second)}; }));
}

Tensor layer_norm(const Tensor& x, const Tensor& g, const Tensor& b) {
  Tensor centred = x - mean(x, -1, true);
  return centred * rsqrt(mean(square(centred), -1, true) + 1e-5) * g + b;
}

Workload call20(bool strict) {
  auto body = [](std::vector<Tensor> xs) {
    Tensor total = xs[0];
    for (std::size_t i = 1; i < xs.size(); ++i) total = total + xs[i];
    return total;
  };
  return call_of("call20", strict, body, std::function([] {
                   std::vector<Tensor> xs;
                   for (int i = 0; i < 20; ++i) xs.push_back(normal({10}));
                   return std::tuple{xs};
                 }));
}

Workload eager_add() {
  return {"eager_add", []() -> Call {
            Tensor x = normal({10});
            return {[x] { (void)(x + x); }};
          }};
}

void add_chains(std::vector<Workload>& all, bool strict) {
  for (std::int64_t n : {1'000, 100'000, 1'000'000, 16'000'000}) {
    all.push_back(unary("chain_gelu_" + std::to_string(n), strict, {n},
                        [](Tensor x) { return 0.5 * x * (1 + tanh(0.7978845608 * (x + 0.044715 * x * x * x))); }));
    all.push_back(binary("chain_arith_" + std::to_string(n), strict, {n}, {n},
                         [](Tensor x, Tensor y) { return sqrt(abs(x * y + 1) + square(x - y)) * 0.5 + maximum(x, y) / (1 + abs(y)) - x; }));
    all.push_back(unary("chain_softplus_" + std::to_string(n), strict, {n}, [](Tensor x) { return log1p(exp(-abs(x))) + maximum(x, 0); }));
  }
}

void add_rows(std::vector<Workload>& all, bool strict) {
  const Shape square_shape{1024, 1024}, row{1024};
  auto normalized = std::function([=] { return std::tuple{normal(square_shape), normal(row), normal(row)}; });
  all.push_back(unary("row_softmax", strict, square_shape, [](Tensor x) { return softmax(x); }));
  all.push_back(call_of("row_layernorm", strict, [](Tensor x, Tensor g, Tensor b) { return layer_norm(x, g, b); }, normalized));
  auto gradient = [](Tensor x, Tensor g, Tensor b) {
    GradientTape tape;
    tape.watch(x);
    tape.watch(g);
    tape.watch(b);
    return tape.gradient(sum(square(layer_norm(x, g, b))), std::vector<Tensor>{x, g, b});
  };
  all.push_back(call_of("row_layernorm_grad", strict, gradient, normalized));
  all.push_back(unary("row_colsum", strict, square_shape, [](Tensor x) { return sum(x, 0); }));
  all.push_back(unary("row_transpose", strict, square_shape, [](Tensor x) { return transpose(x) + 1; }));
}

void add_matmuls(std::vector<Workload>& all, bool strict) {
  for (auto [m, k, n] :
       std::vector<std::array<std::int64_t, 3>>{{32, 784, 128}, {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {37, 53, 71}}) {
    std::string name = "matmul_" + std::to_string(m) + "x" + std::to_string(k) + "x" + std::to_string(n);
    all.push_back(binary(name, strict, {m, k}, {k, n}, [](Tensor a, Tensor b) { return matmul(a, b); }));
  }
}

}  // namespace

std::vector<Workload> workloads(bool strict) {
  std::vector<Workload> all;
  all.push_back(unary("call", strict, {10}, [](Tensor x) { return x + 1; }));
  all.push_back(call20(strict));
  all.push_back(eager_add());
  add_chains(all, strict);
  add_rows(all, strict);
  add_matmuls(all, strict);
  add_training_steps(all, strict);
  add_scaling(all, strict);
  return all;
}

}  // namespace bench
