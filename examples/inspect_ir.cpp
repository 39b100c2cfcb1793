// Prints a training step before and after optimization, its kernels, and on request the code they became, its memory plan and its costs.
// usage: inspect_ir [captured | optimized | fused | kernels | llvm | assembly | dot | memory | cost]
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <string>

using namespace kiln;

struct Net : nn::Model<Net> {
  nn::Dense hidden{128, {.activation = relu}}, out{10};
  Tensor call(Tensor x) { return out(hidden(x)); }
};

KILN_FUNCTION(Tensor, train_step, (Net & net, optim::SGD& sgd, Tensor x, Tensor y)) {
  GradientTape tape;
  Tensor loss = losses::sparse_categorical_crossentropy(y, net(x, nn::training), {.from_logits = true});
  Variables weights = net.trainable_variables();
  sgd.apply_gradients(tape.gradient(loss, weights), weights);
  return loss;
}

int main(int argc, char** argv) {
  const std::map<std::string, Stage> stages = {{"captured", Stage::captured}, {"optimized", Stage::optimized},
                                               {"fused", Stage::fused},       {"kernels", Stage::kernels},
                                               {"llvm", Stage::llvm},         {"assembly", Stage::assembly}};
  Net net;
  optim::SGD sgd{0.01};
  const auto step = train_step.concrete(net, sgd, zeros({32, 784}), zeros({32}, DType::int32));
  const std::string wanted = argc > 1 ? argv[1] : "";
  if (wanted == "dot") {
    std::cout << step.dot();
  } else if (wanted == "memory") {
    std::cout << step.memory_plan().str();
  } else if (wanted == "cost") {
    const Cost c = step.cost();
    std::cout << c.captured_ops << " ops captured, " << c.optimized_ops << " after optimization, " << c.launches << " launches of "
              << c.kernels << " kernels\n"
              << c.flops << " floating-point operations, " << c.bytes_moved << " bytes moved\n"
              << c.peak_bytes << " bytes of memory: " << c.arena_bytes << " arena, " << c.output_bytes << " results, " << c.constant_bytes
              << " constants\n";
  } else if (stages.contains(wanted)) {
    std::cout << step.ir(stages.at(wanted));
  } else {
    for (const char* stage : {"captured", "optimized", "kernels"})
      std::cout << "===== " << stage << "\n" << step.ir(stages.at(stage)) << "\n";
  }
}
