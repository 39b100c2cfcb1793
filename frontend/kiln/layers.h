// Layers: values with weights of their own, made at the first call. Keras's names, options and defaults.
#pragma once
#include <kiln/ops.h>
#include <kiln/tensor.h>
#include <kiln/variable.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace kiln::nn {

/// A function of one tensor: an op such as relu, an op with options such as softmax, or any callable Tensor(Tensor). As an option it is
/// applied to a layer's output; as a member of a model, `nn::Activation act{relu};`, it is a layer without weights.
class Activation : public kiln::detail::Identity {
 public:
  Activation() = default;
  Activation(Tensor (*f)(const Arg&)) : f_([f](const Tensor& x) { return f(x); }) {}
  template <class Options>
  Activation(Tensor (*f)(const Arg&, Options)) : f_([f](const Tensor& x) { return f(x, Options{}); }) {}
  template <class F>
    requires(!std::same_as<F, Activation> && std::is_invocable_r_v<Tensor, F&, const Tensor&>)
  Activation(F f) : f_(std::move(f)) {}

  /// f(x); x itself if there is no f.
  Tensor operator()(const Arg& x) const;

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
  const std::vector<Variable>& weights(Loc where = Loc::here()) const;
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
  /// Makes the next weight from what `initial` returns for the random key of the weight's path.
  void add_weight(const char* name, const std::function<Tensor(random::Key)>& initial, bool trainable = true);
  void finish_build();
  const Variable& weight(std::size_t i) const { return weights_[i]; }
  /// The same, to assign: a moving average, say.
  Variable& state(std::size_t i) { return weights_[i]; }
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

struct AveragePool2DOptions {
  std::optional<Size2> strides = {};  ///< the pool size if absent
  Padding padding = Valid;
};

/// Mean of each window of an NHWC image; padding takes no part.
class AveragePool2D : public Layer {
 public:
  explicit AveragePool2D(Size2 size = 2, AveragePool2DOptions options = {});
  Tensor operator()(const Arg& x);

 private:
  Size2 size_;
  AveragePool2DOptions options_;
};

/// Mean over height and width: [n, height, width, channels] -> [n, channels].
class GlobalAveragePool2D : public Layer {
 public:
  GlobalAveragePool2D();
  Tensor operator()(const Arg& x);
};

struct BatchNormalizationOptions {
  double momentum = 0.99;  ///< of the moving averages
  double epsilon = 1e-3;
  bool center = true;  ///< add beta
  bool scale = true;   ///< multiply by gamma
};

/// gamma * (x - mean) / sqrt(variance + epsilon) + beta for each channel (the last axis). While training, the statistics are those of the
/// batch, and moving averages of them are kept; else the moving averages are used (Ioffe & Szegedy 2015).
/// Weights: gamma, beta, moving_mean, moving_variance; the last two are not trainable.
class BatchNormalization : public Layer {
 public:
  explicit BatchNormalization(BatchNormalizationOptions options = {});
  Tensor operator()(const Arg& x);

 private:
  void build(const Shape& shape);
  BatchNormalizationOptions options_;
};

struct LayerNormalizationOptions {
  double epsilon = 1e-3;
  bool center = true;  ///< add beta
  bool scale = true;   ///< multiply by gamma
};

/// gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the statistics of each row of the last axis (Ba et al. 2016).
class LayerNormalization : public Layer {
 public:
  explicit LayerNormalization(LayerNormalizationOptions options = {});
  Tensor operator()(const Arg& x);

 private:
  LayerNormalizationOptions options_;
};

/// Row i of a table of `rows` x `features` for each index i: indices of any shape -> the same shape with a last axis of `features`.
/// The table is uniform in [-0.05, 0.05) at first. Throws RuntimeError for an index out of range.
class Embedding : public Layer {
 public:
  explicit Embedding(std::int64_t rows, std::int64_t features);
  Tensor operator()(const Arg& indices);

 private:
  std::int64_t rows_, features_;
};

/// What an LSTM carries from step to step, each [batch, units].
struct LSTMState {
  Tensor hidden, cell;
};

struct LSTMOptions {
  bool use_bias = true;
  bool unit_forget_bias = true;   ///< the forget gate's bias starts at 1 (Jozefowicz et al. 2015)
  bool return_sequences = false;  ///< LSTM only: all hidden states [batch, time, units] instead of the last one
};

/// What LSTMCell and LSTM share: the weights kernel, recurrent_kernel (orthogonal at first) and bias, and one step.
class LSTMBase : public Layer {
 protected:
  LSTMBase(const char* kind, std::int64_t units, LSTMOptions options);
  /// Makes the weights at the first call, else checks the features.
  void prepare(const Shape& shape);
  Tensor zero_state(Dim batch, DType dtype) const;
  /// The new state; `projected` is the kernel's part of the gates, [batch, 4 * units].
  LSTMState step(const Tensor& projected, const LSTMState& state) const;
  /// x @ kernel + bias.
  Tensor project(const Tensor& x) const;
  const LSTMOptions& options() const { return options_; }

 private:
  std::int64_t units_;
  LSTMOptions options_;
};

/// One step of an LSTM (Hochreiter & Schmidhuber 1997; gates in Keras's order i, f, g, o):
/// c' = sigmoid(f) * c + sigmoid(i) * tanh(g), h' = sigmoid(o) * tanh(c').
class LSTMCell : public LSTMBase {
 public:
  explicit LSTMCell(std::int64_t units, LSTMOptions options = {});
  /// x [batch, features]; an undefined state is zero.
  LSTMState operator()(const Arg& x, const LSTMState& state = {});
};

/// An LSTMCell along the second axis of x [batch, time, features] -> the last hidden state [batch, units], or all of them.
/// Traced, the steps are unrolled.
class LSTM : public LSTMBase {
 public:
  explicit LSTM(std::int64_t units, LSTMOptions options = {});
  Tensor operator()(const Arg& x);
};

struct MultiHeadAttentionOptions {
  std::int64_t value_dim = 0;  ///< features of a head's values; key_dim if 0
  double dropout = 0;          ///< of the attention weights, while training
  bool use_bias = true;
};

struct AttentionOptions {
  Tensor key = {};               ///< the values if undefined
  Tensor attention_mask = {};    ///< bool, broadcast to [batch, heads, queries, keys]: false is not attended to
  bool use_causal_mask = false;  ///< query i attends to keys 0 ... i only
};

/// softmax(q k^T / sqrt(key_dim)) v for each head, and a projection back to the query's features (Vaswani et al. 2017).
/// query [batch, queries, features], value [batch, keys, features'] -> [batch, queries, features].
class MultiHeadAttention : public Layer {
 public:
  explicit MultiHeadAttention(std::int64_t heads, std::int64_t key_dim, MultiHeadAttentionOptions options = {});
  Tensor operator()(const Arg& query, const Arg& value, const AttentionOptions& options = {});

 private:
  void build(const Shape& query, const Shape& key, const Shape& value);
  /// x times weight i (plus its bias), split into heads: [batch, heads, length, features].
  Tensor project(const Tensor& x, std::size_t i, std::int64_t features) const;
  std::int64_t heads_, key_dim_;
  MultiHeadAttentionOptions options_;
};

}  // namespace kiln::nn
