// Choosing between values.
#pragma once
#include "ops/elementwise.h"

namespace kiln::ops {

struct Where {
  static constexpr std::string_view name = "where";
  static constexpr std::string_view doc = "a where the condition is true, else b.";
  static constexpr Example examples[] = {{{1.0, 2.0, 3.0}, 2.0}, {{0.0, 2.0, 3.0}, 3.0}, {{1.0, 0.0, 1.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::select;
  static constexpr Traits traits = {.exact = true};
  template <class M, class S>
  static auto scalar(M condition, S a, S b) {
    return vmath::select(condition, a, b);
  }
  template <class V>
  static std::array<V, 3> vjp(const V& g, const V&, const V& condition, const V&, const V&) {
    return {V{}, wants_gradient<V>(1) ? where(condition, g, 0.0) : V{}, wants_gradient<V>(2) ? where(condition, 0.0, g) : V{}};
  }
};

using selection_ops = OpList<Where>;

}  // namespace kiln::ops
