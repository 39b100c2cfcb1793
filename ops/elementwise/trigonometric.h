// Circular and hyperbolic functions, and the error function.
#pragma once
#include "ops/elementwise.h"

namespace kiln::ops {

struct Sin {
  static constexpr std::string_view name = "sin";
  static constexpr std::string_view doc = "Sine of x in radians, accurate for every float32; NaN for infinities.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.0}, 0.8414709848078965}, {{-3.0}, -0.1411200080598672}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 24};
  template <class S>
  static auto scalar(S x) {
    return vmath::sin(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V&, const V& x) {
    return {g * cos(x)};
  }
};

struct Cos {
  static constexpr std::string_view name = "cos";
  static constexpr std::string_view doc = "Cosine of x in radians, accurate for every float32; NaN for infinities.";
  static constexpr Example examples[] = {{{0.0}, 1.0}, {{1.0}, 0.5403023058681398}, {{-3.0}, -0.9899924966004454}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 24};
  template <class S>
  static auto scalar(S x) {
    return vmath::cos(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V&, const V& x) {
    return {-(g * sin(x))};
  }
};

struct Tanh {
  static constexpr std::string_view name = "tanh";
  static constexpr std::string_view doc = "Hyperbolic tangent of x.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.0}, 0.7615941559557649}, {{-20.0}, -1.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 16};
  template <class S>
  static auto scalar(S x) {
    return vmath::tanh(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V& y, const V&) {
    return {g * (1.0 - y * y)};
  }
};

struct Erf {
  static constexpr std::string_view name = "erf";
  static constexpr std::string_view doc = "Error function: 2 / sqrt(pi) times the integral of exp(-t * t) from 0 to x.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{1.0}, 0.8427007929497149}, {{-6.0}, -1.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.cost = 24};
  template <class S>
  static auto scalar(S x) {
    return vmath::erf(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V& g, const V&, const V& x) {
    return {g * 1.1283791670955126 * exp(-(x * x))};
  }
};

using trigonometric_ops = OpList<Sin, Cos, Tanh, Erf>;

}  // namespace kiln::ops
