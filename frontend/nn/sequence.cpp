// Layers over sequences: LSTM and attention.
#include <kiln/layers.h>
#include <kiln/math.h>
#include <kiln/mode.h>

#include <cmath>
#include <vector>

#include "base/require.h"
#include "frontend/nn/call_scope.h"

namespace kiln::nn {

namespace {

double glorot_limit(std::int64_t in, std::int64_t out) { return std::sqrt(6.0 / static_cast<double>(in + out)); }

/// A random matrix with orthonormal rows (Saxe et al. 2014), by Gram-Schmidt on normal numbers; columns >= rows.
Tensor orthogonal(std::int64_t rows, std::int64_t columns, random::Key key) {
  Tensor normal = random::normal({rows, columns}, {.dtype = DType::float64, .key = key});
  const auto width = static_cast<std::size_t>(columns);
  std::vector<double> q(normal.span<double>().begin(), normal.span<double>().end());
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    double* x = q.data() + row * width;
    for (std::size_t before = 0; before < row; ++before) {
      const double* other = q.data() + before * width;
      double dot = 0;
      for (std::size_t i = 0; i < width; ++i) dot += x[i] * other[i];
      for (std::size_t i = 0; i < width; ++i) x[i] -= dot * other[i];
    }
    double length = 0;
    for (std::size_t i = 0; i < width; ++i) length += x[i] * x[i];
    for (std::size_t i = 0; i < width; ++i) x[i] /= std::sqrt(length);
  }
  return cast(tensor(q, {rows, columns}), DType::float32);
}

}  // namespace

LSTMBase::LSTMBase(const char* kind, std::int64_t units, LSTMOptions options)
    : Layer(kind, State::weights), units_(units), options_(options) {
  KILN_REQUIRE(units > 0, ValueError, "{}: units must be positive, got {}", kind, units);
}

void LSTMBase::prepare(const Shape& shape) {
  if (!built()) {
    const std::int64_t in = shape.back(), gates = 4 * units_;
    add_weight("kernel", {in, gates}, glorot_limit(in, gates));
    add_weight("recurrent_kernel", [&](random::Key key) { return orthogonal(units_, gates, key); });
    if (options_.use_bias) {
      const double forget = options_.unit_forget_bias ? 1 : 0;
      add_weight("bias", [&](random::Key) { return concat({zeros({units_}), full({units_}, forget), zeros({2 * units_})}); });
    }
    finish_build();
  }
  KILN_REQUIRE(shape.back() == weight(0).shape()[0], ShapeError, "{}: built for {} input features, got an input of shape {}", kind(),
               weight(0).shape()[0].str(), shape.str());
}

Tensor LSTMBase::zero_state(Dim batch, DType dtype) const { return zeros({batch, units_}, dtype); }

Tensor LSTMBase::project(const Tensor& x) const {
  const Tensor y = matmul(x, weight(0));
  return options_.use_bias ? y + weight(2) : y;
}

LSTMState LSTMBase::step(const Tensor& projected, const LSTMState& state) const {
  const std::vector<Tensor> gates = split(projected + matmul(state.hidden, weight(1)), 4, -1);
  const Tensor cell = sigmoid(gates[1]) * state.cell + sigmoid(gates[0]) * tanh(gates[2]);
  return {sigmoid(gates[3]) * tanh(cell), cell};
}

LSTMCell::LSTMCell(std::int64_t units, LSTMOptions options) : LSTMBase("LSTMCell", units, options) {}

LSTMState LSTMCell::operator()(const Arg& x, const LSTMState& state) {
  CallScope scope(*this, x.loc());
  const Shape& shape = x.tensor().shape();
  KILN_REQUIRE(shape.rank() == 2, ShapeError, "LSTMCell: the input must be [batch, features], got shape {}", shape.str());
  prepare(shape);
  LSTMState before = state;
  if (!before.hidden.defined()) before.hidden = zero_state(shape[0], x.tensor().dtype());
  if (!before.cell.defined()) before.cell = zero_state(shape[0], x.tensor().dtype());
  LSTMState after = step(project(x.tensor()), before);
  record(after.hidden);
  return after;
}

LSTM::LSTM(std::int64_t units, LSTMOptions options) : LSTMBase("LSTM", units, options) {}

