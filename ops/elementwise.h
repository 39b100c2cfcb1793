// What an elementwise op's struct must hold, and what follows from it. The families in ops/elementwise/ are the vocabulary.
//
// struct Tanh {
//   static constexpr std::string_view name = "tanh";
//   static constexpr std::string_view doc = "Hyperbolic tangent of x.";
//   static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.0}, 0.76159415595576}, {{-20.0}, -1.0}};
//   static constexpr TypeRule types = TypeRule::floating;
//   static constexpr Traits traits = {.cost = 12};
//   template <class S> static auto scalar(S x) { return vmath::tanh(x); }                                       // its meaning
//   template <class V> static std::array<V, 1> vjp(const V& g, const V& y, const V& x) { ... }                  // its gradient; see below
// };
//
// scalar() is straight-line code over the S of ops/vmath.h. Operands of dtype bool arrive as S's mask type, and a bool result is a mask.
// vjp() takes the gradient of the result, the result, and the operands; it returns one gradient an operand, an undefined V{} where there is
// none. Without vjp() the op is not differentiable. Gradients that cost something are made only if wants_gradient<V>(operand). Optional
// members: `symbol` (the C++ operator that spells the op) and `arity`, where neither vjp() nor scalar() with one template parameter says
// it.
#pragma once
#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "ops/gradient.h"
#include "ops/op.h"
#include "ops/op_list.h"
#include "ops/ref.h"
#include "ops/vmath.h"

namespace kiln::ops {

/// For examples.
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

namespace detail {

struct VjpProbe {};

template <class F>
inline constexpr int parameter_count = 0;
template <class R, class... A>
inline constexpr int parameter_count<R (*)(A...)> = static_cast<int>(sizeof...(A));

}  // namespace detail

/// True if the op has a gradient.
template <class Op>
concept Differentiable = requires { &Op::template vjp<detail::VjpProbe>; };

/// Number of operands.
template <class Op>
consteval int arity_of() {
  if constexpr (requires { Op::arity; }) {
    return Op::arity;
  } else if constexpr (Differentiable<Op>) {
    return detail::parameter_count<decltype(&Op::template vjp<detail::VjpProbe>)> - 2;
  } else {
    return detail::parameter_count<decltype(&Op::template scalar<Ref>)>;
  }
}

/// The C++ operator that spells the op, or "".
template <class Op>
consteval std::string_view symbol_of() {
  if constexpr (requires { Op::symbol; }) {
    return Op::symbol;
  } else {
    return {};
  }
}

/// Every struct in a family's list satisfies this.
template <class Op>
concept ElementwiseOp = requires {
  { Op::name } -> std::convertible_to<std::string_view>;
  { Op::doc } -> std::convertible_to<std::string_view>;
  { Op::types } -> std::convertible_to<TypeRule>;
  { Op::traits } -> std::convertible_to<Traits>;
  std::span<const Example>(Op::examples);
};

/// The op's gradients: one V an operand, undefined where there is none.
template <Differentiable Op, class V>
std::array<V, static_cast<std::size_t>(arity_of<Op>())> call_vjp(const V& g, const V& y, std::span<const V> operands) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return Op::vjp(g, y, operands[I]...);
  }(std::make_index_sequence<arity_of<Op>()>{});
}

/// True if an elementwise op under `rule` takes operands of that dtype (TypeRule::select: as its second and third operand).
constexpr bool accepts(TypeRule rule, DType t) {
  switch (rule) {
    case TypeRule::numeric:
      return t != DType::boolean;
    case TypeRule::floating:
    case TypeRule::predicate:
      return is_floating(t);
    case TypeRule::integral:
      return is_integer(t);
    case TypeRule::boolean:
      return t == DType::boolean;
    case TypeRule::bitwise:
      return t == DType::boolean || is_integer(t);
    case TypeRule::compare:
    case TypeRule::select:
    case TypeRule::any:
      break;
  }
  return true;
}

/// Dtype of the result for operands of dtype `t`.
constexpr DType result_dtype(TypeRule rule, DType t) {
  return rule == TypeRule::compare || rule == TypeRule::predicate || rule == TypeRule::boolean ? DType::boolean : t;
}

/// The definitions of all elementwise ops, in the order of AllElementwise.
std::span<const OpDef> elementwise_ops();

}  // namespace kiln::ops
