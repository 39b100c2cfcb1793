// Layers, models, optimizers and losses, with Keras's conventions: Glorot-uniform kernels, zero biases, NHWC images.
#pragma once
#include <kiln/kiln.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace kiln::nn {

/// Trailing argument of a model's call: `net(x, nn::training)` runs it with dropout and batch statistics on.
struct Mode {
  bool training = false;
};
inline constexpr Mode training{true};
inline constexpr Mode inference{false};

/// A function applied to a layer's output: an op such as relu, an op with options such as softmax, or any callable Tensor(Tensor).
class Activation {
 public:
  Activation() = default;
  Activation(Tensor (*f)(const Arg&)) : f_([f](const Tensor& x) { return f(x); }) {}
  template <class Options>
  Activation(Tensor (*f)(const Arg&, Options)) : f_([f](const Tensor& x) { return f(x, Options{}); }) {}
  template <class F>
    requires(!std::same_as<F, Activation> && std::is_invocable_r_v<Tensor, F&, const Tensor&>)
  Activation(F f) : f_(std::move(f)) {}

  Tensor operator()(const Tensor& x) const { return f_ ? f_(x) : x; }

 private:
  std::function<Tensor(const Tensor&)> f_;
};

/// Base of the layers. A layer is a value: a copy is a new layer with variables of its own. Weights are made at the first call.
class Layer : public kiln::detail::Identity {
 public:
  explicit Layer(const Layer& other);
  Layer(Layer&&) noexcept = default;
  Layer& operator=(Layer&&) noexcept = default;

  /// The layer's variables, kernel first. Throws StateError before the first call of a layer that has weights.
  const std::vector<Variable>& weights() const;
  /// False until the first call of a layer that has weights.
  bool built() const { return built_; }
  /// Place in the model, "blocks/0/fc1"; empty outside a model.
  const std::string& path() const { return path_; }
  /// "Dense", "Conv2D", ...
  const char* kind() const { return kind_; }
  /// Shape of the last result; rank 0 before the first call.
  const Shape& output_shape() const { return output_shape_; }
  /// Sets the path unless one is set already; models do it before their first call.
  void set_path(const std::string& path);

 protected:
  enum class State { none, weights };
  Layer(const char* kind, State state);
  /// Makes the next weight, uniform in [-uniform_limit, uniform_limit) or zero; eager even while tracing, undone if the trace is abandoned.
  void add_weight(const char* name, const Shape& shape, double uniform_limit);
  void finish_build();
  const Variable& weight(std::size_t i) const { return weights_[i]; }
  Tensor record(Tensor result);

 private:
  const char* kind_;
  bool built_;
  std::string path_;
  std::vector<Variable> weights_;
  Shape output_shape_;
};

struct DenseOptions {
  Activation activation = {};
  bool use_bias = true;
};

/// activation(x @ kernel + bias) over the last axis. Throws ShapeError if x's last axis changes after the first call.
class Dense : public Layer {
 public:
  explicit Dense(std::int64_t units, DenseOptions options = {});
  Tensor operator()(const Arg& x);

 private:
  std::int64_t units_;
  DenseOptions options_;
};

struct Conv2DOptions {
  Size2 strides = 1;
  Padding padding = Valid;
  Size2 dilation = 1;
  std::int64_t groups = 1;
  Activation activation = {};
  bool use_bias = true;
};

/// activation(conv2d(x, kernel) + bias) on NHWC images; the kernel is HWIO.
class Conv2D : public Layer {
 public:
  explicit Conv2D(std::int64_t filters, Size2 kernel, Conv2DOptions options = {});
  Tensor operator()(const Arg& x);

 private:
  std::int64_t filters_;
  Size2 kernel_;
  Conv2DOptions options_;
};

struct MaxPool2DOptions {
  std::optional<Size2> strides = {};  ///< the pool size if absent
  Padding padding = Valid;
};

/// Largest value of each window of an NHWC image.
class MaxPool2D : public Layer {
 public:
  explicit MaxPool2D(Size2 size = 2, MaxPool2DOptions options = {});
  Tensor operator()(const Arg& x);

 private:
  Size2 size_;
  MaxPool2DOptions options_;
};

/// Joins all axes but the first.
class Flatten : public Layer {
 public:
  Flatten();
  Tensor operator()(const Arg& x);
};

/// While training, zeroes each element with probability `rate` and scales the rest by 1 / (1 - rate).
class Dropout : public Layer {
 public:
  explicit Dropout(double rate);
  Tensor operator()(const Arg& x);

 private:
  double rate_;
};

namespace detail {

/// Walks a model and hands each layer and each variable of its own, with its path, to the given functions.
class ModelVisitor : public kiln::detail::Visitor {
 public:
  ModelVisitor(std::function<void(const std::string& path, Layer&)> on_layer,
               std::function<void(const std::string& path, Variable&)> on_variable);
  void enter(std::string_view name) override;
  void leave() override;
  void identity(kiln::detail::Identity& object) override;
  void variable(Variable& variable) override;

 private:
  std::string path() const;
  std::function<void(const std::string&, Layer&)> on_layer_;
  std::function<void(const std::string&, Variable&)> on_variable_;
  std::vector<std::string> names_;
};

ModelVisitor layer_namer();
/// Walks by calling `walk` with the visitor to use.
Variables collect_trainable(const std::function<void(kiln::detail::Visitor&)>& walk);
std::string summarize(const std::function<void(kiln::detail::Visitor&)>& walk);

template <class T>
concept Buildable = requires(T& t) { t.build(Shape{}); };

inline Shape first_shape() { return {}; }
template <class First, class... Rest>
Shape first_shape(const First& first, const Rest&... rest) {
  if constexpr (std::convertible_to<const First&, Tensor>)
    return Tensor(first).shape();
  else
    return first_shape(rest...);
}

}  // namespace detail

/// Base of a user's model: `struct Net : nn::Model<Net> { nn::Dense fc{10}; Tensor call(Tensor x) { return fc(x); } };`.
/// Children and their names are found by reflection over the members; KILN_MEMBERS lists them where that cannot work.
template <class Net>
struct Model {
  /// Names the children, makes their weights at the first call, and runs call(). A trailing nn::training or nn::inference sets the ambient
  /// flag.
  template <class... A>
  auto operator()(A&&... a);
  /// The variables of all layers, in the order of the members, each once. Throws StateError before the first call.
  Variables trainable_variables();
  /// A table of layers, output shapes and parameter counts.
  std::string summary();
};

}  // namespace kiln::nn

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

}  // namespace kiln::optim

namespace kiln::losses {

struct CrossentropyOptions {
  bool from_logits = false;
};

/// Mean over the batch of -log p[y]. y: integer labels of shape p.shape[:-1]; p: probabilities, or logits. A label out of range gives NaN.
Tensor sparse_categorical_crossentropy(const Arg& y, const Arg& p, CrossentropyOptions options = {});
/// Mean over the batch of -sum(y * log p) for one-hot or soft labels y.
Tensor categorical_crossentropy(const Arg& y, const Arg& p, CrossentropyOptions options = {});
/// Mean of -(y log p + (1 - y) log(1 - p)).
Tensor binary_crossentropy(const Arg& y, const Arg& p, CrossentropyOptions options = {});
/// Mean of (y - p)^2.
Tensor mean_squared_error(const Arg& y, const Arg& p);

}  // namespace kiln::losses

#include <kiln/detail/model.h>
