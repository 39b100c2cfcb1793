// Parses the rules and answers their side conditions.
#include "passes/rules.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "base/require.h"

namespace kiln::passes {
namespace {

/// term = name | name "(" term ("," term)* ")" | number
class RuleParser {
 public:
  explicit RuleParser(std::string_view text) : text_(text) {}

  Term parse() {
    Term term = parse_term();
    KILN_ASSERT(at_ == text_.size(), "rule \"{}\": text after the end", text_);
    return term;
  }

 private:
  static bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'; }

  Term parse_term() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    KILN_ASSERT(!word.empty(), "rule \"{}\": a name or number is missing at {}", text_, begin);
    if (take('(')) return parse_apply(word);
    return parse_leaf(word);
  }

  Term parse_apply(std::string_view name) {
    Term term;
    term.kind = Term::Kind::apply;
    term.op = &ops::op(name);
    do {
      while (take(' ')) {
      }
      term.operands.push_back(parse_term());
    } while (take(','));
    KILN_ASSERT(take(')'), "rule \"{}\": ) is missing at {}", text_, at_);
    return term;
  }

  Term parse_leaf(std::string_view word) {
    Term term;
    constexpr std::string_view variables = "xyz";
    constexpr std::string_view constants = "cd";
    if (word.size() == 1 && variables.find(word[0]) != std::string_view::npos) {
      term.index = static_cast<int>(variables.find(word[0]));
    } else if (word.size() == 1 && constants.find(word[0]) != std::string_view::npos) {
      term.kind = Term::Kind::constant;
      term.index = static_cast<int>(constants.find(word[0]));
    } else if (word == "true" || word == "false") {
      term.kind = Term::Kind::boolean;
      term.number = word == "true" ? 1 : 0;
    } else {
      term.kind = Term::Kind::number;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), term.number);
      KILN_ASSERT(error == std::errc() && end == word.data() + word.size(), "rule \"{}\": what is {}?", text_, word);
    }
    return term;
  }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

double smallest_normal(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return 0x1p-14;
    case DType::float64:
      return std::numeric_limits<double>::min();
    default:
      return 0x1p-126;
  }
}

double largest(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return 65504;
    case DType::bfloat16:
      return 0x1.fep127;
    case DType::float64:
      return std::numeric_limits<double>::max();
    default:
      return std::numeric_limits<float>::max();
  }
}

bool is_normal(double value, DType dtype) { return std::abs(value) >= smallest_normal(dtype) && std::abs(value) <= largest(dtype); }

}  // namespace

ParsedRule parse_rule(const Rule& rule) { return {&rule, RuleParser(rule.pattern).parse(), RuleParser(rule.replacement).parse()}; }

std::span<const ParsedRule> parsed_rules() {
  static const std::vector<ParsedRule> rules = [] {
    std::vector<ParsedRule> parsed;
    for (const Rule& rule : kRules) parsed.push_back(parse_rule(rule));
    return parsed;
  }();
  return rules;
}

RuleTag allowed_tag(Numerics numerics) {
  switch (numerics) {
    case Numerics::strict:
      return RuleTag::exact;
    case Numerics::standard:
      return RuleTag::rounding;
    case Numerics::fast:
      break;
  }
  return RuleTag::finite_only;
}

bool allows(RuleTypes types, DType dtype) {
  switch (types) {
    case RuleTypes::any:
      return true;
    case RuleTypes::floating:
      return is_floating(dtype);
    case RuleTypes::integral:
      return is_integer(dtype);
    case RuleTypes::boolean:
      break;
  }
  return dtype == DType::boolean;
}

bool holds(RuleCondition condition, double c, DType dtype) {
  int exponent = 0;
  switch (condition) {
    case RuleCondition::none:
      return true;
    case RuleCondition::exact_reciprocal:
      return is_normal(c, dtype) && is_normal(1 / c, dtype) && std::abs(std::frexp(c, &exponent)) == 0.5;
    case RuleCondition::normal_reciprocal:
      break;
  }
  return is_normal(c, dtype) && is_normal(1 / c, dtype);
}

}  // namespace kiln::passes
