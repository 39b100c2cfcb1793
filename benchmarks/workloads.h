// The workloads that ./dev bench times; their names and definitions are those of benchmarks/peers.
#pragma once
#include <kiln/function.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// One workload, its data made.
struct Call {
  std::function<void()> run;   ///< the result is complete when it returns
  std::function<void()> load;  ///< makes or loads its code without running it; empty if it has none

  Call(std::function<void()> run, std::function<void()> load = {}) : run(std::move(run)), load(std::move(load)) {}  // NOLINT: implicit
  void operator()() const { run(); }
};

/// `prepare` makes its data and returns one call.
struct Workload {
  std::string name;
  std::function<Call()> prepare;
};

/// Those of a compiled workload.
kiln::FunctionOptions options(bool strict);

/// All workloads, in the order of the table. strict: compiled with eager's bits.
std::vector<Workload> workloads(bool strict);

/// Adds mlp_step, cnn_step, lstm_step, lm_step and resnet18_step_b32.
void add_training_steps(std::vector<Workload>& all, bool strict);

/// Adds unrolled_N (N layers) and long_chain_N (N elementwise ops).
void add_scaling(std::vector<Workload>& all, bool strict);

}  // namespace bench
