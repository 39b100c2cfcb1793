// Losses and metrics, in terms of public ops.
#include <kiln/losses.h>
#include <kiln/math.h>
#include <kiln/ops.h>
#include <kiln/tape.h>

#include <limits>

#include "base/require.h"

namespace kiln::losses {
namespace {

constexpr double kEpsilon = 1e-7;  // Keras clips probabilities to [epsilon, 1 - epsilon]

Tensor log_probabilities(const Tensor& p, bool from_logits) { return from_logits ? log_softmax(p) : log(clamp(p, kEpsilon, 1 - kEpsilon)); }

/// Shapes that broadcast would give a mean over differences that nobody asked for.
void require_one_shape(const char* what, const Tensor& y, const Tensor& p) {
  KILN_REQUIRE(y.rank() == 0 || y.shape() == p.shape(), ShapeError,
               "{}: labels of shape {} and predictions of shape {} differ; reshape one of them", what, y.shape().str(), p.shape().str());
}

}  // namespace

Tensor sparse_categorical_crossentropy(const Arg& y, const Arg& p, CrossentropyOptions options) {
  LocationScope scope(p.loc());
  const Shape& labels = y.tensor().shape();
  const Shape& scores = p.tensor().shape();
  KILN_REQUIRE(
      is_integer(y.tensor().dtype()), DTypeError,
      "sparse_categorical_crossentropy: labels must be integers, got {}; cast them, or use categorical_crossentropy for one-hot labels",
      name(y.tensor().dtype()));
  KILN_REQUIRE(scores.rank() >= 1 && labels.rank() + 1 == scores.rank(), ShapeError,
               "sparse_categorical_crossentropy: labels of shape {} do not fit predictions of shape {}; expected predictions' shape "
               "without its last axis",
               labels.str(), scores.str());
  for (int axis = 0; axis < labels.rank(); ++axis) {
    KILN_REQUIRE(labels[axis] == scores[axis], ShapeError,
                 "sparse_categorical_crossentropy: labels of shape {} and predictions of shape {} differ on axis {}", labels.str(),
                 scores.str(), axis);
  }
  const std::int64_t classes = scores.back();
  Tensor label = cast(y, DType::int32);
  Tensor chosen = expand_dims(label, -1) == arange(0, classes, 1, DType::int32);
  Tensor picked = sum(where(chosen, log_probabilities(p.tensor(), options.from_logits), 0.0), -1);
  Tensor valid = logical_and(label >= 0, label < classes);
  return mean(where(valid, -picked, std::numeric_limits<double>::quiet_NaN()));
}

Tensor categorical_crossentropy(const Arg& y, const Arg& p, CrossentropyOptions options) {
  LocationScope scope(p.loc());
  require_one_shape("categorical_crossentropy", y.tensor(), p.tensor());
  const Tensor q = options.from_logits ? p.tensor() : p.tensor() / sum(p, -1, true);
  return -mean(sum(y.tensor() * log_probabilities(q, options.from_logits), -1));
}

Tensor binary_crossentropy(const Arg& y, const Arg& p, CrossentropyOptions options) {
  LocationScope scope(p.loc());
  const Tensor& labels = y.tensor();
  require_one_shape("binary_crossentropy", labels, p.tensor());
  if (options.from_logits) {
    const Tensor& z = p.tensor();
    return mean(maximum(z, 0) - z * labels + log1p(exp(-abs(z))));
  }
  Tensor q = clamp(p, kEpsilon, 1 - kEpsilon);
  return -mean(labels * log(q) + (1 - labels) * log(1 - q));
}

Tensor mean_squared_error(const Arg& y, const Arg& p) {
  LocationScope scope(p.loc());
  require_one_shape("mean_squared_error", y.tensor(), p.tensor());
  return mean(square(y.tensor() - p.tensor()));
}

Tensor mean_absolute_error(const Arg& y, const Arg& p) {
  LocationScope scope(p.loc());
  require_one_shape("mean_absolute_error", y.tensor(), p.tensor());
  return mean(abs(y.tensor() - p.tensor()));
}

Tensor huber(const Arg& y, const Arg& p, HuberOptions options) {
  LocationScope scope(p.loc());
  require_one_shape("huber", y.tensor(), p.tensor());
  KILN_REQUIRE(options.delta > 0, ValueError, "huber: delta must be positive, got {}", options.delta);
  const Tensor distance = abs(y.tensor() - p.tensor());
  const double delta = options.delta;
  return mean(where(distance <= delta, 0.5 * square(distance), delta * distance - 0.5 * delta * delta));
}

}  // namespace kiln::losses

namespace kiln::metrics {

namespace {

Tensor fraction(const Tensor& hits) { return mean(cast(hits, DType::float32)); }

void require_labels(const char* what, const Shape& labels, const Shape& wanted) {
  KILN_REQUIRE(labels == wanted, ShapeError, "{}: labels of shape {} do not fit; expected {}", what, labels.str(), wanted.str());
}

}  // namespace

Tensor sparse_categorical_accuracy(const Arg& y, const Arg& p) {
  LocationScope scope(p.loc());
  const Shape& scores = p.tensor().shape();
  KILN_REQUIRE(scores.rank() >= 1, ShapeError, "sparse_categorical_accuracy: predictions must have a class axis, got a scalar");
  KILN_REQUIRE(is_integer(y.tensor().dtype()), DTypeError, "sparse_categorical_accuracy: labels must be integers, got {}",
               name(y.tensor().dtype()));
  require_labels("sparse_categorical_accuracy", y.tensor().shape(), Shape(std::span<const Dim>(scores.begin(), scores.end() - 1)));
  return fraction(cast(y, DType::int64) == argmax(p, -1));
}

Tensor categorical_accuracy(const Arg& y, const Arg& p) {
  LocationScope scope(p.loc());
  require_labels("categorical_accuracy", y.tensor().shape(), p.tensor().shape());
  return fraction(argmax(y, -1) == argmax(p, -1));
}

Tensor binary_accuracy(const Arg& y, const Arg& p, BinaryAccuracyOptions options) {
  LocationScope scope(p.loc());
  require_labels("binary_accuracy", y.tensor().shape(), p.tensor().shape());
  return fraction(cast(y, DType::boolean) == (p.tensor() > options.threshold));
}

Tensor accuracy(const Arg& y, const Arg& p) {
  LocationScope scope(p.loc());
  const Shape& scores = p.tensor().shape();
  if (y.tensor().rank() < scores.rank()) return sparse_categorical_accuracy(y, p);
  return scores.rank() > 0 && scores.back() != 1 ? categorical_accuracy(y, p) : binary_accuracy(y, p);
}

Mean::Mean()
    : total_(zeros({}, DType::float64), {.name = "total", .trainable = false}),
      count_(zeros({}, DType::float64), {.name = "count", .trainable = false}) {}

Mean::Mean(const Mean& other) : Identity(other), total_(other.total_), count_(other.count_) {}

void Mean::update(const Arg& values) {
  LocationScope scope(values.loc());
  const Tensor x = stop_gradient(cast(values, DType::float64));
  total_.assign_add(sum(x));
  count_.assign_add(sum(ones_like(x)));
}

Tensor Mean::result() const { return cast(total_ / count_, DType::float32); }

void Mean::reset() {
  total_.assign(0.0);
  count_.assign(0.0);
}

}  // namespace kiln::metrics
