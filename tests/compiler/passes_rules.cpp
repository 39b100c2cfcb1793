// Every rewrite rule, and every algebraic trait that passes rely on, holds for its tag on the eager kernels.
#include <fmt/format.h>
#include <kiln/error.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <random>

#include "base/half.h"
#include "passes/rules.h"
#include "tests/catch.h"

namespace kiln::passes {
namespace {

constexpr std::int64_t kElements = 4096;

/// Elements of one operand or result, stored as the kernels store them.
struct Column {
  DType dtype = DType::float32;
  std::vector<std::byte> bytes;
  bool scalar = false;

  ops::View view() const {
    const Shape shape = scalar ? Shape() : Shape{kElements};
    return {const_cast<std::byte*>(bytes.data()), dtype, shape};
  }
  TensorType type() const { return {dtype, view().shape}; }
};

template <class T>
void store(Column& column, std::int64_t i, T value) {
  std::memcpy(column.bytes.data() + static_cast<std::size_t>(i) * sizeof(T), &value, sizeof(T));
}

void set(Column& column, std::int64_t i, double value) {
  switch (column.dtype) {
    case DType::boolean:
      return store(column, i, static_cast<std::uint8_t>(value != 0));
    case DType::uint8:
      return store(column, i, static_cast<std::uint8_t>(static_cast<std::int64_t>(value)));
    case DType::int8:
      return store(column, i, static_cast<std::int8_t>(static_cast<std::int64_t>(value)));
    case DType::int32:
      return store(column, i, static_cast<std::int32_t>(static_cast<std::int64_t>(value)));
    case DType::int64:
      return store(column, i, static_cast<std::int64_t>(value));
    case DType::float16:
      return store(column, i, to_float16(static_cast<float>(value)));
    case DType::bfloat16:
      return store(column, i, to_bfloat16(static_cast<float>(value)));
    case DType::float32:
      return store(column, i, static_cast<float>(value));
    case DType::float64:
      return store(column, i, value);
  }
}

template <class T>
T load(const Column& column, std::int64_t i) {
  T value;
  std::memcpy(&value, column.bytes.data() + static_cast<std::size_t>(column.scalar ? 0 : i) * sizeof(T), sizeof(T));
  return value;
}

double get(const Column& column, std::int64_t i) {
  switch (column.dtype) {
    case DType::boolean:
    case DType::uint8:
      return load<std::uint8_t>(column, i);
    case DType::int8:
      return load<std::int8_t>(column, i);
    case DType::int32:
      return load<std::int32_t>(column, i);
    case DType::int64:
      return static_cast<double>(load<std::int64_t>(column, i));
    case DType::float16:
      return to_double(load<float16>(column, i));
    case DType::bfloat16:
      return to_double(load<bfloat16>(column, i));
    case DType::float32:
      return load<float>(column, i);
    case DType::float64:
      break;
  }
  return load<double>(column, i);
}

bool same_bits(const Column& a, const Column& b, std::int64_t i) {
  const std::size_t size = size_of(a.dtype);
  const std::byte* pa = a.bytes.data() + static_cast<std::size_t>(a.scalar ? 0 : i) * size;
  const std::byte* pb = b.bytes.data() + static_cast<std::size_t>(b.scalar ? 0 : i) * size;
  if (std::memcmp(pa, pb, size) == 0) return true;
  return is_floating(a.dtype) && std::isnan(get(a, i)) && std::isnan(get(b, i));
}

struct Format {
  double smallest, largest, epsilon, subnormal;
};

Format format_of(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return {0x1p-14, 65504, 0x1p-10, 0x1p-24};
    case DType::bfloat16:
      return {0x1p-126, 0x1.fep127, 0x1p-7, 0x1p-133};
    case DType::float64:
      return {0x1p-1022, std::numeric_limits<double>::max(), 0x1p-52, 0x1p-1074};
    default:
      return {0x1p-126, std::numeric_limits<float>::max(), 0x1p-23, 0x1p-149};
  }
}

std::vector<double> edge_values(DType dtype) {
  if (dtype == DType::boolean) return {0, 1};
  if (dtype == DType::uint8) return {0, 1, 2, 3, 127, 128, 254, 255};
  if (dtype == DType::int8) return {0, 1, -1, 2, -2, 3, 127, -127, -128};
  if (dtype == DType::int32) return {0, 1, -1, 2, -2, 3, 2147483647.0, -2147483648.0, 46341};
  if (dtype == DType::int64) return {0, 1, -1, 2, -2, 3, 0x1p62, -0x1p63, 0x1p32};
  const Format f = format_of(dtype);
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<double> values = {0,  1, 2, 3, 0.5, 0.1, 1.5, 10, 88, 100, f.smallest, f.largest, f.subnormal, 3 * f.subnormal, 1 + f.epsilon,
                                inf};
  const std::size_t positive = values.size();
  for (std::size_t i = 0; i < positive; ++i) values.push_back(-values[i]);
  values.push_back(std::numeric_limits<double>::quiet_NaN());
  return values;
}

/// All pairs of edge values first, then random bits; finite_only rules get moderate numbers only.
class Inputs {
 public:
  Inputs(RuleTag tag, std::uint64_t seed) : tag_(tag), random_(seed) {}

