// The workloads that ./dev bench times; their names and definitions are those of benchmarks/peers.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace bench {

/// A workload: `prepare` makes its data and returns one call, result complete when it returns.
struct Workload {
  std::string name;
  std::function<std::function<void()>()> prepare;
};

/// All workloads, in the order of the table. strict: compiled with eager's bits.
std::vector<Workload> workloads(bool strict);

/// Adds mlp_step, cnn_step, lstm_step, lm_step and resnet18_step_b32.
void add_training_steps(std::vector<Workload>& all, bool strict);

}  // namespace bench
