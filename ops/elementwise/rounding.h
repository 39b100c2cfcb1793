// Rounding to integers; the dtype stays.
#pragma once
#include "ops/elementwise.h"

namespace kiln::ops {

struct Floor {
  static constexpr std::string_view name = "floor";
  static constexpr std::string_view doc = "Largest integer not above x.";
  static constexpr Example examples[] = {{{1.5}, 1.0}, {{-1.5}, -2.0}, {{2.0}, 2.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.idempotent = true, .exact = true, .cost = 2};
  template <class S>
  static auto scalar(S x) {
    return vmath::floor(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V&, const V&, const V&) {
    return {};
  }
};

struct Ceil {
  static constexpr std::string_view name = "ceil";
  static constexpr std::string_view doc = "Smallest integer not below x.";
  static constexpr Example examples[] = {{{1.5}, 2.0}, {{-1.5}, -1.0}, {{2.0}, 2.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.idempotent = true, .exact = true, .cost = 2};
  template <class S>
  static auto scalar(S x) {
    return vmath::ceil(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V&, const V&, const V&) {
    return {};
  }
};

struct Round {
  static constexpr std::string_view name = "round";
  static constexpr std::string_view doc = "Nearest integer; halves go to the even one.";
  static constexpr Example examples[] = {{{1.5}, 2.0}, {{2.5}, 2.0}, {{-0.75}, -1.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.idempotent = true, .exact = true, .cost = 2};
  template <class S>
  static auto scalar(S x) {
    return vmath::round_even(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V&, const V&, const V&) {
    return {};
  }
};

struct Trunc {
  static constexpr std::string_view name = "trunc";
  static constexpr std::string_view doc = "x without its fraction.";
  static constexpr Example examples[] = {{{1.5}, 1.0}, {{-1.5}, -1.0}, {{2.0}, 2.0}};
  static constexpr TypeRule types = TypeRule::floating;
  static constexpr Traits traits = {.idempotent = true, .exact = true, .cost = 2};
  template <class S>
  static auto scalar(S x) {
    return vmath::trunc(x);
  }
  template <class V>
  static std::array<V, 1> vjp(const V&, const V&, const V&) {
    return {};
  }
};

using rounding_ops = OpList<Floor, Ceil, Round, Trunc>;

}  // namespace kiln::ops
