// The canonical form behind a symbolic Dim. Private to base/dim*.cpp.
#pragma once
#include <kiln/dim.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::dim_detail {

struct Expr;
using Atom = const Expr*;            ///< a symbol, floordiv or max
using Monomial = std::vector<Atom>;  ///< sorted by text, with repetition; empty for the constant term

struct Term {
  std::int64_t coefficient = 0;
  Monomial monomial;
};
using Polynomial = std::vector<Term>;  ///< sorted, no zero coefficients

/// One interned expression; never freed, so a Dim can point at it.
struct Expr {
  Dim::Op op = Dim::Op::symbol;
  Dim lhs, rhs;
  Polynomial polynomial;
  std::string text;  ///< Dim::str(); a symbol's name
};

/// Largest magnitude of a constant: what keeps numbers apart from expressions in Dim::bits().
inline constexpr std::int64_t kLargest = (std::int64_t{1} << 62) - 1;

/// A symbolic Dim is the address of its Expr with the sign bit set.
inline constexpr std::uint64_t kTag = std::uint64_t{1} << 63;
inline Dim dim_of(const Expr* e) { return Dim(static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(e) | kTag)); }
inline const Expr* expr_of(Dim d) { return reinterpret_cast<const Expr*>(static_cast<std::uint64_t>(d.bits()) & ~kTag); }

Polynomial polynomial_of(Dim d);
Polynomial sum(const Polynomial& a, const Polynomial& b);
Polynomial product(const Polynomial& a, const Polynomial& b);
Dim intern(const Polynomial& p);
Dim intern_atom(Dim::Op op, Dim lhs, Dim rhs, const std::string& text);

/// True if a symbol may have that name.
bool is_name(std::string_view text);

}  // namespace kiln::dim_detail
