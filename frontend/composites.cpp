// Activations, statistics and other composites on tensors.
#include <kiln/mode.h>
#include <kiln/ops.h>

#include "frontend/access.h"
#include "frontend/axes.h"
#include "frontend/composite.h"
#include "graph/random.h"

namespace kiln {

using detail::Access;
using graph::Value;

namespace {

/// A floating-point operand of `op`.
Value floating(std::string_view op, const Arg& x) {
  Value v = graph::strong(Access::value(x));
  KILN_REQUIRE(is_floating(v.dtype()), DTypeError, "{}: the tensor must be floating-point, got {}; convert it with cast()", op,
               v.type().str());
  return v;
}

Ints one_axis(std::string_view op, const Value& v, std::int64_t axis) { return {ops::normalize_axis(op, axis, v.shape().rank())}; }

}  // namespace

Tensor mean(const Arg& x, const Axes& axes, bool keepdims) {
  LocationScope scope(x.loc());
  Value v = floating("mean", x);
  return Access::tensor(ops::mean(v, detail::resolve_axes("mean", axes, v.shape().rank()), keepdims));
}

Tensor variance(const Arg& x, const Axes& axes, bool keepdims) {
  LocationScope scope(x.loc());
  Value v = floating("variance", x);
  return Access::tensor(ops::variance(v, detail::resolve_axes("variance", axes, v.shape().rank()), keepdims));
}

Tensor stddev(const Arg& x, const Axes& axes, bool keepdims) {
  LocationScope scope(x.loc());
  Value v = floating("stddev", x);
  return Access::tensor(sqrt(ops::variance(v, detail::resolve_axes("stddev", axes, v.shape().rank()), keepdims)));
}

Tensor logsumexp(const Arg& x, const Axes& axes, bool keepdims) {
  LocationScope scope(x.loc());
  Value v = floating("logsumexp", x);
  return Access::tensor(ops::logsumexp(v, detail::resolve_axes("logsumexp", axes, v.shape().rank()), keepdims));
}

Tensor relu(const Arg& x) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::relu(Access::value(x)));
}

Tensor leaky_relu(const Arg& x, LeakyReluOptions options) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::leaky_relu(floating("leaky_relu", x), options.slope));
}

Tensor elu(const Arg& x, EluOptions options) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::elu(floating("elu", x), options.alpha));
}

Tensor silu(const Arg& x) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::silu(floating("silu", x)));
}

Tensor softplus(const Arg& x) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::softplus(floating("softplus", x)));
}

Tensor gelu(const Arg& x, GeluOptions options) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::gelu(floating("gelu", x), options.approximate));
}

Tensor softmax(const Arg& x, SoftmaxOptions options) {
  LocationScope scope(x.loc());
  Value v = floating("softmax", x);
  return Access::tensor(ops::softmax(v, one_axis("softmax", v, options.axis)));
}

Tensor log_softmax(const Arg& x, SoftmaxOptions options) {
  LocationScope scope(x.loc());
  Value v = floating("log_softmax", x);
  return Access::tensor(ops::log_softmax(v, one_axis("log_softmax", v, options.axis)));
}

Tensor one_hot(const Arg& indices, std::int64_t depth, OneHotOptions options) {
  LocationScope scope(indices.loc());
  Value v = graph::strong(Access::value(indices));
  KILN_REQUIRE(is_integer(v.dtype()), DTypeError, "one_hot: indices must be integers, got {}", v.type().str());
  KILN_REQUIRE(depth >= 0, ValueError, "one_hot: depth is {}", depth);
  return Access::tensor(ops::one_hot(v, depth, options.dtype));
}

Tensor dropout(const Arg& x, double rate) {
  LocationScope scope(x.loc());
  KILN_REQUIRE(rate >= 0 && rate <= 1, ValueError, "dropout: rate is {}, must be between 0 and 1", rate);
  Value v = floating("dropout", x);
  if (rate == 0) return Access::tensor(v);
  auto [key, stream] = graph::random_stream();
  return Access::tensor(ops::dropout(v, rate, key, stream));
}

Tensor clamp(const Arg& x, const Arg& low, const Arg& high) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::clamp(Access::value(x), Access::value(low), Access::value(high)));
}

}  // namespace kiln
