// Arithmetic: sums, products, quotients, powers, extremes.
#pragma once
#include "ops/elementwise.h"

namespace kiln::ops {

struct Add {
  static constexpr std::string_view name = "add";
  static constexpr std::string_view symbol = "+";
  static constexpr std::string_view doc = "Sum of a and b. Integers wrap.";
  static constexpr Example examples[] = {{{1.0, 2.0}, 3.0}, {{0.5, 0.25}, 0.75}, {{7.0, 0.0}, 7.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.commutative = true, .associative = true, .identity = 0, .has_identity = true};
  template <class S>
  static auto scalar(S a, S b) {
    return a + b;
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V&, const V&, const V&) {
    return {g, g};
  }
};

struct Sub {
  static constexpr std::string_view name = "sub";
  static constexpr std::string_view symbol = "-";
  static constexpr std::string_view doc = "Difference a - b. Integers wrap.";
  static constexpr Example examples[] = {{{3.0, 2.0}, 1.0}, {{0.75, 0.25}, 0.5}, {{7.0, 7.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {};
  template <class S>
  static auto scalar(S a, S b) {
    return a - b;
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V&, const V&, const V&) {
    return {g, wants_gradient<V>(1) ? -g : V{}};
  }
};

struct Mul {
  static constexpr std::string_view name = "mul";
  static constexpr std::string_view symbol = "*";
  static constexpr std::string_view doc = "Product of a and b. Integers wrap.";
  static constexpr Example examples[] = {{{3.0, 2.0}, 6.0}, {{0.5, 0.5}, 0.25}, {{7.0, 0.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.commutative = true, .associative = true, .identity = 1, .has_identity = true};
  template <class S>
  static auto scalar(S a, S b) {
    return a * b;
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V&, const V& a, const V& b) {
    return {wants_gradient<V>(0) ? g * b : V{}, wants_gradient<V>(1) ? g * a : V{}};
  }
};

struct Div {
  static constexpr std::string_view name = "div";
  static constexpr std::string_view symbol = "/";
  static constexpr std::string_view doc =
      "Quotient a / b. Integers truncate towards zero, as in C++; an integer divisor of zero is an error.";
  static constexpr Example examples[] = {{{6.0, 2.0}, 3.0}, {{1.0, 1.0}, 1.0}, {{0.0, 5.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.fallible = true, .cost = 4};
  template <class S>
  static auto scalar(S a, S b) {
    return vmath::divide(a, b);
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V& y, const V&, const V& b) {
    V da = g / b;
    return {da, wants_gradient<V>(1) ? -(da * y) : V{}};
  }
};

struct FloorDiv {
  static constexpr std::string_view name = "floordiv";
  static constexpr std::string_view doc = "Quotient a / b rounded towards minus infinity. An integer divisor of zero is an error.";
  static constexpr Example examples[] = {{{7.0, 2.0}, 3.0}, {{6.0, 3.0}, 2.0}, {{1.0, 4.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.fallible = true, .cost = 6};
  template <class S>
  static auto scalar(S a, S b) {
    return vmath::floor_divide(a, b);
  }
  template <class V>
  static std::array<V, 2> vjp(const V&, const V&, const V&, const V&) {
    return {};
  }
};

struct Rem {
  static constexpr std::string_view name = "rem";
  static constexpr std::string_view symbol = "%";
  static constexpr std::string_view doc =
      "Remainder of a / b truncated towards zero, with the sign of a: C++'s % and fmod. An integer divisor of zero is an error.";
  static constexpr Example examples[] = {{{7.0, 4.0}, 3.0}, {{5.0, 8.0}, 5.0}, {{6.0, 3.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.fallible = true, .cost = 30};
  template <class S>
  static auto scalar(S a, S b) {
    return vmath::remainder(a, b);
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V&, const V& a, const V& b) {
    return {g, wants_gradient<V>(1) ? -(g * trunc(a / b)) : V{}};
  }
};

struct Mod {
  static constexpr std::string_view name = "mod";
  static constexpr std::string_view doc =
      "Remainder of a / b rounded towards minus infinity, with the sign of b: Python's %. An integer divisor of zero is an error.";
  static constexpr Example examples[] = {{{7.0, 4.0}, 3.0}, {{5.0, 8.0}, 5.0}, {{6.0, 3.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.fallible = true, .cost = 32};
  template <class S>
  static auto scalar(S a, S b) {
    return vmath::floor_modulo(a, b);
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V&, const V& a, const V& b) {
    return {g, wants_gradient<V>(1) ? -(g * floor(a / b)) : V{}};
  }
};

struct Pow {
  static constexpr std::string_view name = "pow";
  static constexpr std::string_view doc =
      "a to the power b, as C's pow. Integers multiply repeatedly and wrap; a negative integer power truncates a's reciprocal.";
  static constexpr Example examples[] = {{{2.0, 3.0}, 8.0}, {{5.0, 0.0}, 1.0}, {{1.0, 9.0}, 1.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.cost = 60};
  template <class S>
  static auto scalar(S a, S b) {
    return vmath::pow(a, b);
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V& y, const V& a, const V& b) {
    V zero = 0.0;
    V da, db;
    if (wants_gradient<V>(0)) da = where(equal(b, zero), zero, g * b * pow(a, b - 1.0));
    if (wants_gradient<V>(1)) db = where(a > zero, g * y * log(where(a > zero, a, 1.0)), zero);
    return {da, db};
  }
};

struct Maximum {
  static constexpr std::string_view name = "maximum";
  static constexpr std::string_view doc =
      "The larger of a and b; NaN if either is NaN, and +0 is larger than -0. Where they are equal the gradient goes to b.";
  static constexpr Example examples[] = {{{1.0, 2.0}, 2.0}, {{3.0, 2.0}, 3.0}, {{5.0, 5.0}, 5.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.commutative = true, .associative = true, .idempotent = true, .exact = true, .cost = 2};
  template <class S>
  static auto scalar(S a, S b) {
    return vmath::maximum(a, b);
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V&, const V& a, const V& b) {
    V larger = a > b;
    return {wants_gradient<V>(0) ? where(larger, g, 0.0) : V{}, wants_gradient<V>(1) ? where(larger, 0.0, g) : V{}};
  }
};

struct Minimum {
  static constexpr std::string_view name = "minimum";
  static constexpr std::string_view doc =
      "The smaller of a and b; NaN if either is NaN, and -0 is smaller than +0. Where they are equal the gradient goes to b.";
  static constexpr Example examples[] = {{{1.0, 2.0}, 1.0}, {{3.0, 2.0}, 2.0}, {{5.0, 5.0}, 5.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.commutative = true, .associative = true, .idempotent = true, .exact = true, .cost = 2};
  template <class S>
  static auto scalar(S a, S b) {
    return vmath::minimum(a, b);
  }
  template <class V>
  static std::array<V, 2> vjp(const V& g, const V&, const V& a, const V& b) {
    V smaller = a < b;
    return {wants_gradient<V>(0) ? where(smaller, g, 0.0) : V{}, wants_gradient<V>(1) ? where(smaller, 0.0, g) : V{}};
  }
};

struct Neg {
  static constexpr std::string_view name = "neg";
  static constexpr std::string_view symbol = "-";
  static constexpr std::string_view doc = "-x. Integers wrap.";
  static constexpr Example examples[] = {{{0.0}, -0.0}, {{1.5}, -1.5}, {{-2.0}, 2.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.involution = true, .exact = true};
  template <class S>
  static auto scalar(S x) {
    return vmath::negate(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V&, const V&) {
    return {-g};
  }
};

struct Abs {
  static constexpr std::string_view name = "abs";
  static constexpr std::string_view doc = "Absolute value of x. The most negative integer wraps to itself.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.5}, 1.5}, {{-2.0}, 2.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.idempotent = true, .exact = true};
  template <class S>
  static auto scalar(S x) {
    return vmath::abs(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V&, const V& x) {
    return {g * sign(x)};
  }
};

struct Sign {
  static constexpr std::string_view name = "sign";
  static constexpr std::string_view doc = "-1, 0 or 1 as x is negative, zero or positive; NaN for NaN, and a zero keeps its sign.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.5}, 1.0}, {{-2.0}, -1.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {.idempotent = true, .exact = true, .cost = 2};
  template <class S>
  static auto scalar(S x) {
    S zero = vmath::constant<S>(0);
    S one = vmath::constant<S>(1);
    return vmath::select(x > zero, one, vmath::select(x < zero, zero - one, x));
  }
  template <class V>
  static std::array<V, 1> vjp(const V&, const V&, const V&) {
    return {};
  }
};

struct Square {
  static constexpr std::string_view name = "square";
  static constexpr std::string_view doc = "x * x. Integers wrap.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.5}, 2.25}, {{-2.0}, 4.0}};
  static constexpr TypeRule types = TypeRule::numeric;
  static constexpr Traits traits = {};
  template <class S>
  static auto scalar(S x) {
    return x * x;
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V&, const V& x) {
    return {2.0 * g * x};
  }
};

struct Reciprocal {
  static constexpr std::string_view name = "reciprocal";
  static constexpr std::string_view doc = "1 / x.";
  static constexpr Example examples[] = {{{1.0}, 1.0}, {{4.0}, 0.25}, {{-0.5}, -2.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 4};
  template <class S>
  static auto scalar(S x) {
    return vmath::constant<S>(1) / x;
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V& y, const V&) {
    return {-(g * y * y)};
  }
};

struct Fma {
  static constexpr std::string_view name = "fma";
  static constexpr std::string_view doc = "a * b + c, rounded once on targets with fused multiply-add (AVX2 and up), twice elsewhere.";
  static constexpr Example examples[] = {{{2.0, 3.0, 4.0}, 10.0}, {{0.5, 0.5, 0.0}, 0.25}, {{1.0, -1.0, 1.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {};
  template <class S>
  static auto scalar(S a, S b, S c) {
    return vmath::fma(a, b, c);
  }
  template <class V>
  static std::array<V, 3> vjp(const V& g, const V&, const V& a, const V& b, const V&) {
    return {g * b, g * a, g};
  }
};

using arithmetic_ops = OpList<Add, Sub, Mul, Div, FloorDiv, Rem, Mod, Pow, Maximum, Minimum, Neg, Abs, Sign, Square, Reciprocal, Fma>;

}  // namespace kiln::ops
