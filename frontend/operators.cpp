// Operators and elementwise functions of tensors.
#include <kiln/math.h>
#include <kiln/ops.h>
#include <kiln/tensor.h>

#include <initializer_list>

#include "frontend/access.h"
#include "ops/op.h"

namespace kiln {

using detail::Access;

namespace detail {

namespace {

template <std::size_t... I>
Tensor apply_to(const ops::OpDef& op, const Arg* const* args, std::index_sequence<I...>) {
  LocationScope scope(args[sizeof...(I) - 1]->loc());
  Borrowed operands(args[I]->tensor()...);
  return Access::tensor(graph::apply(op, operands.span()));
}

/// Applies an elementwise op; errors name the line of the last operand.
Tensor apply_elementwise(const ops::OpDef& op, std::initializer_list<const Arg*> args) {
  switch (args.size()) {
    case 1:
      return apply_to(op, args.begin(), std::make_index_sequence<1>{});
    case 2:
      return apply_to(op, args.begin(), std::make_index_sequence<2>{});
    default:
      return apply_to(op, args.begin(), std::make_index_sequence<3>{});
  }
}

}  // namespace

Tensor maximum_of(const Tensor& a, const Tensor& b) { return maximum(a, b); }
Tensor minimum_of(const Tensor& a, const Tensor& b) { return minimum(a, b); }

}  // namespace detail

#include "frontend/math.inc"

namespace {

/// x = x op b, in the same Tensor object.
Tensor& update(Tensor& a, Tensor result) {
  a = std::move(result);
  return a;
}

}  // namespace

#define KILN_BINARY_OPERATOR(symbol, op_name)          \
  Tensor operator symbol(const Arg& a, const Arg& b) { \
    static const ops::OpDef& op = ops::op(op_name);    \
    return detail::apply_elementwise(op, {&a, &b});    \
  }
KILN_BINARY_OPERATOR(+, "add")
KILN_BINARY_OPERATOR(-, "sub")
KILN_BINARY_OPERATOR(*, "mul")
KILN_BINARY_OPERATOR(/, "div")
KILN_BINARY_OPERATOR(%, "rem")
KILN_BINARY_OPERATOR(==, "equal")
KILN_BINARY_OPERATOR(!=, "not_equal")
KILN_BINARY_OPERATOR(<, "less")
KILN_BINARY_OPERATOR(<=, "less_equal")
KILN_BINARY_OPERATOR(>, "greater")
KILN_BINARY_OPERATOR(>=, "greater_equal")
#undef KILN_BINARY_OPERATOR

Tensor operator-(const Arg& a) {
  static const ops::OpDef& op = ops::op("neg");
  return detail::apply_elementwise(op, {&a});
}

Tensor operator!(const Tensor& a) {
  static const ops::OpDef& op = ops::op("logical_not");
  Arg arg(a, user_location());
  return detail::apply_elementwise(op, {&arg});
}

Tensor& operator+=(Tensor& a, const Arg& b) { return update(a, Arg(a, b.loc()) + b); }
Tensor& operator-=(Tensor& a, const Arg& b) { return update(a, Arg(a, b.loc()) - b); }
Tensor& operator*=(Tensor& a, const Arg& b) { return update(a, Arg(a, b.loc()) * b); }
Tensor& operator/=(Tensor& a, const Arg& b) { return update(a, Arg(a, b.loc()) / b); }

}  // namespace kiln
