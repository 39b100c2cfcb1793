// Comparisons and tests of a value; results are bool.
#pragma once
#include "ops/elementwise.h"

namespace kiln::ops {

struct Equal {
  static constexpr std::string_view name = "equal";
  static constexpr std::string_view symbol = "==";
  static constexpr std::string_view doc = "a == b; false if either is NaN.";
  static constexpr Example examples[] = {{{1.0, 1.0}, 1.0}, {{1.0, 2.0}, 0.0}, {{0.0, -0.0}, 1.0}};
  static constexpr TypeRule types = TypeRule::compare;
  static constexpr Traits traits = {.commutative = true, .exact = true};
  template <class S>
  static auto scalar(S a, S b) {
    return a == b;
  }
};

struct NotEqual {
  static constexpr std::string_view name = "not_equal";
  static constexpr std::string_view symbol = "!=";
  static constexpr std::string_view doc = "a != b; true if either is NaN.";
  static constexpr Example examples[] = {{{1.0, 1.0}, 0.0}, {{1.0, 2.0}, 1.0}, {{0.0, -0.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::compare;
  static constexpr Traits traits = {.commutative = true, .exact = true};
  template <class S>
  static auto scalar(S a, S b) {
    return a != b;
  }
};

struct Less {
  static constexpr std::string_view name = "less";
  static constexpr std::string_view symbol = "<";
  static constexpr std::string_view doc = "a < b; false if either is NaN.";
  static constexpr Example examples[] = {{{1.0, 1.0}, 0.0}, {{1.0, 2.0}, 1.0}, {{2.0, 1.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::compare;
  static constexpr Traits traits = {.exact = true};
  template <class S>
  static auto scalar(S a, S b) {
    return a < b;
  }
};

struct LessEqual {
  static constexpr std::string_view name = "less_equal";
  static constexpr std::string_view symbol = "<=";
  static constexpr std::string_view doc = "a <= b; false if either is NaN.";
  static constexpr Example examples[] = {{{1.0, 1.0}, 1.0}, {{1.0, 2.0}, 1.0}, {{2.0, 1.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::compare;
  static constexpr Traits traits = {.exact = true};
  template <class S>
  static auto scalar(S a, S b) {
    return a <= b;
  }
};

struct Greater {
  static constexpr std::string_view name = "greater";
  static constexpr std::string_view symbol = ">";
  static constexpr std::string_view doc = "a > b; false if either is NaN.";
  static constexpr Example examples[] = {{{1.0, 1.0}, 0.0}, {{1.0, 2.0}, 0.0}, {{2.0, 1.0}, 1.0}};
  static constexpr TypeRule types = TypeRule::compare;
  static constexpr Traits traits = {.exact = true};
  template <class S>
  static auto scalar(S a, S b) {
    return a > b;
  }
};

struct GreaterEqual {
  static constexpr std::string_view name = "greater_equal";
  static constexpr std::string_view symbol = ">=";
  static constexpr std::string_view doc = "a >= b; false if either is NaN.";
  static constexpr Example examples[] = {{{1.0, 1.0}, 1.0}, {{1.0, 2.0}, 0.0}, {{2.0, 1.0}, 1.0}};
  static constexpr TypeRule types = TypeRule::compare;
  static constexpr Traits traits = {.exact = true};
  template <class S>
  static auto scalar(S a, S b) {
    return a >= b;
  }
};

struct IsNan {
  static constexpr std::string_view name = "isnan";
  static constexpr std::string_view doc = "True where x is NaN.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{kInfinity}, 0.0}, {{kNan}, 1.0}};
  static constexpr TypeRule types = TypeRule::predicate;
  static constexpr Traits traits = {.exact = true};
  template <class S>
  static auto scalar(S x) {
    return x != x;
  }
};

struct IsInf {
  static constexpr std::string_view name = "isinf";
  static constexpr std::string_view doc = "True where x is plus or minus infinity.";
  static constexpr Example examples[] = {{{0.0}, 0.0}, {{kInfinity}, 1.0}, {{kNan}, 0.0}};
  static constexpr TypeRule types = TypeRule::predicate;
  static constexpr Traits traits = {.exact = true};
  template <class S>
  static auto scalar(S x) {
    return vmath::abs(x) == vmath::infinity<S>();
  }
};

struct IsFinite {
  static constexpr std::string_view name = "isfinite";
  static constexpr std::string_view doc = "True where x is neither infinite nor NaN.";
  static constexpr Example examples[] = {{{0.0}, 1.0}, {{kInfinity}, 0.0}, {{kNan}, 0.0}};
  static constexpr TypeRule types = TypeRule::predicate;
  static constexpr Traits traits = {.exact = true};
  template <class S>
  static auto scalar(S x) {
    return vmath::abs(x) < vmath::infinity<S>();
  }
};

using comparison_ops = OpList<Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, IsNan, IsInf, IsFinite>;

}  // namespace kiln::ops
