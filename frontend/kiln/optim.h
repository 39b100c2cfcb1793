// Optimizers. Their state are Variables, so that a compiled step updates it in place.
#pragma once
#include <kiln/tensor.h>
#include <kiln/variable.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace kiln::optim {

/// Base of the optimizers. A copy is a new optimizer with state of its own; state is made at the first apply_gradients.
class Optimizer : public detail::Identity {
 public:
  explicit Optimizer(const Optimizer& other);
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  /// A Variable, so that changing it neither retraces nor recompiles.
  Variable learning_rate;

  /// Updates each variable by its gradient; undefined gradients are skipped.
  /// Throws ValueError if the counts differ or no gradient is defined.
  void apply_gradients(const std::vector<Tensor>& gradients, const Variables& variables, Loc where = Loc::here());

 protected:
  explicit Optimizer(double rate);
  /// Called once before the updates of a step.
  virtual void begin_step() {}
  virtual void update(Variable& variable, const Tensor& gradient) = 0;
  /// The state named `name` of `variable`, zeros at first.
  Variable& slot(const Variable& variable, const char* name);
  /// A scalar of the optimizer itself.
  static Variable scalar(const char* name, double initial);

 private:
  std::map<std::pair<std::uint64_t, std::string>, Variable> slots_;
};

struct SGDOptions {
  double momentum = 0;
  bool nesterov = false;
};

/// Stochastic gradient descent: w -= rate * g, with Keras's momentum.
class SGD : public Optimizer {
 public:
  explicit SGD(double rate = 0.01, SGDOptions options = {}) : Optimizer(rate), options_(options) {}

 protected:
  void update(Variable& variable, const Tensor& gradient) override;

 private:
  SGDOptions options_;
};

struct AdamOptions {
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
};

/// Adam (Kingma & Ba 2015, the efficient form at the end of section 2) as Keras computes it.
class Adam : public Optimizer {
 public:
  explicit Adam(double rate = 1e-3, AdamOptions options = {});
  /// Steps taken.
  Variable iterations;

 protected:
  void begin_step() override;
  void update(Variable& variable, const Tensor& gradient) override;

 private:
  AdamOptions options_;
  Tensor step_size_;
};

struct AdamWOptions {
  double weight_decay = 0.004;
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
};

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019): w -= rate * weight_decay * w before each update.
class AdamW : public Adam {
 public:
  explicit AdamW(double rate = 1e-3, AdamWOptions options = {});

 protected:
  void update(Variable& variable, const Tensor& gradient) override;

 private:
  double weight_decay_;
};

struct RMSpropOptions {
  double rho = 0.9, momentum = 0, epsilon = 1e-7;
  bool centered = false;  ///< divide by the variance of the gradient instead of its mean square
};

/// RMSprop (Tieleman & Hinton 2012) as Keras computes it: w -= rate * g / sqrt(mean square of g + epsilon).
class RMSprop : public Optimizer {
 public:
  explicit RMSprop(double rate = 1e-3, RMSpropOptions options = {}) : Optimizer(rate), options_(options) {}

 protected:
  void update(Variable& variable, const Tensor& gradient) override;

 private:
  RMSpropOptions options_;
};

}  // namespace kiln::optim
