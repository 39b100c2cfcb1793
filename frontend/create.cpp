// Constructors of tensors: from memory, constant, and evenly spaced.
#include <kiln/ops.h>
#include <kiln/tensor.h>

#include <cmath>
#include <cstring>

#include "frontend/access.h"
#include "graph/trace.h"
#include "ops/build.h"

namespace kiln {

using detail::Access;
using graph::Value;

namespace {

Value eager_copy(const void* data, TensorType type) {
  std::size_t bytes = static_cast<std::size_t>(type.shape.count()) * size_of(type.dtype);
  runtime::Buffer buffer = runtime::Buffer::allocate(bytes);
  if (bytes > 0) std::memcpy(buffer.data(), data, bytes);
  return Value::eager(type, std::move(buffer));
}

Tensor evenly_spaced(double start, double step, std::int64_t count, DType dtype) {
  Tensor index = Access::tensor(ops::iota<Value>(Shape{count}, 0, DType::float64));
  return cast(start + index * step, dtype);
}

}  // namespace

namespace detail {

Tensor from_memory(const void* data, DType from, std::size_t count, const Shape& shape, DType to, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(shape.is_static() && shape.count() == static_cast<std::int64_t>(count), ShapeError,
               "tensor: {} elements do not fill shape {}", count, shape.str());
  graph::EagerScope eager;  // while tracing too: it is a constant there
  return Access::tensor(ops::cast(eager_copy(data, {from, shape}), to));
}

void fail_ragged(Loc where) { throw ShapeError("tensor: the inner braces differ in length", where); }

}  // namespace detail

Tensor zeros(const Shape& shape, DType dtype, Loc where) {
  LocationScope scope(where);
  return Access::tensor(ops::full<Value>(shape, dtype, 0));
}

Tensor ones(const Shape& shape, DType dtype, Loc where) {
  LocationScope scope(where);
  return Access::tensor(ops::full<Value>(shape, dtype, 1));
}

Tensor full(const Shape& shape, const Arg& value, std::optional<DType> dtype) {
  LocationScope scope(value.loc());
  Value v = Access::value(value);
  v = v.weak() ? graph::strong(v, dtype.value_or(v.dtype())) : ops::cast(v, dtype.value_or(v.dtype()));
  return Access::tensor(ops::broadcast_to(v, shape));
}

Tensor zeros_like(const Arg& x) { return zeros(x.tensor().shape(), x.tensor().dtype(), x.loc()); }

Tensor ones_like(const Arg& x) { return ones(x.tensor().shape(), x.tensor().dtype(), x.loc()); }

Tensor eye(std::int64_t rows, std::optional<std::int64_t> columns, DType dtype, Loc where) {
  LocationScope scope(where);
  Shape shape{rows, columns.value_or(rows)};
  Tensor row = Access::tensor(ops::iota<Value>(shape, 0, DType::int64));
  Tensor column = Access::tensor(ops::iota<Value>(shape, 1, DType::int64));
  return cast(row == column, dtype);
}

Tensor arange(std::int64_t stop, DType dtype, Loc where) { return arange(0, stop, 1, dtype, where); }

Tensor arange(std::int64_t start, std::int64_t stop, std::int64_t step, DType dtype, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(step != 0, ValueError, "arange: the step is zero");
  std::int64_t count = step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step;
  Tensor index = Access::tensor(ops::iota<Value>(Shape{count > 0 ? count : 0}, 0, DType::int64));
  if (step != 1) index = index * step;
  if (start != 0) index = index + start;
  return cast(index, dtype);
}

Tensor detail::arange_float(double start, double stop, double step, DType dtype, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(step != 0, ValueError, "arange: the step is zero");
  double count = std::ceil((stop - start) / step);
  return evenly_spaced(start, step, count > 0 ? static_cast<std::int64_t>(count) : 0, dtype);
}

Tensor linspace(double start, double stop, std::int64_t count, DType dtype, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(count >= 0, ValueError, "linspace: count is {}", count);
  Tensor points = evenly_spaced(start, count > 1 ? (stop - start) / static_cast<double>(count - 1) : 0, count, DType::float64);
  if (count > 1) points = points.set({-1}, stop);
  return cast(points, dtype);
}

}  // namespace kiln
