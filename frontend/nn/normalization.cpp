// Normalizing, pooling and embedding layers.
#include <kiln/layers.h>
#include <kiln/math.h>
#include <kiln/mode.h>
#include <kiln/tape.h>

#include "base/require.h"
#include "frontend/nn/call_scope.h"

namespace kiln::nn {

AveragePool2D::AveragePool2D(Size2 size, AveragePool2DOptions options)
    : Layer("AveragePool2D", State::none), size_(size), options_(options) {}

Tensor AveragePool2D::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  return record(avg_pool2d(x, size_, {.strides = options_.strides, .padding = options_.padding}));
}

GlobalAveragePool2D::GlobalAveragePool2D() : Layer("GlobalAveragePool2D", State::none) {}

Tensor GlobalAveragePool2D::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  KILN_REQUIRE(x.tensor().rank() == 4, ShapeError, "GlobalAveragePool2D: the input must be [batch, height, width, channels], got shape {}",
               x.tensor().shape().str());
  return record(mean(x, {1, 2}));
}

namespace {

/// All axes but the last.
Axes leading_axes(int rank) {
  std::vector<std::int64_t> axes;
  for (int axis = 0; axis + 1 < rank; ++axis) axes.push_back(axis);
  return Axes(axes);
}

void require_features(const char* layer, const Shape& shape, const Variable& weight) {
  KILN_REQUIRE(shape.back() == weight.shape()[0], ShapeError, "{}: built for {} features, got an input of shape {}", layer,
               weight.shape()[0].str(), shape.str());
}

}  // namespace

BatchNormalization::BatchNormalization(BatchNormalizationOptions options)
    : Layer("BatchNormalization", State::weights), options_(options) {}

void BatchNormalization::build(const Shape& shape) {
  const Shape channels{shape.back()};
  if (options_.scale) add_weight("gamma", [&](random::Key) { return ones(channels); });
  if (options_.center) add_weight("beta", [&](random::Key) { return zeros(channels); });
  add_weight("moving_mean", [&](random::Key) { return zeros(channels); }, false);
  add_weight("moving_variance", [&](random::Key) { return ones(channels); }, false);
  finish_build();
}

Tensor BatchNormalization::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  const Shape& shape = x.tensor().shape();
  KILN_REQUIRE(shape.rank() >= 2, ShapeError, "BatchNormalization: the input must have a batch axis and a channel axis, got shape {}",
               shape.str());
  if (!built()) build(shape);
  std::size_t next = 0;
  const Variable* gamma = options_.scale ? &weight(next++) : nullptr;
  const Variable* beta = options_.center ? &weight(next++) : nullptr;
  Variable &moving_mean = state(next), &moving_variance = state(next + 1);
  require_features("BatchNormalization", shape, moving_mean);
  Tensor centre = moving_mean, spread = moving_variance;
  if (is_training()) {
    const Axes axes = leading_axes(shape.rank());
    const Tensor old_mean = moving_mean, old_variance = moving_variance;
    centre = mean(x, axes);
    spread = mean(square(x.tensor() - centre), axes);
    moving_mean.assign(old_mean * options_.momentum + stop_gradient(centre) * (1 - options_.momentum));
    moving_variance.assign(old_variance * options_.momentum + stop_gradient(spread) * (1 - options_.momentum));
  }
  Tensor factor = rsqrt(spread + options_.epsilon);
  if (gamma != nullptr) factor = factor * *gamma;
  Tensor y = (x.tensor() - centre) * factor;
  return record(beta == nullptr ? y : y + *beta);
}

LayerNormalization::LayerNormalization(LayerNormalizationOptions options)
    : Layer("LayerNormalization", options.scale || options.center ? State::weights : State::none), options_(options) {}

Tensor LayerNormalization::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  const Shape& shape = x.tensor().shape();
  KILN_REQUIRE(shape.rank() >= 1, ShapeError, "LayerNormalization: the input must have a feature axis, got a scalar");
  if (!built()) {
    if (options_.scale) add_weight("gamma", [&](random::Key) { return ones({shape.back()}); });
    if (options_.center) add_weight("beta", [&](random::Key) { return zeros({shape.back()}); });
    finish_build();
  }
  Tensor centred = x.tensor() - mean(x, -1, true);
  Tensor y = centred * rsqrt(mean(square(centred), -1, true) + options_.epsilon);
  std::size_t next = 0;
  if (options_.scale || options_.center) require_features("LayerNormalization", shape, weight(0));
  if (options_.scale) y = y * weight(next++);
  if (options_.center) y = y + weight(next);
  return record(y);
}

Embedding::Embedding(std::int64_t rows, std::int64_t features) : Layer("Embedding", State::weights), rows_(rows), features_(features) {
  KILN_REQUIRE(rows > 0 && features > 0, ValueError, "Embedding: a table of {} x {}; both must be positive", rows, features);
}

Tensor Embedding::operator()(const Arg& indices) {
  CallScope scope(*this, indices.loc());
  KILN_REQUIRE(is_integer(indices.tensor().dtype()), DTypeError, "Embedding: indices must be integers, got {}",
               name(indices.tensor().dtype()));
  if (!built()) {
    add_weight("embeddings", {rows_, features_}, 0.05);
    finish_build();
  }
  return record(gather(weight(0), indices));
}

}  // namespace kiln::nn
