// Ops on tensors beyond the elementwise ones (kiln/math.h). Every function throws ShapeError, DTypeError or ValueError at the caller's
// line.
#pragma once
#include <kiln/tensor.h>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace kiln {

/// Which axes to reduce: none given means all; negative ones count from the end.
class Axes {
 public:
  Axes() = default;
  template <std::integral I>
  Axes(I axis) : Axes({detail::Int(axis)}) {}
  Axes(std::initializer_list<detail::Int> axes);
  Axes(const std::vector<std::int64_t>& axes);

  bool all() const { return all_; }
  std::span<const std::int64_t> list() const { return {axes_, static_cast<std::size_t>(count_)}; }

 private:
  std::int64_t axes_[kMaxRank] = {};
  int count_ = 0;
  bool all_ = true;
};

// ---- Reductions. keepdims leaves the reduced axes with length 1.

Tensor sum(const Arg& x, const Axes& axes = {}, bool keepdims = false);
Tensor prod(const Arg& x, const Axes& axes = {}, bool keepdims = false);
Tensor max(const Arg& x, const Axes& axes = {}, bool keepdims = false);
Tensor min(const Arg& x, const Axes& axes = {}, bool keepdims = false);
Tensor mean(const Arg& x, const Axes& axes = {}, bool keepdims = false);
/// Mean of squared distances from the mean; divides by the count, as NumPy and TensorFlow do.
Tensor variance(const Arg& x, const Axes& axes = {}, bool keepdims = false);
/// Square root of the variance.
Tensor stddev(const Arg& x, const Axes& axes = {}, bool keepdims = false);
/// log(sum(exp(x))) without overflow.
Tensor logsumexp(const Arg& x, const Axes& axes = {}, bool keepdims = false);
/// True if every / any element is true. x must be bool.
Tensor all(const Arg& x, const Axes& axes = {}, bool keepdims = false);
Tensor any(const Arg& x, const Axes& axes = {}, bool keepdims = false);
/// Index (int64) of the largest / smallest element along an axis: the first one; NaN counts as the extreme, as in NumPy.
Tensor argmax(const Arg& x, std::int64_t axis, bool keepdims = false);
Tensor argmin(const Arg& x, std::int64_t axis, bool keepdims = false);

/// The larger / smaller of two, element by element (maximum, minimum); exact, so that `using namespace std` does no harm.
template <std::same_as<Tensor> T>
Tensor max(const T& a, const T& b);
template <std::same_as<Tensor> T>
Tensor min(const T& a, const T& b);

// ---- Contractions.

/// Matrix product over the last two axes; leading axes are batches and broadcast. Rank 1 is a row on the left, a column on the right.
Tensor matmul(const Arg& a, const Arg& b);
/// einsum("bij,bjk->bik", a, b): letters of two operands; those absent from the result are summed over. Without "->" the result has the
/// letters that occur once, in alphabetical order.
Tensor einsum(std::string_view equation, const Arg& a, const Arg& b);

namespace nn {

/// Valid: no padding. Same: padding such that the output has ceil(input / stride) positions, the odd one at the end.
enum Padding : std::uint8_t { Valid, Same };

/// Height and width; one number means both.
struct Size2 {
  std::int64_t height, width;
  template <std::integral I>
  constexpr Size2(I both) : height(static_cast<std::int64_t>(both)), width(height) {}
  constexpr Size2(detail::Int h, detail::Int w) : height(h.value), width(w.value) {}
};

}  // namespace nn

struct ConvOptions {
  nn::Size2 strides = 1;
  nn::Padding padding = nn::Valid;
  nn::Size2 dilation = 1;
  std::int64_t groups = 1;
};
/// Convolution of x [n, height, width, in] with filters [height, width, in / groups, out] -> [n, height', width', out].
Tensor conv2d(const Arg& x, const Arg& filters, ConvOptions options = {});

struct PoolOptions {
  std::optional<nn::Size2> strides = {};  ///< the window's size if absent
  nn::Padding padding = nn::Valid;
};
/// Largest / mean element of each window of x [n, height, width, channels]. Padding takes no part in either.
Tensor max_pool2d(const Arg& x, nn::Size2 size, PoolOptions options = {});
Tensor avg_pool2d(const Arg& x, nn::Size2 size, PoolOptions options = {});

// ---- Activations and the like. Each is one function, so that `.activation = relu` works.

