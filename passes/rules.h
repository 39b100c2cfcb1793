// The rewrite rules of elementwise ops, as data. tests/compiler/passes_rules.cpp proves every one for its tag on the eager kernels.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/numerics.h"
#include "ops/op.h"

namespace kiln::passes {

/// What a rule may change. In this order: a numerics mode allows a tag and all tags before it.
enum class RuleTag : std::uint8_t {
  exact,        ///< the same bits for every input, infinities and signed zeros included (any NaN equals any NaN)
  rounding,     ///< another rounding of the same real function, defined for the same inputs
  finite_only,  ///< holds for finite inputs and results, and ignores the sign of zero
};

/// Element types of `x` that a rule is for.
enum class RuleTypes : std::uint8_t { any, floating, integral, boolean };

/// What the constant `c` must satisfy.
enum class RuleCondition : std::uint8_t {
  none,
  exact_reciprocal,   ///< 1/c is a number of the type: c is a power of two
  normal_reciprocal,  ///< c and 1/c are normal numbers
};

/// pattern -> replacement. x, y, z match any value, equal names equal values; c, d match constants (one number everywhere); numbers match
/// that number, 0 and -0 told apart for floats; the rest are ops of the vocabulary, commutative ones matched in either order.
struct Rule {
  RuleTag tag;
  std::string_view pattern;
  std::string_view replacement;
  RuleTypes types = RuleTypes::any;
  RuleCondition condition = RuleCondition::none;
};

using enum RuleTag;
using enum RuleTypes;
using enum RuleCondition;

inline constexpr Rule kRules[] = {
    // Identity elements. x + 0 is not here for floats: -0 + 0 is 0.
    {exact, "add(x, -0)", "x", floating},
    {exact, "add(x, 0)", "x", integral},
    {exact, "sub(x, 0)", "x"},
    {exact, "sub(-0, x)", "neg(x)", floating},
    {exact, "sub(0, x)", "neg(x)", integral},
    {exact, "mul(x, 1)", "x"},
    {exact, "mul(x, -1)", "neg(x)"},
    {exact, "mul(x, 0)", "0", integral},
    {exact, "div(x, 1)", "x"},
    {exact, "div(x, -1)", "neg(x)", floating},
    {exact, "sub(x, x)", "0", integral},
    // Signs.
    {exact, "add(x, neg(y))", "sub(x, y)"},
    {exact, "sub(x, neg(y))", "add(x, y)"},
    {exact, "mul(neg(x), neg(y))", "mul(x, y)"},
    {exact, "mul(neg(x), c)", "mul(x, neg(c))"},
    {exact, "div(neg(x), neg(y))", "div(x, y)", floating},
    {exact, "div(neg(x), c)", "div(x, neg(c))", floating},
    {exact, "abs(neg(x))", "abs(x)", floating},
    {exact, "neg(where(z, c, d))", "where(z, neg(c), neg(d))"},
    {exact, "neg(where(z, neg(x), c))", "where(z, x, neg(c))"},
    {exact, "neg(where(z, c, neg(x)))", "where(z, neg(c), x)"},
    {exact, "square(neg(x))", "square(x)"},
    {exact, "square(abs(x))", "square(x)"},
    {exact, "abs(square(x))", "square(x)", floating},
    // One name for one function, so that equal values are merged.
    {exact, "mul(x, x)", "square(x)"},
    {exact, "div(1, x)", "reciprocal(x)", floating},
    {exact, "pow(x, 0)", "1", floating},
    {exact, "not_equal(x, x)", "isnan(x)", floating},
    {exact, "maximum(maximum(x, y), y)", "maximum(x, y)"},
    {exact, "minimum(minimum(x, y), y)", "minimum(x, y)"},
    // Choices and logic.
    {exact, "where(true, x, y)", "x"},
    {exact, "where(false, x, y)", "y"},
    {exact, "where(z, x, x)", "x"},
    {exact, "where(logical_not(z), x, y)", "where(z, y, x)"},
    {exact, "where(z, where(z, x, y), y)", "where(z, x, y)"},
    {exact, "logical_and(x, true)", "x"},
    {exact, "logical_and(x, false)", "false"},
    {exact, "logical_or(x, false)", "x"},
    {exact, "logical_or(x, true)", "true"},
    {exact, "logical_xor(x, false)", "x"},
    {exact, "logical_xor(x, true)", "logical_not(x)"},
    {exact, "logical_not(equal(x, y))", "not_equal(x, y)"},
    {exact, "logical_not(not_equal(x, y))", "equal(x, y)"},
    {exact, "logical_not(less(x, y))", "greater_equal(x, y)", integral},
    {exact, "logical_not(less_equal(x, y))", "greater(x, y)", integral},
    {exact, "logical_not(greater(x, y))", "less_equal(x, y)", integral},
    {exact, "logical_not(greater_equal(x, y))", "less(x, y)", integral},
    {exact, "equal(x, x)", "true", integral},
    {exact, "not_equal(x, x)", "false", integral},
    // Cheaper ops.
    {exact, "div(x, c)", "mul(x, reciprocal(c))", floating, exact_reciprocal},
    {rounding, "div(x, c)", "mul(x, reciprocal(c))", floating, normal_reciprocal},
    {rounding, "pow(x, 1)", "x", floating},
    {rounding, "pow(x, 2)", "square(x)", floating},
    {rounding, "pow(x, 3)", "mul(square(x), x)", floating},
    {rounding, "pow(x, -1)", "reciprocal(x)", floating},
    {rounding, "reciprocal(sqrt(x))", "rsqrt(x)", floating},
    {rounding, "div(x, sqrt(y))", "mul(x, rsqrt(y))", floating},
    {rounding, "log(add(x, 1))", "log1p(x)", floating},
    {rounding, "sub(exp(x), 1)", "expm1(x)", floating},
    {rounding, "reciprocal(add(exp(neg(x)), 1))", "sigmoid(x)", floating},
    // Only where nothing is infinite or NaN.
    {finite_only, "add(x, 0)", "x", floating},
    {finite_only, "mul(x, 0)", "0", floating},
    {finite_only, "sub(x, x)", "0", floating},
    {finite_only, "pow(x, 0.5)", "sqrt(x)", floating},
    {finite_only, "log(exp(x))", "x", floating},
    {finite_only, "logical_not(less(x, y))", "greater_equal(x, y)", floating},
    {finite_only, "logical_not(greater(x, y))", "less_equal(x, y)", floating},
};

/// A rule's side, parsed.
struct Term {
  enum class Kind : std::uint8_t { variable, constant, number, boolean, apply };
  Kind kind = Kind::variable;
  int index = 0;                   ///< variable: 0 to 2 for x, y, z; constant: 0 or 1 for c, d
  double number = 0;               ///< number; boolean: 0 or 1
  const ops::OpDef* op = nullptr;  ///< apply
  std::vector<Term> operands;      ///< apply
};

struct ParsedRule {
  const Rule* rule = nullptr;
  Term pattern;
  Term replacement;
};

inline constexpr int kRuleVariables = 3;
inline constexpr int kRuleConstants = 2;

/// InternalError if the rule does not parse or names no op. The result keeps a pointer to the rule.
ParsedRule parse_rule(const Rule& rule);

/// All rules, parsed once.
std::span<const ParsedRule> parsed_rules();

/// The most permissive tag of a mode.
RuleTag allowed_tag(Numerics numerics);

/// True if values of that type may stand for x.
bool allows(RuleTypes types, DType dtype);

/// True if the number, as a value of that type, satisfies the condition.
bool holds(RuleCondition condition, double c, DType dtype);

}  // namespace kiln::passes
