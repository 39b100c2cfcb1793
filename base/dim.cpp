// Dim: interned expressions. Every expression is kept as a polynomial over atoms (symbols, floordiv, max) with sorted terms,
// so that equal polynomials are one expression: a + b == b + a, n + n == 2 * n, (n + 1) * m == n * m + m.
#include <kiln/dim.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <unordered_map>
#include <vector>

#include "base/dim_expr.h"
#include "base/require.h"

namespace kiln {
namespace dim_detail {
namespace {

std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  bool bad = __builtin_add_overflow(a, b, &sum) || sum < -kLargest || sum > kLargest;
  KILN_REQUIRE(!bad, ShapeError, "a length overflows: {} + {}", a, b);
  return sum;
}

std::int64_t checked_mul(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  bool bad = __builtin_mul_overflow(a, b, &product) || product < -kLargest || product > kLargest;
  KILN_REQUIRE(!bad, ShapeError, "a length overflows: {} * {}", a, b);
  return product;
}

std::int64_t checked_floordiv(std::int64_t a, std::int64_t b) {
  KILN_REQUIRE(b != 0, ShapeError, "a length is divided by zero: floordiv({}, 0)", a);
  std::int64_t quotient = a / b;
  bool inexact = a % b != 0;
  return quotient - (inexact && (a < 0) != (b < 0) ? 1 : 0);
}

/// Graded, then by the atoms' texts: independent of the order in which expressions were made, so that texts are the same in every process.
bool before(const Monomial& a, const Monomial& b) {
  if (a.size() != b.size()) return a.size() > b.size();
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](Atom x, Atom y) { return x->text < y->text; });
}

void add_term(Polynomial& p, Term term) {
  if (term.coefficient == 0) return;
  auto place = std::lower_bound(p.begin(), p.end(), term, [](const Term& x, const Term& y) { return before(x.monomial, y.monomial); });
  if (place == p.end() || place->monomial != term.monomial) {
    p.insert(place, std::move(term));
    return;
  }
  place->coefficient = checked_add(place->coefficient, term.coefficient);
  if (place->coefficient == 0) p.erase(place);
}

Monomial multiply(const Monomial& a, const Monomial& b) {
  Monomial product;
  product.reserve(a.size() + b.size());
  std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(product), [](Atom x, Atom y) { return x->text < y->text; });
  return product;
}

/// The monomial q with q * b == a, if there is one.
std::optional<Monomial> divide(const Monomial& a, const Monomial& b) {
  Monomial quotient;
  auto next = b.begin();
  for (Atom atom : a) {
    if (next != b.end() && *next == atom) {
      ++next;
    } else {
      quotient.push_back(atom);
    }
  }
  if (next != b.end()) return std::nullopt;
  return quotient;
}

/// a / b if b divides a without remainder (long division by the leading term).
std::optional<Polynomial> divide_exactly(Polynomial a, const Polynomial& b) {
  Polynomial quotient;
  for (int steps = 0; !a.empty(); ++steps) {
    if (steps == 64 || a.front().coefficient % b.front().coefficient != 0) return std::nullopt;
    std::optional<Monomial> monomial = divide(a.front().monomial, b.front().monomial);
    if (!monomial) return std::nullopt;
    Term term{a.front().coefficient / b.front().coefficient, *monomial};
    a = sum(a, product({{-term.coefficient, term.monomial}}, b));
    add_term(quotient, std::move(term));
  }
  return quotient;
}

struct Table {
  std::recursive_mutex mutex;
  std::unordered_map<std::string, std::unique_ptr<Expr>> by_text;
};

Table& table() {
  static Table* t = new Table;  // never destroyed: Dims may live in static objects
  return *t;
}

/// The expression of that text, made by `fill` if it is new. A text stands for one canonical expression.
template <class Fill>
const Expr* find_or_make(const std::string& text, const Fill& fill) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  auto found = t.by_text.find(text);
  if (found != t.by_text.end()) return found->second.get();
  auto expr = std::make_unique<Expr>();
  expr->text = text;
  fill(*expr);
  return t.by_text.emplace(text, std::move(expr)).first->second.get();
}

std::string text_of(const Monomial& m) {
  std::string text;
  for (Atom atom : m) text += (text.empty() ? "" : " * ") + atom->text;
  return text;
}

