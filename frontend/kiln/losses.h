// Losses and metrics, in terms of public ops.
#pragma once
#include <kiln/tensor.h>
#include <kiln/variable.h>

// Every loss is a mean over all examples. y are the true values, p the predictions; their shapes must be equal (ShapeError: [32] against
// [32, 1] would broadcast to 1024 differences), unless y is a number.
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
/// Mean of (y - p)^2 and of |y - p|.
Tensor mean_squared_error(const Arg& y, const Arg& p);
Tensor mean_absolute_error(const Arg& y, const Arg& p);

struct HuberOptions {
  double delta = 1;
};
/// Mean of d^2 / 2 where |d| <= delta, else delta * |d| - delta^2 / 2, for d = y - p.
Tensor huber(const Arg& y, const Arg& p, HuberOptions options = {});

}  // namespace kiln::losses

namespace kiln::metrics {

/// Fraction of examples whose largest score p[...] is at the label: integer labels of shape p.shape[:-1].
Tensor sparse_categorical_accuracy(const Arg& y, const Arg& p);
/// The same for one-hot labels, of p's shape.
Tensor categorical_accuracy(const Arg& y, const Arg& p);

struct BinaryAccuracyOptions {
  double threshold = 0.5;
};
/// Fraction of elements where p > threshold agrees with y, of p's shape.
Tensor binary_accuracy(const Arg& y, const Arg& p, BinaryAccuracyOptions options = {});
/// One of the three, as the labels ask for: integer labels of p's rank less one, else p's last axis of length 1 (binary) or not.
Tensor accuracy(const Arg& y, const Arg& p);

/// The mean of all values that update() was given since the last reset(), as a Variable that compiled functions update too.
class Mean : public detail::Identity {
 public:
  Mean();
  explicit Mean(const Mean& other);
  Mean(Mean&&) = default;
  Mean& operator=(Mean&&) = default;

  /// Counts every element of `values`.
  void update(const Arg& values);
  /// NaN before the first update.
  Tensor result() const;
  void reset();

 private:
  Variable total_, count_;
};

}  // namespace kiln::metrics
