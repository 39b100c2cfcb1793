// Variables: reads and assignments, eager and traced.
#include "graph/variable.h"

#include "base/require.h"
#include "graph/symbolic.h"
#include "graph/tape_log.h"
#include "graph/thread_state.h"
#include "graph/trace.h"

namespace kiln::graph {

namespace {

std::atomic<std::uint64_t> next_variable_id{1};

std::string quoted(const VariableState& v) { return v.name.empty() ? "variable" : fmt::format("variable \"{}\"", v.name); }

}  // namespace

VariablePtr make_variable(Value initial, std::string name, bool trainable) {
  KILN_REQUIRE(initial.defined(), ValueError, "variable \"{}\": the initial value is undefined", name);
  if (initial.symbolic()) fail_not_a_number(initial, "making a variable from a traced tensor");
  auto v = std::make_shared<VariableState>();
  v->id = next_variable_id.fetch_add(1, std::memory_order_relaxed);
  v->name = std::move(name);
  v->trainable = trainable;
  v->type = initial.type();
  // An identity of its own: tapes must not take it for the tensor that it was made from.
  v->value = alias(strong(initial));
  if (thread_state.open != nullptr) thread_state.open->note_created(v);
  return v;
}

Value read_variable(const VariablePtr& v) {
  Value value;
  if (Trace* trace = Trace::current(); trace != nullptr) {
    value = trace->read(v);
  } else {
    std::lock_guard lock(v->word);
    value = v->value;
  }
  if (thread_state.tapes != nullptr && v->trainable) watch_variable_read(v->id, value);
  return value;
}

void assign_variable(const VariablePtr& v, const Value& value) {
  KILN_REQUIRE(value.defined(), ValueError, "assign to {}: the value is undefined", quoted(*v));
  Value exact = value.weak() ? strong(value, v->type.dtype) : value;
  KILN_REQUIRE(exact.dtype() == v->type.dtype, DTypeError, "assign to {}: it holds {}, not {}; convert the value with cast()", quoted(*v),
               v->type.str(), exact.type().str());
  KILN_REQUIRE(exact.shape() == v->type.shape, ShapeError, "assign to {}: it holds {}, not {}", quoted(*v), v->type.str(),
               exact.type().str());
  if (Trace* trace = Trace::current(); trace != nullptr) {
    trace->write(v, exact);
    return;
  }
  if (exact.symbolic()) fail_leaked(exact, "assign");
  Value fresh = alias(exact);
  std::lock_guard lock(v->word);
  v->value = std::move(fresh);
}

}  // namespace kiln::graph