std::string text_of(const Polynomial& p) {
  std::string text;
  for (const Term& term : p) {
    bool minus = term.coefficient < 0 && !text.empty();
    std::int64_t factor = minus ? -term.coefficient : term.coefficient;
    if (!text.empty()) text += minus ? " - " : " + ";
    std::string monomial = text_of(term.monomial);
    if (monomial.empty()) {
      text += std::to_string(factor);
    } else if (factor == 1) {
      text += monomial;
    } else {
      text += monomial + " * " + std::to_string(factor);
    }
  }
  return text;
}

Dim intern_product(const Monomial& m);

/// The expression tree that lhs() and rhs() show: terms added, and factors multiplied, from the left.
void fill_tree(Expr& expr, const Polynomial& p) {
  expr.polynomial = p;
  const Term& last = p.back();
  if (p.size() > 1) {
    expr.op = Dim::Op::add;
    expr.lhs = intern(Polynomial(p.begin(), p.end() - 1));
    expr.rhs = intern(Polynomial{last});
  } else if (last.coefficient != 1) {
    expr.op = Dim::Op::mul;
    expr.lhs = intern_product(last.monomial);
    expr.rhs = last.coefficient;
  } else {
    expr.op = Dim::Op::mul;
    expr.lhs = intern_product(Monomial(last.monomial.begin(), last.monomial.end() - 1));
    expr.rhs = dim_of(last.monomial.back());
  }
}

Dim intern_product(const Monomial& m) { return intern(Polynomial{{1, m}}); }

/// Operands of a max, of which no two differ by a constant.
void add_operand(std::vector<Dim>& operands, Dim d) {
  if (!d.is_constant() && d.op() == Dim::Op::max) {
    add_operand(operands, d.lhs());
    add_operand(operands, d.rhs());
    return;
  }
  for (Dim& present : operands) {
    Dim difference = d - present;
    if (!difference.is_constant()) continue;
    if (difference.value_or(0) > 0) present = d;
    return;
  }
  operands.push_back(d);
}

}  // namespace

Polynomial polynomial_of(Dim d) {
  if (!d.is_constant()) return expr_of(d)->polynomial;
  std::int64_t value = d.bits();
  if (value == 0) return {};
  return {{value, {}}};
}

Polynomial sum(const Polynomial& a, const Polynomial& b) {
  Polynomial result = a;
  for (const Term& term : b) add_term(result, term);
  return result;
}

Polynomial product(const Polynomial& a, const Polynomial& b) {
  Polynomial result;
  for (const Term& x : a) {
    for (const Term& y : b) add_term(result, {checked_mul(x.coefficient, y.coefficient), multiply(x.monomial, y.monomial)});
  }
  return result;
}

Dim intern(const Polynomial& p) {
  if (p.empty()) return 0;
  if (p.size() == 1 && p[0].monomial.empty()) return p[0].coefficient;
  if (p.size() == 1 && p[0].coefficient == 1 && p[0].monomial.size() == 1) return dim_of(p[0].monomial[0]);
  return dim_of(find_or_make(text_of(p), [&](Expr& expr) { fill_tree(expr, p); }));
}

Dim intern_atom(Dim::Op op, Dim lhs, Dim rhs, const std::string& text) {
  return dim_of(find_or_make(text, [&](Expr& expr) {
    expr.op = op;
    expr.lhs = lhs;
    expr.rhs = rhs;
    expr.polynomial = {{1, {&expr}}};
  }));
}

bool is_name(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  auto rest = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '/' || c == '#'; };
  if (text.empty() || !letter(text[0]) || text == "max" || text == "floordiv") return false;
  return std::all_of(text.begin(), text.end(), rest);
}

}  // namespace dim_detail

using namespace dim_detail;

Dim Dim::symbol(std::string_view name) {
  KILN_REQUIRE(
      is_name(name), ValueError,
      "\"{}\" cannot name a length: a name starts with a letter or _, goes on with letters, digits and _ . / #, and is not max or floordiv",
      name);
  return intern_atom(Op::symbol, 0, 0, std::string(name));
}

std::string Dim::str() const { return is_constant() ? std::to_string(bits_) : expr_of(*this)->text; }

std::int64_t Dim::fail_symbolic() const {
  throw TraceError(fmt::format("the length \"{}\" is known only when the function runs: compute with it as a Dim, "
                               "or call the function without an input_signature that leaves it open",
                               str()),
                   user_location());
}

void Dim::fail_comparison(std::int64_t number) const {
  throw TraceError(fmt::format("whether the length \"{}\" is {} is known only when the function runs: call the function without an "
                               "input_signature that leaves it open",
                               str(), number),
                   user_location());
}

