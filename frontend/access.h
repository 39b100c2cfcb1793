// The way between public handles and what they hold. Internal to frontend/.
#pragma once
#include <kiln/tensor.h>
#include <kiln/variable.h>

#include "base/require.h"
#include "graph/value.h"
#include "graph/variable.h"

namespace kiln::detail {

struct Access {
  /// What the tensor holds; StateError if undefined.
  static graph::Value value(const Tensor& t) {
    KILN_REQUIRE(t.impl_ != nullptr, StateError, "an undefined Tensor was used; assign it a value first, and test with defined()");
    retain(t.impl_);
    return graph::Value(t.impl_);
  }
  static graph::Value value(const Arg& a) { return value(a.tensor()); }
  static Tensor tensor(graph::Value v) { return Tensor(v.leak()); }
  /// nullptr if undefined.
  static graph::ValueImpl* impl(const Tensor& t) { return t.impl_; }
  /// Replaces what `object` holds without the bookkeeping of an assignment.
  static void replace(Tensor& object, graph::Value v) noexcept { release(std::exchange(object.impl_, v.leak())); }
  static std::uint32_t& region(Tensor& t) { return t.region_; }

  /// The state of a defined variable; StateError if undefined.
  static const graph::VariablePtr& state(const Variable& v) {
    KILN_REQUIRE(v.state_ != nullptr, StateError,
                 "an undefined Variable was used; give it an initial value first, and test with defined()");
    return v.state_;
  }
};

/// The values of a few tensors, borrowed without touching their reference counts.
template <std::size_t N>
class Borrowed {
 public:
  template <class... T>
  explicit Borrowed(const T&... tensors) : values_{borrow(tensors)...} {}
  ~Borrowed() {
    for (graph::Value& v : values_) v.leak();
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  std::span<const graph::Value> span() const { return values_; }

 private:
  static graph::Value borrow(const Tensor& t) {
    KILN_REQUIRE(Access::impl(t) != nullptr, StateError, "an undefined Tensor was used; assign it a value first, and test with defined()");
    return graph::Value(Access::impl(t));
  }
  graph::Value values_[N];
};
template <class... T>
Borrowed(const T&...) -> Borrowed<sizeof...(T)>;

}  // namespace kiln::detail
