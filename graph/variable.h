// The state of a Variable, shared by its handles and by the executables that write it.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "graph/value.h"

namespace kiln::graph {

/// The only mutable thing. Reads see the value before or after a running launch, never between.
struct VariableState {
  std::uint64_t id = 0;  ///< never reused
  std::string name;      ///< "fc1/kernel"
  bool trainable = true;
  TensorType type;
  std::mutex word;  ///< held while a launch owns the buffer; launches lock several in id order
  Value value;      ///< eager; guarded by word
};

using VariablePtr = std::shared_ptr<VariableState>;

/// A new variable with the given eager initial value.
VariablePtr make_variable(Value initial, std::string name, bool trainable);

/// The current value: the buffer when eager; while tracing, the parameter or the last traced assignment. Watched by active tapes if
/// trainable.
Value read_variable(const VariablePtr& v);
/// Replaces the value. Throws ShapeError or DTypeError if the type differs. While tracing, a state write.
void assign_variable(const VariablePtr& v, const Value& value);

}  // namespace kiln::graph
