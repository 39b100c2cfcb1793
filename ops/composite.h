// Composite ops: each one function over other ops, for any V (see ops/build.h). They have no gradient, no kernel and no lowering of their
// own.
//
// KILN_COMPOSITE(name, doc, and what Notes has) stands before each and enters it in the list that the documentation is made from.
// alias(v), found by argument-dependent lookup, is v without a gradient.
#pragma once
#include <cmath>
#include <numbers>

#include "ops/build.h"
#include "ops/op.h"

namespace kiln::ops {

struct CompositeInfo {
  std::string_view name;
  std::string_view doc;
  Notes notes;
};
/// All composites, in the order of this file.
std::span<const CompositeInfo> composites();

/// Height and width of each.
struct Conv2DAttrs {
  std::array<std::int64_t, 2> strides = {1, 1};
  bool same = false;
  std::array<std::int64_t, 2> dilation = {1, 1};
  std::int64_t groups = 1;
};

/// The same for pooling.
struct Pool2DAttrs {
  std::array<std::int64_t, 2> window = {2, 2};
  std::array<std::int64_t, 2> strides = {2, 2};
  bool same = false;
};

namespace detail {
bool register_composite(std::string_view name, std::string_view doc, const Notes& notes);
/// "same" padding of one axis: low and high such that the result has ceil(length / stride) positions, the odd one at the end.
std::pair<std::int64_t, std::int64_t> same_padding(std::string_view op, Dim length, std::int64_t taps, std::int64_t stride,
                                                   std::int64_t dilation);
/// How matmul of these shapes becomes a contraction: operands without their stretched axes of length 1, and the equation.
struct MatmulPlan {
  Shape lhs, rhs;
  std::string equation;
};
MatmulPlan plan_matmul(const Shape& a, const Shape& b);
/// What conv2d checks and computes from shapes.
ContractView plan_conv2d(const Shape& x, const Shape& filters, const Conv2DAttrs& attrs);
WindowAttrs plan_pool2d(std::string_view op, const Shape& x, const Pool2DAttrs& attrs);
/// Axes of `labels` that neither the other operand nor the result has.
Ints lone_axes(std::string_view labels, std::string_view other, std::string_view out);
/// Splits "ab,bc->ac" or "ab,bc" and checks ranks.
std::array<std::string, 3> split_einsum(std::string_view equation, const Shape& a, const Shape& b);
}  // namespace detail

#define KILN_COMPOSITE(NAME, DOC, ...) inline const bool composite_##NAME = detail::register_composite(#NAME, DOC, {__VA_ARGS__})

// ---- Reductions. Axes are normalized (ops::normalize_axes); keepdims leaves them with length 1.

template <class V>
V maybe_keep(const V& reduced, const V& x, const Ints& axes, bool keepdims) {
  return keepdims ? keep_axes(reduced, x.shape(), axes) : reduced;
}

/// The number of elements along `axes`, in x's dtype; exact, also if symbolic.
template <class V>
V count_along(const V& x, const Ints& axes) {
  Dim count = 1;
  Shape symbolic;
  for (std::int64_t axis : axes) {
    if (x.shape()[axis].is_constant()) {
      count = count * x.shape()[axis];
    } else {
      symbolic.push_back(x.shape()[axis]);
    }
  }
  V known(static_cast<double>(static_cast<std::int64_t>(count)));
  if (symbolic.empty()) return known;
  return reduce_sum(full<V>(symbolic, x.dtype(), 1), all_axes(symbolic.rank())) * known;
}

KILN_COMPOSITE(mean, "Sum divided by count along axes.", "floating-point x", "axes; keepdims", "mean(tensor({{1.f, 2.f}, {3.f, 6.f}}), 1)",
               "[1.5 4.5]");
template <class V>
V mean(const V& x, const Ints& axes, bool keepdims = false) {
  return maybe_keep(reduce_sum(x, axes) / count_along(x, axes), x, axes, keepdims);
}

KILN_COMPOSITE(variance, "Mean of squared distances from the mean along axes; divides by the count.", "floating-point x", "axes; keepdims",
               "variance(tensor({1.f, 2.f, 3.f, 4.f}))", "1.25");
template <class V>
V variance(const V& x, const Ints& axes, bool keepdims = false) {
  return mean(square(x - mean(x, axes, true)), axes, keepdims);
}

/// max(x) along axes with length 1 kept and without a gradient, 0 where it is infinite: what exp(x - shift) cannot overflow with.
template <class V>
V exp_shift(const V& x, const Ints& axes) {
  V top = keep_axes(reduce_max(alias(x), axes), x.shape(), axes);
  return where(isfinite(top), top, V(0.0));
}

KILN_COMPOSITE(logsumexp, "log(sum(exp(x))) along axes, without overflow.", "floating-point x", "axes; keepdims",
               "logsumexp(tensor({1000.f, 1000.f}))", "1000.6932");
template <class V>
V logsumexp(const V& x, const Ints& axes, bool keepdims = false) {
  V shift = exp_shift(x, axes);
  V kept = log(keep_axes(reduce_sum(exp(x - shift), axes), x.shape(), axes)) + shift;
  return keepdims ? kept : reshape(kept, reduced_shape(x.shape(), axes));
}

KILN_COMPOSITE(softmax, "exp(x) / sum(exp(x)) along axes, without overflow.", "floating-point x", "axes",
               "softmax(tensor({0.f, 0.f, 1000.f}))", "[0. 0. 1.]");
template <class V>
V softmax(const V& x, const Ints& axes) {
  V e = exp(x - exp_shift(x, axes));
  return e / keep_axes(reduce_sum(e, axes), x.shape(), axes);
}

KILN_COMPOSITE(log_softmax, "Logarithm of softmax along axes, without overflow.", "floating-point x", "axes",
               "log_softmax(tensor({0.f, 1000.f}))", "[-1000.     0.]");
template <class V>
V log_softmax(const V& x, const Ints& axes) {
  V shifted = x - exp_shift(x, axes);
  return shifted - log(keep_axes(reduce_sum(exp(shifted), axes), x.shape(), axes));
}

// ---- Activations.

KILN_COMPOSITE(relu, "max(x, 0); the gradient at 0 is 0.", "numbers x", "", "relu(tensor({-1.f, 0.f, 2.f}))", "[0. 0. 2.]");
template <class V>
V relu(const V& x) {
  return maximum(x, V(0.0));
}

KILN_COMPOSITE(leaky_relu, "x where x > 0, else slope * x.", "floating-point x", "slope: float",
               "leaky_relu(tensor({-1.f, 2.f}), {.slope = 0.5})", "[-0.5  2. ]");
template <class V>
V leaky_relu(const V& x, double slope) {
  return where(x > V(0.0), x, x * V(slope));
}

KILN_COMPOSITE(elu, "x where x > 0, else alpha * (exp(x) - 1).", "floating-point x", "alpha: float", "elu(tensor({-100.f, 2.f}))",
               "[-1.  2.]");
template <class V>
V elu(const V& x, double alpha) {
  V zero = V(0.0);
  return where(x > zero, x, expm1(minimum(x, zero)) * V(alpha));
}

KILN_COMPOSITE(silu, "x * sigmoid(x).", "floating-point x", "", "silu(tensor({0.f, 100.f}))", "[  0. 100.]");
template <class V>
V silu(const V& x) {
  return x * sigmoid(x);
}

KILN_COMPOSITE(softplus, "log(1 + exp(x)), without overflow.", "floating-point x", "", "softplus(tensor({0.f, 100.f}))",
               "[  0.6931472 100.       ]");
template <class V>
V softplus(const V& x) {
  return maximum(x, V(0.0)) + log1p(exp(-abs(x)));
}

KILN_COMPOSITE(gelu, "x * P(X <= x) for a standard normal X; approximate takes the tanh form.", "floating-point x", "approximate: bool",
               "gelu(tensor({-100.f, 0.f, 100.f}))", "[ -0.   0. 100.]");
template <class V>
V gelu(const V& x, bool approximate) {
  if (!approximate) return x * V(0.5) * (V(1.0) + erf(x * V(std::numbers::sqrt2 / 2)));
  V inner = V(std::sqrt(2 / std::numbers::pi)) * (x + V(0.044715) * x * x * x);
  return x * V(0.5) * (V(1.0) + tanh(inner));
}

KILN_COMPOSITE(clamp, "x limited to [low, high]; NaN stays NaN.", "numbers x, low, high of one dtype", "",
               "clamp(tensor({-5, 0, 5}), -1, 2)", "[-1  0  2]");
template <class V>
V clamp(const V& x, const V& low, const V& high) {
  return minimum(maximum(x, low), high);
}

KILN_COMPOSITE(dropout, "x with a fraction rate of its elements set to 0 and the others scaled by 1 / (1 - rate).", "floating-point x",
               "rate: float", "dropout(tensor({1.f, 2.f}), 0)", "[1. 2.]");
template <class V>
V dropout(const V& x, double rate, const V& key, std::int64_t stream) {
  DType dtype = x.dtype();
  V kept = random(key, "uniform", x.shape(), dtype, stream) >= V(rate);
  return where(kept, x * V(rate < 1 ? 1 / (1 - rate) : 0), V(0.0));
}

KILN_COMPOSITE(layer_norm, "(x - mean) / sqrt(variance + epsilon) along axes.", "floating-point x", "axes; epsilon: float", "", "");
template <class V>
V layer_norm(const V& x, const Ints& axes, double epsilon) {
  V centered = x - mean(x, axes, true);
  return centered * rsqrt(mean(square(centered), axes, true) + V(epsilon));
}

// ---- Losses, one number an example.

KILN_COMPOSITE(one_hot, "1 at each index along a new last axis of length depth, else 0.", "integer indices", "depth: int; dtype",
               "one_hot(tensor({0, 2}), 3)", "[[1. 0. 0.]\n [0. 0. 1.]]", false);
template <class V>
V one_hot_mask(const V& indices, std::int64_t depth) {
  Shape shape = indices.shape();
  shape.push_back(1);
  V column = reshape(indices, shape);
  shape[shape.rank() - 1] = depth;
  return equal(broadcast_to(column, shape), iota<V>(shape, shape.rank() - 1, indices.dtype()));
}
template <class V>
V one_hot(const V& indices, std::int64_t depth, DType dtype) {
  return cast(one_hot_mask(indices, depth), dtype);
}

/// The element of each row (last axis) at its label; NaN for a label out of range.
template <class V>
V pick(const V& rows, const V& labels) {
  std::int64_t depth = rows.shape().back();
  int last = rows.shape().rank() - 1;
  V chosen = reduce_sum(where(one_hot_mask(labels, depth), rows, V(0.0)), {last});
  V valid = logical_and(labels >= V(0), labels < V(depth));
  return where(valid, chosen, V(std::numeric_limits<double>::quiet_NaN()));
}

KILN_COMPOSITE(sparse_softmax_cross_entropy, "-log softmax(logits)[label] along the last axis; NaN for a label out of range.",
               "integer labels, floating-point logits", "", "", "");
template <class V>
V sparse_softmax_cross_entropy(const V& labels, const V& logits) {
  Ints last{logits.shape().rank() - 1};
  V shifted = logits - exp_shift(logits, last);
  return log(reduce_sum(exp(shifted), last)) - pick(shifted, labels);
}

KILN_COMPOSITE(softmax_cross_entropy, "-sum(labels * log softmax(logits)) along the last axis.",
               "floating-point labels and logits of one dtype", "", "", "");
template <class V>
V softmax_cross_entropy(const V& labels, const V& logits) {
  Ints last{logits.shape().rank() - 1};
  return -reduce_sum(labels * log_softmax(logits, last), last);
}

KILN_COMPOSITE(sigmoid_cross_entropy, "-(label log sigmoid(x) + (1 - label) log(1 - sigmoid(x))), without overflow.",
               "floating-point labels and logits of one dtype", "", "", "");
template <class V>
V sigmoid_cross_entropy(const V& labels, const V& logits) {
  return relu(logits) - logits * labels + log1p(exp(-abs(logits)));
}

// ---- Contractions and windows.

KILN_COMPOSITE(
    matmul,
    "Matrix product over the last two axes; leading axes are batches and broadcast; rank 1 is a row on the left, a column on the right.",
    "numbers a, b of one dtype", "", "matmul(tensor({1, 2}), tensor({3, 4}))", "11");
template <class V>
V matmul(const V& a, const V& b) {
  detail::MatmulPlan plan = detail::plan_matmul(a.shape(), b.shape());
  return contract(reshape(a, plan.lhs), reshape(b, plan.rhs), plan.equation);
}

KILN_COMPOSITE(einsum, "Products of two operands' elements, summed over the letters that the result lacks.", "numbers a, b of one dtype",
               "equation: str", "einsum(\"ij,ij->i\", tensor({{1, 2}, {3, 4}}), tensor({{1, 1}, {2, 2}}))", "[ 3 14]");
template <class V>
V einsum(std::string_view equation, V a, V b) {
  std::array<std::string, 3> labels = detail::split_einsum(equation, a.shape(), b.shape());
  V* const operands[] = {&a, &b};
  for (std::size_t i = 0; i < 2; ++i) {
    Ints lone = detail::lone_axes(labels[i], labels[1 - i], labels[2]);
    if (lone.empty()) continue;
    *operands[i] = reduce_sum(*operands[i], lone);
    for (std::size_t j = lone.size(); j-- > 0;) labels[i].erase(static_cast<std::size_t>(lone[j]), 1);
  }
  return contract(a, b, labels[0] + "," + labels[1] + "->" + labels[2]);
}

KILN_COMPOSITE(conv2d, "Convolution of images (NHWC) with filters (HWIO; I is the channels of one group).",
               "numbers x, filters of one dtype", "strides, padding, dilation, groups",
               "conv2d(ones({1, 3, 3, 1}), ones({2, 2, 1, 1}))[{0, ellipsis, 0}]", "[[4. 4.]\n [4. 4.]]");
template <class V>
V conv2d(const V& x, const V& filters, const Conv2DAttrs& attrs) {
  ContractView view = detail::plan_conv2d(x.shape(), filters.shape(), attrs);
  if (attrs.groups == 1) return contract(x, filters, view);
  const Shape &xs = x.shape(), &fs = filters.shape();
  std::int64_t outs = static_cast<std::int64_t>(fs[3]) / attrs.groups;
  V grouped = reshape(x, {xs[0], xs[1], xs[2], attrs.groups, fs[2]});
  V y = contract(grouped, reshape(filters, {fs[0], fs[1], fs[2], attrs.groups, outs}), view);
  return reshape(y, {y.shape()[0], y.shape()[1], y.shape()[2], fs[3]});
}

KILN_COMPOSITE(max_pool2d, "Largest element of each window of images (NHWC).", "numbers x", "window, strides, padding",
               "max_pool2d(reshape(arange(4), {1, 2, 2, 1}), 2)", "[[[[3]]]]");
template <class V>
V max_pool2d(const V& x, const Pool2DAttrs& attrs) {
  return window_reduce(x, "max", detail::plan_pool2d("max_pool2d", x.shape(), attrs));
}

KILN_COMPOSITE(avg_pool2d, "Mean of each window of images (NHWC); padding takes no part.", "floating-point x", "window, strides, padding",
               "avg_pool2d(ones({1, 2, 2, 1}), 2)", "[[[[1.]]]]");
template <class V>
V avg_pool2d(const V& x, const Pool2DAttrs& attrs) {
  WindowAttrs w = detail::plan_pool2d("avg_pool2d", x.shape(), attrs);
  V total = window_reduce(x, "add", w);
  if (!attrs.same) return total / V(static_cast<double>(attrs.window[0] * attrs.window[1]));
  return total / window_reduce(full<V>(x.shape(), x.dtype(), 1), "add", w);
}

#undef KILN_COMPOSITE

}  // namespace kiln::ops
