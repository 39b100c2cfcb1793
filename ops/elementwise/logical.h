// Logic on bools and on the bits of integers.
#pragma once
#include "ops/elementwise.h"

namespace kiln::ops {

struct LogicalAnd {
  static constexpr std::string_view name = "logical_and";
  static constexpr std::string_view doc = "True where both a and b are.";
  static constexpr Example examples[] = {{{0.0, 0.0}, 0.0}, {{0.0, 1.0}, 0.0}, {{1.0, 1.0}, 1.0}};
  static constexpr TypeRule types = TypeRule::boolean;
  static constexpr Traits traits = {
      .commutative = true, .associative = true, .idempotent = true, .exact = true, .identity = 1, .has_identity = true};
  static constexpr int arity = 2;
  template <class S>
  static auto scalar(S a, S b) {
    return a & b;
  }
};

struct LogicalOr {
  static constexpr std::string_view name = "logical_or";
  static constexpr std::string_view doc = "True where a or b is.";
  static constexpr Example examples[] = {{{0.0, 0.0}, 0.0}, {{0.0, 1.0}, 1.0}, {{1.0, 1.0}, 1.0}};
  static constexpr TypeRule types = TypeRule::boolean;
  static constexpr Traits traits = {
      .commutative = true, .associative = true, .idempotent = true, .exact = true, .identity = 0, .has_identity = true};
  static constexpr int arity = 2;
  template <class S>
  static auto scalar(S a, S b) {
    return a | b;
  }
};

struct LogicalXor {
  static constexpr std::string_view name = "logical_xor";
  static constexpr std::string_view doc = "True where exactly one of a and b is.";
  static constexpr Example examples[] = {{{0.0, 0.0}, 0.0}, {{0.0, 1.0}, 1.0}, {{1.0, 1.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::boolean;
  static constexpr Traits traits = {.commutative = true, .associative = true, .exact = true, .identity = 0, .has_identity = true};
  static constexpr int arity = 2;
  template <class S>
  static auto scalar(S a, S b) {
    return a ^ b;
  }
};

struct LogicalNot {
  static constexpr std::string_view name = "logical_not";
  static constexpr std::string_view symbol = "!";
  static constexpr std::string_view doc = "True where x is false.";
  static constexpr Example examples[] = {{{0.0}, 1.0}, {{1.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::boolean;
  static constexpr Traits traits = {.involution = true, .exact = true};
  static constexpr int arity = 1;
  template <class S>
  static auto scalar(S x) {
    return ~x;
  }
};

struct BitAnd {
  static constexpr std::string_view name = "bit_and";
  static constexpr std::string_view symbol = "&";
  static constexpr std::string_view doc = "Bits set in both a and b.";
  static constexpr Example examples[] = {{{6.0, 3.0}, 2.0}, {{5.0, 0.0}, 0.0}, {{1.0, 1.0}, 1.0}};
  static constexpr TypeRule types = TypeRule::bitwise;
  static constexpr Traits traits = {.commutative = true, .associative = true, .idempotent = true, .exact = true};
  static constexpr int arity = 2;
  template <class S>
  static auto scalar(S a, S b) {
    return a & b;
  }
};

struct BitOr {
  static constexpr std::string_view name = "bit_or";
  static constexpr std::string_view symbol = "|";
  static constexpr std::string_view doc = "Bits set in a or b.";
  static constexpr Example examples[] = {{{6.0, 3.0}, 7.0}, {{5.0, 0.0}, 5.0}, {{1.0, 1.0}, 1.0}};
  static constexpr TypeRule types = TypeRule::bitwise;
  static constexpr Traits traits = {
      .commutative = true, .associative = true, .idempotent = true, .exact = true, .identity = 0, .has_identity = true};
  static constexpr int arity = 2;
  template <class S>
  static auto scalar(S a, S b) {
    return a | b;
  }
};

struct BitXor {
  static constexpr std::string_view name = "bit_xor";
  static constexpr std::string_view symbol = "^";
  static constexpr std::string_view doc = "Bits set in exactly one of a and b.";
  static constexpr Example examples[] = {{{6.0, 3.0}, 5.0}, {{5.0, 0.0}, 5.0}, {{1.0, 1.0}, 0.0}};
  static constexpr TypeRule types = TypeRule::bitwise;
  static constexpr Traits traits = {.commutative = true, .associative = true, .exact = true, .identity = 0, .has_identity = true};
  static constexpr int arity = 2;
  template <class S>
  static auto scalar(S a, S b) {
    return a ^ b;
  }
};

using logical_ops = OpList<LogicalAnd, LogicalOr, LogicalXor, LogicalNot, BitAnd, BitOr, BitXor>;

}  // namespace kiln::ops
