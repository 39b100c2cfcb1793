// GradientTape over the graph's differentiator.
#include <kiln/tape.h>

#include <optional>

#include "frontend/access.h"
#include "graph/tape.h"

namespace kiln {

using detail::Access;
using graph::Value;

struct GradientTape::Impl {
  graph::Tape tape;
  bool persistent = false;
  bool used = false;

  std::vector<Tensor> gradient(const Arg& target, std::span<const Value> sources) {
    LocationScope scope(target.loc());
    KILN_REQUIRE(!used || persistent, StateError,
                 "gradient: this tape was used already and is not persistent; make it GradientTape tape{{{{.persistent = true}}}}");
    used = true;
    std::vector<Value> gradients = tape.gradient(Access::value(target), sources, {}, !persistent);
    std::vector<Tensor> out;
    out.reserve(gradients.size());
    for (Value& g : gradients) out.push_back(Access::tensor(std::move(g)));
    return out;
  }
};

GradientTape::GradientTape(TapeOptions options) : impl_(std::make_unique<Impl>()) { impl_->persistent = options.persistent; }
GradientTape::~GradientTape() = default;

void GradientTape::watch(const Arg& x) {
  LocationScope scope(x.loc());
  impl_->tape.watch(Access::value(x));
}

std::vector<Tensor> GradientTape::gradient(const Arg& target, const Variables& sources) {
  std::vector<Value> values;
  values.reserve(sources.size());
  for (const VariableRef& v : sources) values.push_back(impl_->tape.watched(Access::state(*v)));
  // A variable that the tape never saw has no value to ask for; any unrelated one stands in and gets no gradient.
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!values[i].defined()) values[i] = graph::strong(Value(0.0));
  }
  return impl_->gradient(target, values);
}

Tensor GradientTape::gradient(const Arg& target, const Variable& source) {
  return gradient(target, Variables{const_cast<Variable&>(source)}).front();
}

std::vector<Tensor> GradientTape::of_tensors(const Arg& target, std::span<const Tensor> sources) {
  LocationScope scope(target.loc());
  std::vector<Value> values;
  values.reserve(sources.size());
  for (const Tensor& t : sources) values.push_back(Access::value(t));
  return impl_->gradient(target, values);
}

Tensor stop_gradient(const Arg& x) {
  LocationScope scope(x.loc());
  graph::NoTapeScope no_tape;
  return Access::tensor(graph::alias(Access::value(x)));
}

}  // namespace kiln
