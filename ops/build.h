// Builders of structural ops, one function each, for any V that a gradient or a composite is instantiated with.
//
// V is a handle to a tensor: default-constructed it is undefined; V::apply(std::string_view op, std::span<const V> operands, Attrs) applies
// an op; v.shape(), v.dtype() and v.defined() say what it is. Elementwise ops and operators of V are found by argument-dependent lookup.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/attrs.h"
#include "ops/contract.h"
#include "ops/gradient.h"

namespace kiln::ops {

/// Stands for the end of an axis in slice's `limit` (or `start`, where step is negative) if the axis is symbolic.
inline constexpr std::int64_t kSliceEnd = std::numeric_limits<std::int64_t>::max();

/// 0, 1, ... rank - 1.
Ints all_axes(int rank);
/// The axes of `rank` that are not among `axes`.
Ints other_axes(int rank, const Ints& axes);
/// The shape without `axes`.
Shape reduced_shape(const Shape& shape, const Ints& axes);
/// `axis` counted from the front; ShapeError naming `op` if it is not one of `rank` axes.
int normalize_axis(std::string_view op, std::int64_t axis, int rank);
/// The same for several, sorted; ShapeError for a repeated one.
Ints normalize_axes(std::string_view op, const Ints& axes, int rank);
/// A rank-0 constant of that type, rounded or truncated to it.
Literal scalar_literal(DType dtype, double value);

template <class V>
V build(std::string_view op, std::initializer_list<V> operands, Attrs attrs) {
  return V::apply(op, std::span<const V>(operands.begin(), operands.size()), std::move(attrs));
}

/// kind "add", "mul", "max", "min" ("and", "or" on bool) over `axes`, which the result drops.
template <class V>
V reduce(const V& x, std::string_view kind, Ints axes) {
  return build<V>("reduce", {x}, {{"kind", std::string(kind)}, {"axes", std::move(axes)}});
}
template <class V>
V reduce_sum(const V& x, Ints axes) {
  return reduce(x, "add", std::move(axes));
}
template <class V>
V reduce_max(const V& x, Ints axes) {
  return reduce(x, "max", std::move(axes));
}

/// Index along `axis` of the first extreme (kind "max" or "min"), int64.
template <class V>
V arg_reduce(const V& x, std::string_view kind, std::int64_t axis) {
  return build<V>("arg_reduce", {x}, {{"kind", std::string(kind)}, {"axis", axis}});
}

template <class V>
V contract(const V& a, const V& b, const ContractView& view) {
  return build<V>("contract", {a, b}, view.attrs());
}
/// A contraction without windows: "mk,kn->mn". Contracted labels are summed in the order of the left operand.
template <class V>
V contract(const V& a, const V& b, std::string_view equation) {
  return contract(a, b, ContractView::make(equation));
}

/// One entry an axis in each attribute.
struct WindowAttrs {
  Ints window, strides, padding_low, padding_high;
  Attrs attrs(std::string_view kind) const;
};
WindowAttrs window_attrs(const Attrs& attrs);

template <class V>
V window_reduce(const V& x, std::string_view kind, const WindowAttrs& w) {
  return build<V>("window_reduce", {x}, w.attrs(kind));
}
template <class V>
V window_max_grad(const V& x, const V& dy, const WindowAttrs& w) {
  return build<V>("window_max_grad", {x, dy}, w.attrs("max"));
}

/// x itself if it has that shape.
template <class V>
V reshape(const V& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return build<V>("reshape", {x}, {{"shape", shape}});
}

/// Result axis i is operand axis perm[i].
template <class V>
V transpose(const V& x, Ints perm) {
  if (perm == all_axes(x.shape().rank())) return x;
  return build<V>("transpose", {x}, {{"perm", std::move(perm)}});
}

/// Operand axis i becomes result axis dims[i]; its length is the same or 1.
template <class V>
V broadcast(const V& x, const Shape& shape, Ints dims) {
  if (x.shape() == shape) return x;
  return build<V>("broadcast", {x}, {{"shape", shape}, {"dims", std::move(dims)}});
}
/// NumPy's broadcasting: axes aligned at the end.
template <class V>
V broadcast_to(const V& x, const Shape& shape) {
  Ints dims;
  for (int i = 0; i < x.shape().rank(); ++i) dims.push_back(shape.rank() - x.shape().rank() + i);
  return broadcast(x, shape, std::move(dims));
}
/// Undoes the dropping of `axes` by a reduction of a tensor of that shape: each value is repeated along them.
template <class V>
V expand(const V& reduced, const Shape& shape, const Ints& axes) {
  return broadcast(reduced, shape, other_axes(shape.rank(), axes));
}
/// The same with length 1 along `axes`.
template <class V>
V keep_axes(const V& reduced, Shape shape, const Ints& axes) {
  for (std::int64_t axis : axes) shape[axis] = 1;
  return reshape(reduced, shape);
}

/// Elements start, start + step, ... before limit along each axis. A negative step walks down from start; its limit may be -1.
template <class V>
V slice(const V& x, Ints start, Ints limit, Ints step) {
  return build<V>("slice", {x}, {{"start", std::move(start)}, {"limit", std::move(limit)}, {"step", std::move(step)}});
}
/// A slice of one axis, the others whole.
template <class V>
V slice_axis(const V& x, int axis, std::int64_t start, std::int64_t limit, std::int64_t step = 1) {
  auto rank = x.shape().size(), at = static_cast<std::size_t>(axis);
  Ints starts(rank, 0), limits(rank), steps(rank, 1);
  for (std::size_t i = 0; i < rank; ++i) limits[i] = x.shape()[i].value_or(kSliceEnd);
  starts[at] = start;
  limits[at] = limit;
  steps[at] = step;
  return slice(x, std::move(starts), std::move(limits), std::move(steps));
}
/// x backwards along `axes`.
template <class V>
V reverse(V x, const Ints& axes) {
  for (std::int64_t axis : axes) {
    x = slice_axis(x, static_cast<int>(axis), x.shape()[axis].is_constant() ? x.shape()[axis] - 1 : Dim(kSliceEnd), -1, -1);
  }
  return x;
}

template <class V>
V concat(std::span<const V> parts, std::int64_t axis) {
  return V::apply("concat", parts, {{"axis", axis}});
}

/// low and high may be negative (crop); interior copies of value go between neighbours.
template <class V>
V pad(const V& x, const V& value, Ints low, Ints high, Ints interior) {
  return build<V>("pad", {x, value}, {{"low", std::move(low)}, {"high", std::move(high)}, {"interior", std::move(interior)}});
}

/// x[:axis] + indices + x[axis + 1:].
template <class V>
V gather(const V& x, const V& indices, std::int64_t axis) {
  return build<V>("gather", {x, indices}, {{"axis", axis}});
}
/// x plus updates added at indices along axis.
template <class V>
V scatter_add(const V& x, const V& indices, const V& updates, std::int64_t axis) {
  return build<V>("scatter_add", {x, indices, updates}, {{"axis", axis}});
}

template <class V>
V iota(const Shape& shape, std::int64_t axis, DType dtype) {
  return build<V>("iota", {}, {{"shape", shape}, {"axis", axis}, {"dtype", dtype}});
}

/// x itself if it has that type.
template <class V>
V cast(const V& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return build<V>("cast", {x}, {{"dtype", dtype}});
}

template <class V>
V constant(Literal value) {
  return build<V>("constant", {}, {{"value", std::move(value)}});
}
template <class V>
V scalar(DType dtype, double value) {
  return constant<V>(scalar_literal(dtype, value));
}
/// `shape` full of one number.
template <class V>
V full(const Shape& shape, DType dtype, double value) {
  return broadcast(scalar<V>(dtype, value), shape, {});
}

/// kind "uniform", "normal" or "bits"; key is int64[2]: seed and base stream.
template <class V>
V random(const V& key, std::string_view kind, const Shape& shape, DType dtype, std::int64_t stream) {
  return build<V>("random", {key}, {{"kind", std::string(kind)}, {"shape", shape}, {"dtype", dtype}, {"stream", stream}});
}

}  // namespace kiln::ops