Dim operator+(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return checked_add(a.bits_, b.bits_);
  if (a == 0) return b;
  if (b == 0) return a;
  return intern(sum(polynomial_of(a), polynomial_of(b)));
}

Dim operator-(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return checked_add(a.bits_, -b.bits_);
  if (a == b) return 0;
  return intern(sum(polynomial_of(a), product(polynomial_of(-1), polynomial_of(b))));
}

Dim operator*(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return checked_mul(a.bits_, b.bits_);
  if (a == 1) return b;
  if (b == 1) return a;
  return intern(product(polynomial_of(a), polynomial_of(b)));
}

Dim floordiv(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return checked_floordiv(a.bits_, b.bits_);
  KILN_REQUIRE(b != 0, ShapeError, "a length is divided by zero: floordiv({}, 0)", a.str());
  if (a == 0) return 0;
  if (auto quotient = divide_exactly(polynomial_of(a), polynomial_of(b))) return intern(*quotient);
  if (b.is_constant() && b.bits_ < 0) return floordiv(Dim(0) - a, Dim(-b.bits_));
  if (!b.is_constant()) return intern_atom(Dim::Op::floordiv, a, b, fmt::format("floordiv({}, {})", a.str(), b.str()));
  // floordiv(b * whole + rest, b) == whole + floordiv(rest, b), with the coefficients of rest in [0, b).
  Polynomial whole;
  Polynomial rest;
  for (const Term& term : polynomial_of(a)) {
    std::int64_t quotient = checked_floordiv(term.coefficient, b.bits_);
    if (quotient != 0) whole.push_back({quotient, term.monomial});
    std::int64_t remainder = term.coefficient - quotient * b.bits_;
    if (remainder != 0) rest.push_back({remainder, term.monomial});
  }
  Dim inner = intern(rest);
  if (inner.is_constant()) return intern(whole) + checked_floordiv(inner.bits_, b.bits_);
  if (inner.op() == Dim::Op::floordiv && inner.rhs().is_constant()) return intern(whole) + floordiv(inner.lhs(), inner.rhs() * b);
  return intern(whole) + intern_atom(Dim::Op::floordiv, inner, b, fmt::format("floordiv({}, {})", inner.str(), b.str()));
}

Dim max(Dim a, Dim b) {
  if (a.is_constant() && b.is_constant()) return std::max(a.bits_, b.bits_);
  std::vector<Dim> operands;
  add_operand(operands, a);
  add_operand(operands, b);
  std::sort(operands.begin(), operands.end(), [](Dim x, Dim y) { return x.str() < y.str(); });
  Dim result = operands[0];
  for (std::size_t i = 1; i < operands.size(); ++i) {
    result = intern_atom(Dim::Op::max, result, operands[i], fmt::format("max({}, {})", result.str(), operands[i].str()));
  }
  return result;
}

Dim::Op Dim::op() const { return is_constant() ? Op::constant : expr_of(*this)->op; }

Dim Dim::lhs() const {
  KILN_ASSERT(!is_constant() && expr_of(*this)->op != Op::symbol, "{} has no operands", str());
  return expr_of(*this)->lhs;
}

Dim Dim::rhs() const {
  KILN_ASSERT(!is_constant() && expr_of(*this)->op != Op::symbol, "{} has no operands", str());
  return expr_of(*this)->rhs;
}

std::string_view Dim::symbol_name() const {
  KILN_ASSERT(!is_constant() && expr_of(*this)->op == Op::symbol, "{} is no symbol", str());
  return expr_of(*this)->text;
}

std::int64_t Dim::evaluate(const std::function<std::int64_t(std::string_view)>& lookup) const {
  switch (op()) {
    case Op::constant:
      return bits_;
    case Op::symbol:
      return lookup(symbol_name());
    case Op::add:
      return checked_add(lhs().evaluate(lookup), rhs().evaluate(lookup));
    case Op::mul:
      return checked_mul(lhs().evaluate(lookup), rhs().evaluate(lookup));
    case Op::floordiv:
      return checked_floordiv(lhs().evaluate(lookup), rhs().evaluate(lookup));
    case Op::max:
      break;
  }
  return std::max(lhs().evaluate(lookup), rhs().evaluate(lookup));
}

std::ostream& operator<<(std::ostream& out, Dim d) { return out << d.str(); }

}  // namespace kiln
