// Dim: the length of one axis, known now or only when the function runs.
#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

namespace kiln {

/// An interned expression over integers: constant, symbol, +, *, floordiv, max. Eight bytes, compared by identity:
/// equal canonical expressions (polynomials over symbols, floordiv and max) are equal Dims.
class Dim {
 public:
  constexpr Dim() = default;
  template <std::integral I>
  constexpr Dim(I n) : bits_(static_cast<std::int64_t>(n)) {}

  /// The symbol of that name; equal names are one symbol. Throws ValueError unless the name is a letter or _, then letters, digits, _ . /
  /// #.
  static Dim symbol(std::string_view name);

  constexpr bool is_constant() const { return bits_ >= kFirstConstant; }
  /// The number. Throws TraceError, with advice, if the Dim is symbolic.
  operator std::int64_t() const { return is_constant() ? bits_ : fail_symbolic(); }
  /// The number, or `otherwise` if symbolic.
  constexpr std::int64_t value_or(std::int64_t otherwise) const { return is_constant() ? bits_ : otherwise; }
  /// "32", "batch", "batch * 4 + 4", "floordiv(n, 2)": the same text for equal Dims, in every process.
  std::string str() const;
  /// The Dim whose str() is `text`. Throws ValueError if it is none.
  static Dim parse(std::string_view text);
  /// Identity as bits: the number itself, or a tagged address of the process's own.
  constexpr std::int64_t bits() const { return bits_; }

  friend constexpr bool operator==(Dim a, Dim b) { return a.bits_ == b.bits_; }
  /// Symbolic lengths are neither 0 nor 1. Throws TraceError if one is compared with another number: nobody knows yet.
  template <std::integral I>
  friend constexpr bool operator==(Dim a, I b) {
    const auto number = static_cast<std::int64_t>(b);
    if (!a.is_constant() && number > 1) a.fail_comparison(number);
    return a.bits_ == number;
  }
  friend Dim operator+(Dim a, Dim b);
  friend Dim operator-(Dim a, Dim b);
  friend Dim operator*(Dim a, Dim b);
  /// Quotient rounded towards minus infinity; b must not be zero.
  friend Dim floordiv(Dim a, Dim b);
  friend Dim max(Dim a, Dim b);

  // Mixed with integers, so that the conversion to int64 above is never ambiguous.
  template <std::integral I>
  friend Dim operator+(Dim a, I b) {
    return a + Dim(b);
  }
  template <std::integral I>
  friend Dim operator+(I a, Dim b) {
    return Dim(a) + b;
  }
  template <std::integral I>
  friend Dim operator-(Dim a, I b) {
    return a - Dim(b);
  }
  template <std::integral I>
  friend Dim operator-(I a, Dim b) {
    return Dim(a) - b;
  }
  template <std::integral I>
  friend Dim operator*(Dim a, I b) {
    return a * Dim(b);
  }
  template <std::integral I>
  friend Dim operator*(I a, Dim b) {
    return Dim(a) * b;
  }

  /// How an expression is built; symbols have a name and no operands.
  enum class Op : std::uint8_t { constant, symbol, add, mul, floordiv, max };
  Op op() const;
  /// Left and right operand of a symbolic add, mul, floordiv or max.
  Dim lhs() const;
  Dim rhs() const;
  /// Name of a symbol.
  std::string_view symbol_name() const;
  /// The value when each symbol has the value that `lookup` gives for its name.
  std::int64_t evaluate(const std::function<std::int64_t(std::string_view)>& lookup) const;

 private:
  static constexpr std::int64_t kFirstConstant = -(std::int64_t{1} << 62);
  [[noreturn]] void fail_comparison(std::int64_t number) const;
  std::int64_t fail_symbolic() const;
  std::int64_t bits_ = 0;
};

std::ostream& operator<<(std::ostream& out, Dim d);

}  // namespace kiln