  Column variable(DType dtype, int index) {
    Column column{dtype, std::vector<std::byte>(kElements * size_of(dtype)), false};
    const std::vector<double> edges = edge_values(dtype);
    const auto n = static_cast<std::int64_t>(edges.size());
    for (std::int64_t i = 0; i < kElements; ++i) {
      if (tag_ == RuleTag::finite_only && is_floating(dtype)) {
        set(column, i, std::uniform_real_distribution<double>(-8, 8)(random_));
      } else if (i < n * n) {
        const std::int64_t digits[] = {i % n, i / n % n, (i + i / n) % n};
        set(column, i, edges[static_cast<std::size_t>(digits[index])]);
      } else {
        random_element(column, i);
      }
    }
    return column;
  }

 private:
  void random_element(Column& column, std::int64_t i) {
    const std::uint64_t bits = random_();
    if (column.dtype == DType::boolean) return set(column, i, static_cast<double>(bits & 1));
    // Half of the floats are any bits, half are numbers that programs meet.
    if (is_floating(column.dtype) && (bits & 1) != 0) return set(column, i, std::normal_distribution<double>(0, 3)(random_));
    const std::uint64_t any = random_();
    std::memcpy(column.bytes.data() + static_cast<std::size_t>(i) * size_of(column.dtype), &any, size_of(column.dtype));
  }

