// Layers, models, optimizers, losses and metrics, with Keras's conventions: Glorot-uniform kernels, zero biases, NHWC images.
#pragma once
#include <kiln/kiln.h>
#include <kiln/layers.h>
#include <kiln/losses.h>
#include <kiln/optim.h>

#include <functional>
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
/// The model's variables, each once. Walks by calling `walk` with the visitor to use.
Variables collect_variables(const std::function<void(kiln::detail::Visitor&)>& walk, bool trainable_only);
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
  /// The variables that training updates, in the order of the members, each once. Throws StateError before the first call.
  Variables trainable_variables(Loc where = Loc::here());
  /// The same with those that no gradient updates (moving averages): all that must be saved.
  Variables variables(Loc where = Loc::here());
  /// A table of layers, output shapes and parameter counts.
  std::string summary();
};

}  // namespace kiln::nn

#include <kiln/detail/model.h>
