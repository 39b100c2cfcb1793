// Tensor's members: handles, types and the ways to read elements.
#include <kiln/ops.h>
#include <kiln/tensor.h>

#include <limits>

#include "base/half.h"
#include "frontend/access.h"
#include "graph/symbolic.h"

namespace kiln {

namespace detail {

void retain(graph::ValueImpl* value) noexcept {
  if (value != nullptr) value->references.fetch_add(1, std::memory_order_relaxed);
}

void release(graph::ValueImpl* value) noexcept { graph::Value adopted(value); }

graph::ValueImpl* weak_scalar(double value) { return graph::Value(value).leak(); }
graph::ValueImpl* weak_scalar(std::int64_t value) { return graph::Value(value).leak(); }
graph::ValueImpl* bool_scalar(bool value) { return graph::strong(graph::Value(value)).leak(); }

}  // namespace detail

namespace {

const graph::ValueImpl& body(const graph::ValueImpl* impl) {
  KILN_REQUIRE(impl != nullptr, StateError, "an undefined Tensor was used; assign it a value first, and test with defined()");
  return *impl;
}

/// The bytes of the only element, for `what`.
runtime::Buffer only_element(const Tensor& t, std::string_view what) {
  graph::Value v = detail::Access::value(t);
  if (v.symbolic()) graph::fail_not_a_number(v, what);
  KILN_REQUIRE(v.shape().count() == 1, ShapeError, "{}: the tensor has {} elements (shape {}), not one; index it or reduce it first", what,
               v.shape().count(), v.shape().str());
  return v.buffer();
}

template <class T>
double to_number(T x) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<double>(x);
  else
    return to_double(x);
}

std::int64_t to_integer(double x) {
  if (x != x) return 0;
  if (x >= 9223372036854775808.0) return std::numeric_limits<std::int64_t>::max();
  if (x <= -9223372036854775808.0) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(x);
}

}  // namespace

DType Tensor::dtype() const { return body(impl_).type.dtype; }

const Shape& Tensor::shape() const { return body(impl_).type.shape; }

std::int64_t Tensor::size() const { return shape().count(); }

double Tensor::item_double(Loc where) const {
  LocationScope scope(where);
  if (impl_ != nullptr && impl_->weak) return impl_->scalar;
  runtime::Buffer buffer = only_element(*this, "item()");
  return visit_dtype(impl_->type.dtype, [&]<class T>(std::type_identity<T>) { return to_number(*static_cast<const T*>(buffer.data())); });
}

std::int64_t Tensor::item_integer(Loc where) const {
  LocationScope scope(where);
  if (impl_ != nullptr && impl_->weak) return impl_->type.dtype == DType::float32 ? to_integer(impl_->scalar) : impl_->integer;
  runtime::Buffer buffer = only_element(*this, "item()");
  return visit_dtype(impl_->type.dtype, [&]<class T>(std::type_identity<T>) -> std::int64_t {
    T x = *static_cast<const T*>(buffer.data());
    if constexpr (std::integral<T>)
      return static_cast<std::int64_t>(x);
    else
      return to_integer(to_number(x));
  });
}

const void* Tensor::data(DType as, Loc where) const {
  LocationScope scope(where);
  graph::ValueImpl* impl = const_cast<graph::ValueImpl*>(&body(impl_));
  KILN_REQUIRE(impl->type.dtype == as, DTypeError, "span<{}>(): the tensor's dtype is {}; convert it with astype() first", name(as),
               name(impl->type.dtype));
  KILN_REQUIRE(!impl->weak, StateError, "span(): a bare number has no elements in memory; make it a tensor({{...}}) first");
  return detail::Access::value(*this).buffer().data();
}

Tensor::operator bool() const {
  // A conversion has no place for the caller's line; a symbolic tensor knows where it was made.
  LocationScope scope(impl_ != nullptr ? impl_->loc : Loc{});
  if (impl_ != nullptr && impl_->weak) return impl_->scalar != 0;
  runtime::Buffer buffer = only_element(*this, "bool of a tensor (as in if or while)");
  return visit_dtype(impl_->type.dtype,
                     [&]<class T>(std::type_identity<T>) { return to_number(*static_cast<const T*>(buffer.data())) != 0; });
}

Tensor Tensor::astype(DType dtype, Loc where) const { return cast(Arg(*this, where), dtype); }

}  // namespace kiln
