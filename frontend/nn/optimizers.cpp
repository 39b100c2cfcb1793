// Optimizers. Their state are Variables, so that a compiled step updates it in place.
#include <kiln/math.h>
#include <kiln/ops.h>
#include <kiln/optim.h>

#include "base/require.h"
#include "graph/trace.h"

namespace kiln::optim {

Optimizer::Optimizer(double rate) : learning_rate(scalar("learning_rate", rate)) {}

Optimizer::Optimizer(const Optimizer& other) : Identity(other), learning_rate(other.learning_rate) {
  for (const auto& [key, state] : other.slots_) slots_.emplace(key, Variable(state));
}

Variable Optimizer::scalar(const char* name, double initial) {
  detail::BuildScope building;
  return Variable(cast(Tensor(initial), DType::float32), {.name = name, .trainable = false});
}

Variable& Optimizer::slot(const Variable& variable, const char* name) {
  const auto key = std::pair{variable.id(), std::string(name)};
  const auto found = slots_.find(key);
  if (found != slots_.end()) return found->second;
  detail::BuildScope building;
  graph::journal_undo([this, key] { slots_.erase(key); });
  return slots_
      .emplace(key, Variable(zeros(variable.shape(), variable.dtype()), {.name = variable.name() + "/" + name, .trainable = false}))
      .first->second;
}

void Optimizer::apply_gradients(const std::vector<Tensor>& gradients, const Variables& variables, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(gradients.size() == variables.size(), ValueError,
               "apply_gradients: {} gradients for {} variables; pass the list that tape.gradient() returned for these variables",
               gradients.size(), variables.size());
  bool any = false;
  for (const Tensor& g : gradients) any |= g.defined();
  KILN_REQUIRE(any || variables.empty(), ValueError,
               "apply_gradients: no variable has a gradient; was the loss computed while the tape was alive, from these variables?");
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const Variable& v = *variables[i];
    KILN_REQUIRE(!gradients[i].defined() || gradients[i].shape() == v.shape(), ShapeError,
                 "apply_gradients: the gradient of variable \"{}\" has shape {}, the variable {}", v.name(), gradients[i].shape().str(),
                 v.shape().str());
  }
  begin_step();
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].defined()) update(*variables[i].ptr, gradients[i]);
  }
}

void SGD::update(Variable& variable, const Tensor& gradient) {
  const Tensor rate = cast(learning_rate, variable.dtype());
  if (options_.momentum == 0) {
    variable.assign(variable - rate * gradient);
    return;
  }
  Variable& velocity = slot(variable, "momentum");
  const Tensor next = options_.momentum * velocity - rate * gradient;
  velocity.assign(next);
  variable.assign(options_.nesterov ? variable + options_.momentum * next - rate * gradient : variable + next);
}

Adam::Adam(double rate, AdamOptions options) : Optimizer(rate), iterations(scalar("iterations", 0)), options_(options) {}

void Adam::begin_step() {
  const Tensor t = iterations + 1;
  iterations.assign(t);
  step_size_ = learning_rate * sqrt(1 - pow(options_.beta_2, t)) / (1 - pow(options_.beta_1, t));
}

void Adam::update(Variable& variable, const Tensor& gradient) {
  Variable& m = slot(variable, "m");
  Variable& v = slot(variable, "v");
  const Tensor mean = m + (gradient - m) * (1 - options_.beta_1);
  const Tensor second = v + (square(gradient) - v) * (1 - options_.beta_2);
  m.assign(mean);
  v.assign(second);
  variable.assign(variable - mean * cast(step_size_, variable.dtype()) / (sqrt(second) + options_.epsilon));
}

AdamW::AdamW(double rate, AdamWOptions options)
    : Adam(rate, {.beta_1 = options.beta_1, .beta_2 = options.beta_2, .epsilon = options.epsilon}), weight_decay_(options.weight_decay) {}

void AdamW::update(Variable& variable, const Tensor& gradient) {
  variable.assign(variable - variable * cast(learning_rate * weight_decay_, variable.dtype()));
  Adam::update(variable, gradient);
}

void RMSprop::update(Variable& variable, const Tensor& gradient) {
  Variable& velocity = slot(variable, "velocity");
  const Tensor second = velocity * options_.rho + square(gradient) * (1 - options_.rho);
  velocity.assign(second);
  Tensor denominator = second + options_.epsilon;
  if (options_.centered) {
    Variable& average = slot(variable, "average_gradient");
    const Tensor first = average * options_.rho + gradient * (1 - options_.rho);
    average.assign(first);
    denominator = denominator - square(first);
  }
  Tensor step = cast(learning_rate, variable.dtype()) * gradient * rsqrt(denominator);
  if (options_.momentum > 0) {
    Variable& momentum = slot(variable, "momentum");
    step = momentum * options_.momentum + step;
    momentum.assign(step);
  }
  variable.assign(variable - step);
}

}  // namespace kiln::optim
