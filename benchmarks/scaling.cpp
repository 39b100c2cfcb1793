// Workloads whose point is the time of the first call: large graphs, written out by the user's loop.
#include <kiln/kiln.h>

#include <string>
#include <tuple>
#include <vector>

#include "workloads.h"

namespace bench {
namespace {

using namespace kiln;

/// Layers of a residual network, a weight each.
Workload unrolled(int layers, bool strict) {
  return {"unrolled_" + std::to_string(layers), [layers, strict]() -> std::function<void()> {
            auto compiled = function(
                [](Tensor x, std::vector<Tensor> weights) {
                  for (const Tensor& w : weights) x = tanh(matmul(x, w)) + 0.1 * x;
                  return x;
                },
                options(strict));
            std::vector<Tensor> weights;
            for (int i = 0; i < layers; ++i) weights.push_back(random::normal({64, 64}) * 0.1);
            return [compiled, x = random::normal({32, 64}), weights]() mutable { (void)compiled(x, weights); };
          }};
}

/// Elementwise ops on few elements, one after the other.
Workload long_chain(int ops, bool strict) {
  return {"long_chain_" + std::to_string(ops), [ops, strict]() -> std::function<void()> {
            auto compiled = function(
                [ops](Tensor x) {
                  for (int i = 0; i < ops; i += 4) x = maximum(tanh(x * 1.25) + 0.125, -0.5);
                  return x;
                },
                options(strict));
            return [compiled, x = random::normal({1000})]() mutable { (void)compiled(x); };
          }};
}

}  // namespace

void add_scaling(std::vector<Workload>& all, bool strict) {
  for (int layers : {100, 400, 1600}) all.push_back(unrolled(layers, strict));
  for (int ops : {400, 1600}) all.push_back(long_chain(ops, strict));
}

}  // namespace bench
