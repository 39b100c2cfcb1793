// Dim::parse: reads what Dim::str() writes. The input may come from a file, so nothing about it is trusted.
#include <kiln/dim.h>

#include <cctype>
#include <charconv>

#include "base/dim_expr.h"
#include "base/require.h"

namespace kiln {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  Dim parse() {
    Dim d = sum(0);
    skip_spaces();
    if (!rest_.empty()) fail();
    return d;
  }

 private:
  [[noreturn]] void fail() const { throw ValueError(fmt::format("\"{}\" is not a length", text_), user_location()); }

  void skip_spaces() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }

  bool take(char c) {
    skip_spaces();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail();
  }

  Dim sum(int depth) {
    if (depth > 64) fail();
    Dim d = product(depth);
    while (true) {
      if (take('+')) {
        d = d + product(depth);
      } else if (take('-')) {
        d = d - product(depth);
      } else {
        return d;
      }
    }
  }

  Dim product(int depth) {
    Dim d = factor(depth);
    while (take('*')) d = d * factor(depth);
    return d;
  }

  Dim factor(int depth) {
    if (take('(')) {
      Dim d = sum(depth + 1);
      expect(')');
      return d;
    }
    skip_spaces();
    if (!rest_.empty() && (rest_.front() == '-' || std::isdigit(static_cast<unsigned char>(rest_.front())) != 0)) return number();
    std::string_view word = take_word();
    if (word == "floordiv") {
      auto [a, b] = pair(depth);
      return floordiv(a, b);
    }
    if (word == "max") {
      auto [a, b] = pair(depth);
      return max(a, b);
    }
    if (!dim_detail::is_name(word)) fail();
    return Dim::symbol(word);
  }

  std::pair<Dim, Dim> pair(int depth) {
    expect('(');
    Dim a = sum(depth + 1);
    expect(',');
    Dim b = sum(depth + 1);
    expect(')');
    return {a, b};
  }

  Dim number() {
    std::int64_t value = 0;
    auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || value < -dim_detail::kLargest || value > dim_detail::kLargest) fail();
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

  std::string_view take_word() {
    std::size_t end = rest_.find_first_of(" +-*(),");
    std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(word.size());
    return word;
  }

  std::string_view text_;
  std::string_view rest_;
};

}  // namespace

Dim Dim::parse(std::string_view text) { return Parser(text).parse(); }

}  // namespace kiln
