// Reductions over axes.
#include <kiln/ops.h>

#include "frontend/access.h"
#include "frontend/axes.h"
#include "ops/build.h"

namespace kiln {

using detail::Access;
using graph::Value;

Axes::Axes(std::initializer_list<detail::Int> axes) : all_(false) {
  KILN_REQUIRE(axes.size() <= kMaxRank, ShapeError, "{} axes given; a tensor has at most {}", axes.size(), kMaxRank);
  for (detail::Int axis : axes) axes_[count_++] = axis.value;
}

Axes::Axes(const std::vector<std::int64_t>& axes) : all_(false) {
  KILN_REQUIRE(axes.size() <= kMaxRank, ShapeError, "{} axes given; a tensor has at most {}", axes.size(), kMaxRank);
  for (std::int64_t axis : axes) axes_[count_++] = axis;
}

namespace detail {

Ints resolve_axes(std::string_view op, const Axes& axes, int rank) {
  if (axes.all()) return ops::all_axes(rank);
  return ops::normalize_axes(op, Ints(axes.list().begin(), axes.list().end()), rank);
}

Value keep_or_drop(const Value& reduced, const Shape& shape, const Ints& axes, bool keepdims) {
  return keepdims ? ops::keep_axes(reduced, shape, axes) : reduced;
}

}  // namespace detail

namespace {

Tensor reduce(std::string_view op, std::string_view kind, const Arg& x, const Axes& axes, bool keepdims) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  Ints resolved = detail::resolve_axes(op, axes, v.shape().rank());
  if (resolved.empty()) return Access::tensor(v);
  return Access::tensor(detail::keep_or_drop(ops::reduce(v, kind, resolved), v.shape(), resolved, keepdims));
}

Tensor arg_reduce(std::string_view op, std::string_view kind, const Arg& x, std::int64_t axis, bool keepdims) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  Ints resolved = ops::normalize_axes(op, {axis}, v.shape().rank());
  return Access::tensor(detail::keep_or_drop(ops::arg_reduce(v, kind, resolved.front()), v.shape(), resolved, keepdims));
}

Tensor reduce_bool(std::string_view op, std::string_view kind, const Arg& x, const Axes& axes, bool keepdims) {
  LocationScope scope(x.loc());
  DType dtype = Access::value(x).dtype();
  KILN_REQUIRE(dtype == DType::boolean, DTypeError, "{}: the tensor must be bool, got {}; compare it with something first", op,
               name(dtype));
  return reduce(op, kind, x, axes, keepdims);
}

}  // namespace

Tensor sum(const Arg& x, const Axes& axes, bool keepdims) { return reduce("sum", "add", x, axes, keepdims); }
Tensor prod(const Arg& x, const Axes& axes, bool keepdims) { return reduce("prod", "mul", x, axes, keepdims); }
Tensor max(const Arg& x, const Axes& axes, bool keepdims) { return reduce("max", "max", x, axes, keepdims); }
Tensor min(const Arg& x, const Axes& axes, bool keepdims) { return reduce("min", "min", x, axes, keepdims); }
Tensor all(const Arg& x, const Axes& axes, bool keepdims) { return reduce_bool("all", "and", x, axes, keepdims); }
Tensor any(const Arg& x, const Axes& axes, bool keepdims) { return reduce_bool("any", "or", x, axes, keepdims); }
Tensor argmax(const Arg& x, std::int64_t axis, bool keepdims) { return arg_reduce("argmax", "max", x, axis, keepdims); }
Tensor argmin(const Arg& x, std::int64_t axis, bool keepdims) { return arg_reduce("argmin", "min", x, axis, keepdims); }

}  // namespace kiln