/// max(x, 0).
Tensor relu(const Arg& x);
struct LeakyReluOptions {
  double slope = 0.2;
};
/// x where x > 0, else slope * x.
Tensor leaky_relu(const Arg& x, LeakyReluOptions options = {});
struct EluOptions {
  double alpha = 1;
};
/// x where x > 0, else alpha * (exp(x) - 1).
Tensor elu(const Arg& x, EluOptions options = {});
/// x * sigmoid(x).
Tensor silu(const Arg& x);
/// log(1 + exp(x)).
Tensor softplus(const Arg& x);
struct GeluOptions {
  bool approximate = false;  ///< the tanh form
};
/// x * P(X <= x) for a standard normal X.
Tensor gelu(const Arg& x, GeluOptions options = {});
struct SoftmaxOptions {
  std::int64_t axis = -1;
};
/// exp(x) / sum(exp(x)) along an axis, and its logarithm, without overflow.
Tensor softmax(const Arg& x, SoftmaxOptions options = {});
Tensor log_softmax(const Arg& x, SoftmaxOptions options = {});
struct OneHotOptions {
  DType dtype = DType::float32;
};
/// 1 at each index, else 0: shape of `indices` with a last axis of length `depth`.
Tensor one_hot(const Arg& indices, std::int64_t depth, OneHotOptions options = {});
/// x with a fraction `rate` of its elements set to 0 and the others scaled by 1 / (1 - rate).
Tensor dropout(const Arg& x, double rate);
/// x limited to [low, high].
Tensor clamp(const Arg& x, const Arg& low, const Arg& high);

// ---- Shape and element selection.

Tensor cast(const Arg& x, DType dtype);
/// The same elements in another shape; one length may be -1.
Tensor reshape(const Arg& x, const Shape& shape);
/// Axes reversed, or in the given order.
Tensor transpose(const Arg& x, const Axes& permutation = {});
Tensor broadcast_to(const Arg& x, const Shape& shape);
/// A new axis of length 1 before `axis` (-1: at the end).
Tensor expand_dims(const Arg& x, std::int64_t axis);
/// Without the given axes of length 1, or all of them.
Tensor squeeze(const Arg& x, const Axes& axes = {});
Tensor concat(const std::vector<Tensor>& parts, std::int64_t axis = 0, Loc where = Loc::here());
/// The parts along a new axis.
Tensor stack(const std::vector<Tensor>& parts, std::int64_t axis = 0, Loc where = Loc::here());
/// `count` equal parts, or parts of the given lengths.
std::vector<Tensor> split(const Arg& x, std::int64_t count, std::int64_t axis = 0);
std::vector<Tensor> split(const Arg& x, const std::vector<std::int64_t>& lengths, std::int64_t axis = 0);
struct PadAmount {
  std::int64_t low = 0, high = 0;
};
/// x with `amounts` elements of `value` before and after each axis; negative amounts cut.
Tensor pad(const Arg& x, const std::vector<PadAmount>& amounts, const Arg& value = 0);
/// Slices of x along an axis at the given integer indices. RuntimeError for an index out of range.
Tensor gather(const Arg& x, const Arg& indices, std::int64_t axis = 0);
/// x with `updates` added at `indices` of an axis.
Tensor scatter_add(const Arg& x, const Arg& indices, const Arg& updates, std::int64_t axis = 0);
/// x repeated count times along each axis.
Tensor tile(const Arg& x, const std::vector<std::int64_t>& counts);
/// Elements in the opposite order along the given axes (all if none).
Tensor reverse(const Arg& x, const Axes& axes = {});

// ---- Random numbers: Philox4x32-10, the same on every machine.

namespace random {

/// Names a stream of random numbers: equal keys give equal numbers.
struct Key {
  std::int64_t seed = 0;
  std::int64_t stream = 0;
};
struct UniformOptions {
  double low = 0, high = 1;
  DType dtype = DType::float32;
  std::optional<Key> key = {};  ///< the process's own sequence if absent
};
struct NormalOptions {
  double mean = 0, stddev = 1;
  DType dtype = DType::float32;
  std::optional<Key> key = {};
};
/// Numbers in [low, high).
Tensor uniform(const Shape& shape, UniformOptions options = {}, Loc where = Loc::here());
/// Normally distributed numbers.
Tensor normal(const Shape& shape, NormalOptions options = {}, Loc where = Loc::here());
/// Restarts the process's sequence; compiled functions follow it too.
void set_seed(std::uint64_t seed);
/// The seed in force.
std::uint64_t seed();

}  // namespace random

namespace detail {

Tensor maximum_of(const Tensor& a, const Tensor& b);
Tensor minimum_of(const Tensor& a, const Tensor& b);

}  // namespace detail

template <std::same_as<Tensor> T>
Tensor max(const T& a, const T& b) {
  return detail::maximum_of(a, b);
}
template <std::same_as<Tensor> T>
Tensor min(const T& a, const T& b) {
  return detail::minimum_of(a, b);
}

}  // namespace kiln