  RuleTag tag_;
  std::mt19937_64 random_;
};

Column scalar(DType dtype, double value) {
  Column column{dtype, std::vector<std::byte>(size_of(dtype)), true};
  set(column, 0, value);
  return column;
}

/// What a rule's names stand for.
struct Case {
  DType number_type = DType::float32;
  std::array<Column, kRuleVariables> variables;
  std::array<Column, kRuleConstants> constants;
};

Column leaf(const Term& term, const Case& c) {
  switch (term.kind) {
    case Term::Kind::variable:
      return c.variables[static_cast<std::size_t>(term.index)];
    case Term::Kind::constant:
      return c.constants[static_cast<std::size_t>(term.index)];
    case Term::Kind::boolean:
      return scalar(DType::boolean, term.number);
    default:
      return scalar(c.number_type, term.number);
  }
}

Column evaluate(const Term& term, const Case& c) {
  if (term.kind != Term::Kind::apply) return leaf(term, c);
  std::vector<Column> operands;
  std::vector<ops::View> views;
  std::vector<TensorType> types;
  for (const Term& operand : term.operands) operands.push_back(evaluate(operand, c));
  for (const Column& operand : operands) {
    views.push_back(operand.view());
    types.push_back(operand.type());
  }
  const TensorType type = term.op->infer(*term.op, types, {});
  const std::size_t count = type.shape.empty() ? 1 : kElements;
  Column result{type.dtype, std::vector<std::byte>(count * size_of(type.dtype), std::byte{0xa5}), type.shape.empty()};
  term.op->kernel(*term.op, views, result.view(), {});
  return result;
}

/// The pattern in double precision on libm, without roundings between ops.
std::vector<double> evaluate_reference(const Term& term, const Case& c, DType& dtype) {
  if (term.kind != Term::Kind::apply) {
    const Column column = leaf(term, c);
    std::vector<double> values;
    for (std::int64_t i = 0; i < kElements; ++i) values.push_back(get(column, i));
    dtype = column.dtype;
    return values;
  }
  std::vector<std::vector<double>> operands;
  std::vector<TensorType> types;
  for (const Term& operand : term.operands) {
    DType operand_type = DType::float32;
    operands.push_back(evaluate_reference(operand, c, operand_type));
    types.push_back({operand_type, Shape{kElements}});
  }
  const TensorType type = term.op->infer(*term.op, types, {});
  std::vector<double> result(kElements);
  term.op->reference(*term.op, types, operands, type, result, {});
  dtype = type.dtype;
  return result;
}

/// What double precision itself may lose inside the pattern: 1 + x forgets an x below it.
constexpr double kReferenceError = 0x1p-50;

/// Within eight units in the last place of the real value, overflow and NaN included.
bool is_rounding_of(double got, double want, DType dtype) {
  if (!is_floating(dtype)) return got == want;
  const Format f = format_of(dtype);
  if (std::isnan(want)) return std::isnan(got);
  if (std::abs(want) >= f.largest) return std::abs(got) >= f.largest * (1 - 8 * f.epsilon) && std::signbit(got) == std::signbit(want);
  if (std::isinf(got)) return std::abs(want) >= f.largest * (1 - 8 * f.epsilon);
  return std::abs(got - want) <= 8 * f.epsilon * std::abs(want) + 8 * f.subnormal + kReferenceError;
}

bool has_reference_in_double(const Case& c) { return c.number_type != DType::float64; }

std::optional<std::string> compare(const ParsedRule& rule, const Case& c) {
  const Column before = evaluate(rule.pattern, c);
  const Column after = evaluate(rule.replacement, c);
  if (before.dtype != after.dtype) return "the types differ";
  std::vector<double> reference;
  DType reference_type = before.dtype;
  if (rule.rule->tag != RuleTag::exact && has_reference_in_double(c)) reference = evaluate_reference(rule.pattern, c, reference_type);
  for (std::int64_t i = 0; i < kElements; ++i) {
    if (same_bits(before, after, i)) continue;
    const double want = reference.empty() ? get(before, i) : reference[static_cast<std::size_t>(i)];
    if (rule.rule->tag != RuleTag::exact && is_rounding_of(get(after, i), want, before.dtype)) continue;
    return fmt::format("x = {:a}, y = {:a}, z = {:a}, c = {:a}: {} gives {:a}, {} gives {:a}", get(c.variables[0], i),
                       get(c.variables[1], i), get(c.variables[2], i), get(c.constants[0], 0), rule.rule->pattern, get(before, i),
                       rule.rule->replacement, get(after, i));
  }
  return std::nullopt;
}

bool uses_constant(const Term& term) {
  if (term.kind == Term::Kind::constant) return true;
  return std::any_of(term.operands.begin(), term.operands.end(), uses_constant);
}

/// Only combinations of operand types that both sides accept.
bool accepts(const ParsedRule& rule, const Case& c) {
  try {
    evaluate(rule.pattern, c);
    evaluate(rule.replacement, c);
    return true;
  } catch (const DTypeError&) {
    return false;
  }
}

struct Verdict {
  int cases = 0;
  std::optional<std::string> counterexample;
};

void try_constants(const ParsedRule& rule, Case& c, Verdict& verdict) {
  const DType dtype = c.number_type;
  const bool has_constant = uses_constant(rule.pattern);
  for (const double value : has_constant ? edge_values(dtype) : std::vector<double>{1}) {
    const bool moderate = std::isfinite(value) && std::abs(value) < 100;
    if (has_constant && !holds(rule.rule->condition, value, dtype)) continue;
    if (rule.rule->tag == RuleTag::finite_only && !moderate) continue;
    c.constants = {scalar(dtype, value), scalar(dtype, 3)};
    if (!accepts(rule, c)) continue;
    ++verdict.cases;
    verdict.counterexample = compare(rule, c);
    if (verdict.counterexample) return;
  }
}

Verdict judge(const Rule& text, std::uint64_t seed) {
  const ParsedRule rule = parse_rule(text);
  Verdict verdict;
  for (int t = 0; t < kDTypeCount && !verdict.counterexample; ++t) {
    const auto dtype = static_cast<DType>(t);
    if (!allows(text.types, dtype)) continue;
    // y has x's type in every rule; z chooses in some.
    for (const DType z : {dtype, DType::boolean}) {
      Inputs inputs(text.tag, seed);
      Case c;
      c.number_type = dtype;
      c.variables = {inputs.variable(dtype, 0), inputs.variable(dtype, 1), inputs.variable(z, 2)};
      try_constants(rule, c, verdict);
      if (verdict.counterexample || dtype == DType::boolean) break;
    }
    if (verdict.counterexample) verdict.counterexample = fmt::format("{}: {}", name(dtype), *verdict.counterexample);
  }
  return verdict;
}

constexpr std::uint64_t kSeed = 20240607;

}  // namespace

