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

  /// Throws StateError if stopped, DTypeError if `v` is not floating.
  void watch(const Value& v);
  /// Logs no more; gradient() still works.
  void stop();
  bool stopped() const;

  /// d(sum of target)/d(source) for each source, times `seed` if given (else ones). Undefined Value where the target does not depend on the
  /// source. Emits under the forward ops' lines; live tapes log the gradient ops, this one too unless stopped, so that gradients of
  /// gradients work. With `release` the tape is stopped first and its log freed as the walk goes; a later gradient() throws StateError.
  /// Throws ShapeError or DTypeError if the seed does not fit the target, ValueError if it meets an op without a gradient.
  std::vector<Value> gradient(const Value& target, std::span<const Value> sources, const Value& seed = {}, bool release = false);
  /// The Value under which this tape first saw the variable (its gradient counts every read); undefined if it did not.
  Value watched(const VariablePtr& v) const;
  /// Ops in the log.
  std::size_t size() const;

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
