// Trace: a graph under construction while the user's function runs with symbolic tensors.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "graph/value.h"
#include "graph/variable.h"

namespace kiln::graph {

/// What one capture produced: the graph, and what to bind to its parameters that are not arguments.
struct Captured {
  std::shared_ptr<const Graph> graph;
  std::vector<VariablePtr> variables;  ///< by parameter index; null where the parameter is no variable
  std::vector<Value> captures;         ///< by parameter index; undefined where it is no capture
  std::vector<VariablePtr> created;    ///< made by the body, in order
  int random_streams = 0;              ///< stream ids a call reserves (as captured, before pruning)
};

/// While alive, ops of this thread append to its graph. Scopes nest (a compiled function called while tracing splices its graph instead).
/// Capturing: eager operands up to 1 KB become constants, larger ones captured inputs (once each); variables become parameters at first
/// use.
class Trace {
 public:
  explicit Trace(std::string name);
  ~Trace();  ///< undoes the journal (variables made, ids taken) unless finish() was called
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  std::uint64_t id() const;
  /// A symbolic argument.
  Value add_argument(std::string name, TensorType type, Loc loc);
  /// The node that stands for `v` here: its own if symbolic, else a constant or capture. TraceError if it belongs to a closed trace.
  /// `user` names the op or entry that wants it, for the error.
  NodeId node_of(const Value& v, std::string_view user = "");
  /// Appends an op whose result has that type, under the user's line.
  Value append(const ops::OpDef& op, std::vector<NodeId> operands, Attrs attrs, TensorType type);
  /// The operands' lengths meet elementwise: two different symbols must then be equal, which every later call checks at its entry.
  void meet(std::span<const Value> operands);
  /// With the symbols that turned out equal replaced by one of them.
  TensorType resolved(const TensorType& type) const;
  Attrs resolved(const Attrs& attrs) const;
  bool has_equal_symbols() const;
  /// The eager value of something recorded here that depends on no argument and no variable, as an initial value must not: computed at
  /// once. Undefined if it depends on one.
  Value initial_value(const Value& v) const;
  Value read(const VariablePtr& v);
  void write(const VariablePtr& v, const Value& value);
  /// Symbolic int64[2] random key and the ordinal of a new random op of this trace.
  std::pair<Value, std::int64_t> random_stream();
  /// Copies a captured graph into this one: arguments bound to `arguments`, its variables and captures merged with ours; returns its
  /// results.
  std::vector<Value> splice(const Captured& callee, std::span<const Value> arguments);
  /// Ends the trace. `results` are its outputs.
  Captured finish(std::span<const Value> results);

  /// See journal_undo().
  void journal(std::function<void()> undo);
  /// A variable that the body made.
  void note_created(const VariablePtr& v);
  /// The trace that was open when this one began, or nullptr.
  Trace* enclosing() const;

  /// The innermost trace of this thread, or nullptr when eager.
  static Trace* current();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// While alive, this thread is eager although a trace is open: initializers run so.
class EagerScope {
 public:
  EagerScope();
  ~EagerScope();
  EagerScope(const EagerScope&) = delete;
  EagerScope& operator=(const EagerScope&) = delete;

 private:
  Trace* saved_;
};

/// Id of the innermost trace, or 0 when eager.
std::uint64_t current_trace_id();

/// An undo action for what tracing changes outside its graph (layers built, children named): runs in reverse order if the trace is
/// abandoned. Does nothing when eager.
void journal_undo(std::function<void()> undo);

}  // namespace kiln::graph