Tensor LSTM::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  const Shape& shape = x.tensor().shape();
  KILN_REQUIRE(shape.rank() == 3, ShapeError, "LSTM: the input must be [batch, time, features], got shape {}", shape.str());
  KILN_REQUIRE(shape[1].is_constant() && shape[1] != 0, ShapeError,
               "LSTM: the time axis must have a known length of at least 1, got shape {}", shape.str());
  prepare(shape);
  // One product a step: a gradient through slices of one product for all would be a sum of padded tensors, one for each step.
  const Tensor steps = transpose(x, {1, 0, 2});
  const Tensor zero = zero_state(shape[0], x.tensor().dtype());
  LSTMState state{zero, zero};
  std::vector<Tensor> all;
  for (std::int64_t t = 0; t < static_cast<std::int64_t>(shape[1]); ++t) {
    state = step(project(steps[t]), state);
    if (options().return_sequences) all.push_back(state.hidden);
  }
  return record(options().return_sequences ? stack(all, 1) : state.hidden);
}

MultiHeadAttention::MultiHeadAttention(std::int64_t heads, std::int64_t key_dim, MultiHeadAttentionOptions options)
    : Layer("MultiHeadAttention", State::weights), heads_(heads), key_dim_(key_dim), options_(options) {
  if (options_.value_dim == 0) options_.value_dim = key_dim;
  KILN_REQUIRE(heads > 0 && key_dim > 0 && options_.value_dim > 0, ValueError, "MultiHeadAttention: {} heads of {} and {} features", heads,
               key_dim, options_.value_dim);
  KILN_REQUIRE(options_.dropout >= 0 && options_.dropout < 1, ValueError, "MultiHeadAttention: the dropout rate must be in [0, 1), got {}",
               options_.dropout);
}

void MultiHeadAttention::build(const Shape& query, const Shape& key, const Shape& value) {
  const std::int64_t keys = heads_ * key_dim_, values = heads_ * options_.value_dim;
  auto add = [&](const char* kernel, const char* bias, std::int64_t in, std::int64_t out) {
    add_weight(kernel, {in, out}, glorot_limit(in, out));
    if (options_.use_bias) add_weight(bias, {out}, 0);
  };
  add("query/kernel", "query/bias", query.back(), keys);
  add("key/kernel", "key/bias", key.back(), keys);
  add("value/kernel", "value/bias", value.back(), values);
  add("output/kernel", "output/bias", values, query.back());
  finish_build();
}

Tensor MultiHeadAttention::project(const Tensor& x, std::size_t i, std::int64_t features) const {
  const std::size_t at = options_.use_bias ? 2 * i : i;
  const Shape& kernel = weight(at).shape();
  KILN_REQUIRE(x.shape().back() == kernel[0], ShapeError, "MultiHeadAttention: built for {} input features, got an input of shape {}",
               kernel[0].str(), x.shape().str());
  Tensor y = matmul(x, weight(at));
  if (options_.use_bias) y = y + weight(at + 1);
  return transpose(reshape(y, {x.shape()[0], x.shape()[1], heads_, features}), {0, 2, 1, 3});
}

Tensor MultiHeadAttention::operator()(const Arg& query, const Arg& value, const AttentionOptions& options) {
  CallScope scope(*this, query.loc());
  const Tensor& key = options.key.defined() ? options.key : value.tensor();
  for (const Tensor& t : {query.tensor(), key, value.tensor()}) {
    KILN_REQUIRE(t.rank() == 3, ShapeError, "MultiHeadAttention: inputs must be [batch, length, features], got shape {}", t.shape().str());
  }
  if (!built()) build(query.tensor().shape(), key.shape(), value.tensor().shape());
  const Tensor q = project(query.tensor(), 0, key_dim_), k = project(key, 1, key_dim_), v = project(value.tensor(), 2, options_.value_dim);
  Tensor scores = matmul(q, transpose(k, {0, 1, 3, 2})) * (1 / std::sqrt(static_cast<double>(key_dim_)));
  const double never = scores.dtype() == DType::float16 ? -3e4 : -1e9;
  if (options.attention_mask.defined()) scores = where(options.attention_mask, scores, never);
  if (options.use_causal_mask) {
    const Tensor rows = arange(query.tensor().shape()[1]), columns = arange(key.shape()[1]);
    scores = where(expand_dims(rows, 1) >= columns, scores, never);
  }
  Tensor weights = softmax(scores);
  if (options_.dropout > 0 && is_training()) weights = dropout(weights, options_.dropout);
  const Tensor joined = transpose(matmul(weights, v), {0, 2, 1, 3});
  const Shape& shape = query.tensor().shape();
  const std::size_t at = options_.use_bias ? 6 : 3;
  Tensor y = matmul(reshape(joined, {shape[0], shape[1], heads_ * options_.value_dim}), weight(at));
  if (options_.use_bias) y = y + weight(at + 1);
  return record(y);
}

}  // namespace kiln::nn