TEST_CASE("every rule holds for its tag") {
  for (const Rule& rule : kRules) {
    INFO(rule.pattern << " -> " << rule.replacement << ", seed " << kSeed);
    const Verdict verdict = judge(rule, kSeed);
    CHECK(verdict.counterexample.value_or("holds") == "holds");
    CHECK(verdict.cases > 0);
  }
}

TEST_CASE("the prover finds the counterexample of a wrong rule") {
  constexpr Rule wrong[] = {
      {exact, "add(x, 0)", "x", floating},
      {exact, "mul(x, 0)", "0", floating},
      {exact, "sub(x, x)", "0", floating},
      {exact, "div(x, c)", "mul(x, reciprocal(c))", floating, normal_reciprocal},
      {exact, "neg(sub(x, y))", "sub(y, x)", floating},
      {exact, "logical_not(less(x, y))", "greater_equal(x, y)", floating},
      {exact, "abs(square(x))", "square(x)", integral},
      {rounding, "pow(x, 0.5)", "sqrt(x)", floating},
      {rounding, "mul(x, 0)", "0", floating},
      {finite_only, "square(x)", "abs(x)", floating},
  };
  for (const Rule& rule : wrong) {
    INFO(rule.pattern << " -> " << rule.replacement);
    CHECK(judge(rule, kSeed).counterexample.has_value());
  }
}

TEST_CASE("the traits that passes rely on hold bit for bit") {
  for (const ops::OpDef* op : ops::all_ops()) {
    if (op->kind != ops::OpKind::elementwise) continue;
    std::map<std::string, std::string> claims;
    if (op->traits.commutative) claims[fmt::format("{}(x, y)", op->name)] = fmt::format("{}(y, x)", op->name);
    if (op->traits.involution) claims[fmt::format("{0}({0}(x))", op->name)] = "x";
    if (op->traits.idempotent && op->arity == 1) claims[fmt::format("{0}({0}(x))", op->name)] = fmt::format("{}(x)", op->name);
    if (op->traits.idempotent && op->arity == 2) claims[fmt::format("{}(x, x)", op->name)] = "x";
    for (const auto& [pattern, replacement] : claims) {
      INFO(pattern << " -> " << replacement);
      const Verdict verdict = judge({exact, pattern, replacement}, kSeed);
      CHECK(verdict.counterexample.value_or("holds") == "holds");
      CHECK(verdict.cases > 0);
    }
  }
}

}  // namespace kiln::passes
