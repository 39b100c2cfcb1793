// From a captured graph to code that runs: the caches on the way, and the call with its variables as state. Internal to frontend/.
#pragma once
#include <kiln/detail/call.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/numerics.h"
#include "frontend/call_sites.h"
#include "graph/trace.h"
#include "runtime/compile.h"
#include "runtime/executable.h"

namespace kiln::detail {

/// A captured graph compiled for this machine, bound to the variables and tensors that its body used.
class Compiled {
 public:
  /// Finds the plan in memory or on disk, else compiles. Throws CompileError.
  Compiled(const graph::Captured& captured, Numerics numerics);

  /// Runs on the defined tensors among `arguments`. Returns the results; variables have their new values.
  /// After an exception every variable is as before.
  std::vector<graph::Value> run(std::span<const Signature::Leaf> arguments) const;

  const runtime::Plan& plan() const { return executable_->plan(); }

 private:
  struct State {
    graph::VariablePtr variable;
    std::size_t input;
    int output;  ///< -1 if only read
  };
  struct Capture {
    runtime::Argument value;
    std::size_t input;
  };
  class Launch;
  void run(std::span<runtime::Argument> inputs, std::span<runtime::Argument> outputs) const;

  std::shared_ptr<const graph::Graph> graph_;
  std::shared_ptr<const runtime::Executable> executable_;
  std::vector<State> states_;  ///< in the order of the variables' ids: the order in which they are locked
  std::vector<Capture> captures_;
  int random_input_ = -1;
  int random_streams_ = 0;
  runtime::NodeLocator locate_;
  runtime::InputNamer name_;
  mutable CallSites sites_;
};

/// The same graph run op by op, so that tapes log it; variables are read and assigned as by eager code.
std::vector<graph::Value> run_interpreted(const graph::Captured& captured, std::span<const Signature::Leaf> arguments);

/// True if a live tape of this thread watches an argument, or the graph reads a trainable variable while one is live.
bool tape_watches(const graph::Captured& captured, std::span<const Signature::Leaf> arguments);

/// The text of a stage after `captured`: as kept by the compilation of this process or of an earlier one, else by compiling again.
std::string stage_text(const graph::Graph& graph, Numerics numerics, runtime::StageId stage);

}  // namespace kiln::detail
