// Tapes: which values they watch, and the log of the ops that those reach.
#include "graph/tape.h"

#include "base/require.h"
#include "graph/differentiate.h"
#include "graph/tape_log.h"
#include "graph/thread_state.h"

namespace kiln::graph {

std::int32_t Tape::Impl::watch(const Value& v) {
  std::int32_t id = id_of(v);
  if (id >= 0) return id;
  v.get()->maybe_watched.store(true, std::memory_order_relaxed);
  ids.insert(v.get(), num_ids);
  return num_ids++;
}

void Tape::Impl::watch_variable(std::uint64_t variable, const Value& v) {
  std::vector<Value>& reads = variables[variable];
  for (const Value& seen : reads) {
    if (seen == v) return;
  }
  watch(v);
  reads.push_back(v);
}

void Tape::Impl::log(const ops::OpDef& op, std::span<const Value> values, const Attrs& attrs, const Value& result) {
  auto first = static_cast<std::uint32_t>(operand_ids.size());
  bool reached = false;
  for (const Value& v : values) {
    std::int32_t id = id_of(v);
    reached |= id >= 0;
    operand_ids.push_back(id);
  }
  if (!reached) {
    operand_ids.resize(first);
    return;
  }
  operands.insert(operands.end(), values.begin(), values.end());
  entries.push_back({&op, first, static_cast<std::uint32_t>(values.size()), watch(result), result, attrs, user_location()});
}

void Tape::Impl::detach() {
  for (Impl** link = &thread_state.tapes; *link != nullptr; link = &(*link)->next) {
    if (*link != this) continue;
    *link = next;
    return;
  }
}

void watch_variable_read(std::uint64_t variable, const Value& v) {
  const ThreadState& state = thread_state;
  if (state.tapes_suspended || !is_floating(v.dtype())) return;
  for (Tape::Impl* tape = state.tapes; tape != nullptr; tape = tape->next) {
    if (tape->trace == state.trace_id) tape->watch_variable(variable, v);
  }
}

void log_op(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs, const Value& result) {
  const ThreadState& state = thread_state;
  if (state.tapes == nullptr || state.tapes_suspended || !is_floating(result.dtype()) || result.weak()) return;
  bool reached = false;
  for (const Value& v : operands) reached |= v.get()->maybe_watched.load(std::memory_order_relaxed);
  if (!reached || stops_gradients(op)) return;
  for (Tape::Impl* tape = state.tapes; tape != nullptr; tape = tape->next) {
    if (tape->trace == state.trace_id) tape->log(op, operands, attrs, result);
  }
}

Tape::Tape() : impl_(std::make_unique<Impl>()) {
  ThreadState& state = thread_state;
  impl_->trace = state.trace_id;
  impl_->next = state.tapes;
  state.tapes = impl_.get();
}

Tape::~Tape() { stop(); }

void Tape::watch(const Value& v) {
  KILN_REQUIRE(!impl_->stopped, StateError, "watch: the tape was stopped; make a new one");
  KILN_REQUIRE(v.defined(), ValueError, "watch: the tensor is undefined");
  KILN_REQUIRE(is_floating(v.dtype()), DTypeError, "watch: a tensor of dtype {} has no gradient; convert it with cast()", name(v.dtype()));
  if (impl_->id_of(v) >= 0) return;
  impl_->watch(v);
  impl_->watched.push_back(v);
}

void Tape::stop() {
  if (impl_->stopped) return;
  impl_->detach();
  impl_->stopped = true;
}

bool Tape::stopped() const { return impl_->stopped; }

Value Tape::watched(const VariablePtr& v) const {
  auto found = impl_->variables.find(v->id);
  return found != impl_->variables.end() ? found->second.front() : Value{};
}

std::size_t Tape::size() const { return impl_->entries.size(); }

NoTapeScope::NoTapeScope() : saved_(thread_state.tapes_suspended) { thread_state.tapes_suspended = true; }

NoTapeScope::~NoTapeScope() { thread_state.tapes_suspended = saved_; }

bool any_tape_watches(const Value& v) {
  const ThreadState& state = thread_state;
  if (state.tapes_suspended) return false;
  for (Tape::Impl* tape = state.tapes; tape != nullptr; tape = tape->next) {
    if (tape->trace == state.trace_id && tape->id_of(v) >= 0) return true;
  }
  return false;
}

}  // namespace kiln::graph
