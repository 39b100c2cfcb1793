// Exponentials, logarithms, roots, and functions made of them.
#pragma once
#include "ops/elementwise.h"

namespace kiln::ops {

struct Exp {
  static constexpr std::string_view name = "exp";
  static constexpr std::string_view doc = "e to the power x.";
  static constexpr Example examples[] = {{{0.0}, 1.0}, {{1.0}, 2.718281828459045}, {{-1.0}, 0.36787944117144233}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 10};
  template <class S>
  static auto scalar(S x) {
    return vmath::exp(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V& y, const V&) {
    return {g * y};
  }
};

struct Expm1 {
  static constexpr std::string_view name = "expm1";
  static constexpr std::string_view doc = "exp(x) - 1, accurate near zero.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.0}, 1.718281828459045}, {{-50.0}, -1.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 16};
  template <class S>
  static auto scalar(S x) {
    return vmath::expm1(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V& y, const V&) {
    return {g * (y + 1.0)};
  }
};

struct Log {
  static constexpr std::string_view name = "log";
  static constexpr std::string_view doc = "Natural logarithm of x: -inf for zero, NaN for negative x.";
  static constexpr Example examples[] = {{{1.0}, 0.0}, {{10.0}, 2.302585092994046}, {{0.5}, -0.6931471805599453}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 12};
  template <class S>
  static auto scalar(S x) {
    return vmath::log(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V&, const V& x) {
    return {g / x};
  }
};

struct Log1p {
  static constexpr std::string_view name = "log1p";
  static constexpr std::string_view doc = "log(1 + x), accurate near zero.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.0}, 0.6931471805599453}, {{-0.5}, -0.6931471805599453}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 16};
  template <class S>
  static auto scalar(S x) {
    return vmath::log1p(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V&, const V& x) {
    return {g / (x + 1.0)};
  }
};

struct Sqrt {
  static constexpr std::string_view name = "sqrt";
  static constexpr std::string_view doc = "Square root of x, correctly rounded; NaN for negative x.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{2.0}, 1.4142135623730951}, {{9.0}, 3.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 6};
  template <class S>
  static auto scalar(S x) {
    return vmath::sqrt(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V& y, const V&) {
    return {0.5 * g / y};
  }
};

struct Rsqrt {
  static constexpr std::string_view name = "rsqrt";
  static constexpr std::string_view doc = "1 / sqrt(x).";
  static constexpr Example examples[] = {{{1.0}, 1.0}, {{2.0}, 0.7071067811865476}, {{16.0}, 0.25}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 10};
  template <class S>
  static auto scalar(S x) {
    return vmath::constant<S>(1) / vmath::sqrt(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V& y, const V& x) {
    return {-0.5 * g * y / x};
  }
};

struct Sigmoid {
  static constexpr std::string_view name = "sigmoid";
  static constexpr std::string_view doc = "Logistic function 1 / (1 + exp(-x)).";
  static constexpr Example examples[] = {{{0.0}, 0.5}, {{1.0}, 0.7310585786300049}, {{-2.0}, 0.11920292202211755}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 16};
  template <class S>
  static auto scalar(S x) {
    return vmath::sigmoid(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V& y, const V&) {
    return {g * y * (1.0 - y)};
  }
};

using exponential_ops = OpList<Exp, Expm1, Log, Log1p, Sqrt, Rsqrt, Sigmoid>;

}  // namespace kiln::ops
