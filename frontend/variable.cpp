// Variables, their construction under the rules of tracing, and identities of stateful objects.
#include <kiln/math.h>
#include <kiln/ops.h>
#include <kiln/variable.h>

#include <atomic>

#include "frontend/access.h"
#include "frontend/tracing.h"
#include "graph/tape.h"
#include "graph/trace.h"

namespace kiln {

using detail::Access;

Variable::Variable() noexcept = default;
Variable::Variable(Variable&& other) noexcept = default;
Variable& Variable::operator=(Variable&& other) noexcept = default;
Variable::~Variable() = default;

Variable::Variable(const Tensor& initial, VariableOptions options, Loc where) {
  LocationScope scope(where);
  detail::require_new_variable_allowed(options.name);
  graph::Value value = graph::strong(Access::value(initial));
  if (graph::Trace* trace = graph::Trace::current(); trace != nullptr && value.symbolic()) value = trace->initial_value(value);
  KILN_REQUIRE(value.defined() && !value.symbolic(), TraceError,
               "Variable: its initial value depends on an argument or a variable of the traced function, and has no elements yet; make the "
               "variable outside, or from constants and random numbers");
  state_ = graph::make_variable(value, std::move(options.name), options.trainable);
}

Variable::Variable(const Variable& other) {
  if (!other.defined()) return;
  graph::EagerScope eager;
  graph::NoTapeScope no_tape;
  state_ = graph::make_variable(graph::read_variable(other.state_), other.state_->name, other.state_->trainable);
}

Tensor Variable::value() const { return Access::tensor(graph::read_variable(Access::state(*this))); }

void Variable::assign(const Arg& value) {
  LocationScope scope(value.loc());
  const graph::VariablePtr& state = Access::state(*this);
  graph::Value v = Access::value(value);
  graph::assign_variable(state, v.weak() ? graph::strong(v, state->type.dtype) : v);
}

void Variable::assign_add(const Arg& delta) { assign(Arg(Arg(value(), delta.loc()) + delta, delta.loc())); }

void Variable::assign_sub(const Arg& delta) { assign(Arg(Arg(value(), delta.loc()) - delta, delta.loc())); }

std::uint64_t Variable::id() const { return state_ ? state_->id : 0; }

const std::string& Variable::name() const { return Access::state(*this)->name; }

void Variable::set_name(std::string name) { Access::state(*this)->name = std::move(name); }

bool Variable::trainable() const { return Access::state(*this)->trainable; }

DType Variable::dtype() const { return Access::state(*this)->type.dtype; }

const Shape& Variable::shape() const { return Access::state(*this)->type.shape; }

namespace detail {

struct BuildScope::Impl {
  graph::EagerScope eager;
  graph::NoTapeScope no_tape;
};

namespace {

constinit thread_local int open_builds = 0;

std::uint64_t next_identity() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace

BuildScope::BuildScope() : impl_(std::make_unique<Impl>()) { ++open_builds; }
BuildScope::~BuildScope() { --open_builds; }

bool building() { return open_builds > 0; }

Identity::Identity() : id_(next_identity()) {}
Identity::Identity(const Identity&) : id_(next_identity()) {}
Identity::Identity(Identity&& other) noexcept : id_(other.id_) { other.id_ = next_identity(); }
Identity& Identity::operator=(const Identity&) {
  renew();
  return *this;
}
Identity& Identity::operator=(Identity&& other) noexcept {
  if (this != &other) {
    id_ = other.id_;
    other.id_ = next_identity();
  }
  return *this;
}
void Identity::renew() { id_ = next_identity(); }

}  // namespace detail
}  // namespace kiln
