// The op log and the one differentiator: a reverse walk over logged ops that calls each op's vjp.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "graph/value.h"
#include "graph/variable.h"

namespace kiln::graph {

/// Logs the ops whose operands it watches, eager or traced alike, from construction until stop().
class Tape {
 public:
  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  void watch(const Value& v);
  void stop();
  bool stopped() const;

  /// d(sum of target)/d(source) for each source, times `seed` if given (else ones). Undefined Value where the target does not depend on the source.
  /// Emits under the forward ops' lines; other live tapes log the gradient ops, so that gradients of gradients work.
  std::vector<Value> gradient(const Value& target, std::span<const Value> sources, const Value& seed = {});
  /// The Value under which this tape saw the variable; undefined if it did not.
  Value watched(const VariablePtr& v) const;

  struct Impl;  ///< apply() logs through this

 private:
  std::unique_ptr<Impl> impl_;
};

/// Suspends all tapes of this thread while alive.
class NoTapeScope {
 public:
  NoTapeScope();
  ~NoTapeScope();
  NoTapeScope(const NoTapeScope&) = delete;
  NoTapeScope& operator=(const NoTapeScope&) = delete;

 private:
  bool saved_;
};

/// True if any live tape of this thread watches `v`.
bool any_tape_watches(const Value& v);

}  // namespace kiln::graph
