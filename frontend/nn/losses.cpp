// Losses, in terms of public ops.
#include <kiln/nn.h>

#include <limits>

#include "base/require.h"

namespace kiln::losses {
namespace {

constexpr double kEpsilon = 1e-7;  // Keras clips probabilities to [epsilon, 1 - epsilon]

Tensor log_probabilities(const Tensor& p, bool from_logits) { return from_logits ? log_softmax(p) : log(clamp(p, kEpsilon, 1 - kEpsilon)); }

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
  return -mean(sum(y.tensor() * log_probabilities(p.tensor(), options.from_logits), -1));
}

Tensor binary_crossentropy(const Arg& y, const Arg& p, CrossentropyOptions options) {
  LocationScope scope(p.loc());
  const Tensor& labels = y.tensor();
  if (options.from_logits) {
    const Tensor& z = p.tensor();
    return mean(maximum(z, 0) - z * labels + log1p(exp(-abs(z))));
  }
  Tensor q = clamp(p, kEpsilon, 1 - kEpsilon);
  return -mean(labels * log(q) + (1 - labels) * log(1 - q));
}

Tensor mean_squared_error(const Arg& y, const Arg& p) {
  LocationScope scope(p.loc());
  return mean(square(y.tensor() - p.tensor()));
}

}  // namespace kiln::losses
