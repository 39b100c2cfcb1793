// Prints tensors exactly as NumPy 2.4 prints arrays (numpy/_core/arrayprint.py: precision 8, threshold 1000, three edge items, 75 columns).
#include <fmt/format.h>
#include <kiln/tensor.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "base/half.h"
#include "frontend/access.h"

namespace kiln {

namespace {

constexpr int kPrecision = 8;
constexpr std::int64_t kThreshold = 1000, kEdge = 3;
constexpr std::size_t kLineWidth = 75;

/// From this magnitude on, numbers print with an exponent: 10 to the number of decimal digits that T surely holds.
template <class T>
constexpr double kExponentFrom = std::same_as<T, double>  ? 1e16
                                 : std::same_as<T, float> ? 1e6
                                                          : 1e3;

/// Digits of a finite number: 0.d1 d2 d3 ... without sign, times 10^point.
struct Decimal {
  bool negative = false;
  std::string digits;
  int point = 0;
};

Decimal parse_scientific(const char* begin, const char* end) {
  Decimal d;
  const char* p = begin;
  if (*p == '-') d.negative = true, ++p;
  int exponent = 0;
  for (; p != end && *p != 'e'; ++p) {
    if (*p != '.') d.digits += *p;
  }
  if (p != end) std::from_chars(p[1] == '+' ? p + 2 : p + 1, end, exponent);
  while (d.digits.size() > 1 && d.digits.back() == '0') d.digits.pop_back();
  d.point = exponent + 1;
  return d;
}

template <class T>
double widen(T x) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<double>(x);
  else
    return to_double(x);
}

/// The fewest digits that read back as x.
template <class T>
Decimal shortest(T x) {
  char buffer[64];
  if constexpr (std::floating_point<T>) {
    auto end = std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::scientific);
    return parse_scientific(buffer, end.ptr);
  } else {
    for (int precision = 0;; ++precision) {
      auto end = std::to_chars(buffer, buffer + sizeof buffer, widen(x), std::chars_format::scientific, precision);
      double back = 0;
      std::from_chars(buffer, end.ptr, back);
      T again;
      if constexpr (std::same_as<T, float16>)
        again = to_float16(back);
      else
        again = to_bfloat16(back);
      if (again == x || precision == 16) return parse_scientific(buffer, end.ptr);
    }
  }
}

/// At most `fraction` digits after the decimal point, of the exact value where the shortest has more.
template <class T>
std::string positional(T x, int fraction) {
  Decimal d = shortest(x);
  std::string text;
  if (static_cast<int>(d.digits.size()) - d.point > fraction) {
    char buffer[512];
    auto end = std::to_chars(buffer, buffer + sizeof buffer, widen(x), std::chars_format::fixed, fraction);
    text.assign(buffer, end.ptr);
    while (text.back() == '0') text.pop_back();
    return text;
  }
  if (d.negative) text += '-';
  int whole = std::max(d.point, 0);
  for (int i = 0; i < whole; ++i) text += i < static_cast<int>(d.digits.size()) ? d.digits[static_cast<std::size_t>(i)] : '0';
  if (whole == 0) text += '0';
  text += '.';
  for (int i = d.point; i < 0; ++i) text += '0';
  if (d.point < static_cast<int>(d.digits.size())) text += d.digits.substr(static_cast<std::size_t>(whole));
  while (text.back() == '0') text.pop_back();
  return text;
}

struct Scientific {
  std::string whole, fraction, exponent;  ///< "-1", "25", "+05"
};

template <class T>
Scientific scientific(T x, int fraction) {
  Decimal d = shortest(x);
  if (static_cast<int>(d.digits.size()) - 1 > fraction) {
    char buffer[64];
    auto end = std::to_chars(buffer, buffer + sizeof buffer, widen(x), std::chars_format::scientific, fraction);
    d = parse_scientific(buffer, end.ptr);
  }
  int exponent = d.digits == "0" ? 0 : d.point - 1;
  return {fmt::format("{}{}", d.negative ? "-" : "", d.digits[0]), d.digits.substr(1),
          fmt::format("{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent))};
}

std::string left_pad(const std::string& text, std::size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

/// Formats the numbers of one array alike, as NumPy's FloatingFormat.
template <class T>
class FloatFormat {
 public:
  explicit FloatFormat(const std::vector<T>& data) {
    std::vector<T> finite;
    double low = INFINITY, high = 0;
    bool negative_infinity = false;
    for (T x : data) {
      double wide = widen(x);
      if (!std::isfinite(wide)) {
        negative_infinity |= wide < 0;
        continue;
      }
      finite.push_back(x);
      if (wide == 0) continue;
      low = std::min(low, std::fabs(wide));
      high = std::max(high, std::fabs(wide));
    }
    exponential_ = high > 0 && (high >= std::min(1e8, kExponentFrom<T>) || low < smallest_positional() || ratio(high, low) > 1000);
    if (!finite.empty()) measure(finite);
    if (finite.size() != data.size()) {
      int offset = static_cast<int>(right_) + 1;
      left_ = static_cast<std::size_t>(std::max({static_cast<int>(left_), 3 - offset, 3 + negative_infinity - offset}));
    }
  }

  std::string operator()(T x) const {
    double wide = widen(x);
    if (!std::isfinite(wide)) return left_pad(wide != wide ? "nan" : wide < 0 ? "-inf" : "inf", left_ + right_ + 1);
    if (exponential_) {
      // Digits beyond the shortest are those of the exact value, as NumPy's min_digits has it.
      char buffer[64];
      auto end = std::to_chars(buffer, buffer + sizeof buffer, wide, std::chars_format::scientific, fraction_);
      std::string text(buffer, end.ptr);
      if (fraction_ == 0) text.insert(text.find('e'), 1, '.');
      std::size_t digits = text.size() - text.find('e') - 1;
      if (digits < exponent_) text.insert(text.find('e') + 2, exponent_ - digits, '0');
      return left_pad(text, left_ + 1 + right_);
    }
    std::string text = positional(x, kPrecision);
    std::size_t point = text.find('.');
    text = std::string(left_ > point ? left_ - point : 0, ' ') + text;
    text.resize(std::max(text.size(), left_ + 1 + right_), ' ');
    return text;
  }

 private:
  /// 1e-4 as T has it: NumPy compares in the array's own precision.
  static double smallest_positional() {
    if constexpr (std::same_as<T, float16>)
      return widen(to_float16(1e-4));
    else if constexpr (std::same_as<T, bfloat16>)
      return widen(to_bfloat16(1e-4));
    else
      return static_cast<double>(static_cast<T>(1e-4));
  }
  static double ratio(double high, double low) {
    if constexpr (std::same_as<T, double>)
      return high / low;
    else
      return static_cast<float>(high) / static_cast<float>(low);
  }
  void measure(const std::vector<T>& finite) {
    for (T x : finite) {
      if (exponential_) {
        Scientific s = scientific(x, kPrecision);
        left_ = std::max(left_, s.whole.size());
        fraction_ = std::max(fraction_, static_cast<int>(s.fraction.size()));
        exponent_ = std::max(exponent_, s.exponent.size());
      } else {
        std::string text = positional(x, kPrecision);
        std::size_t point = text.find('.');
        left_ = std::max(left_, point);
        right_ = std::max(right_, text.size() - point - 1);
      }
    }
    if (exponential_) right_ = exponent_ - 1 + 2 + static_cast<std::size_t>(fraction_);
  }

  bool exponential_ = false;
  std::size_t left_ = 0, right_ = 0, exponent_ = 0;
  int fraction_ = 0;
};

template <class T>
class IntegerFormat {
 public:
  explicit IntegerFormat(const std::vector<T>& data) {
    for (T x : data) width_ = std::max(width_, std::to_string(x).size());
  }
  std::string operator()(T x) const { return left_pad(std::to_string(x), width_); }

 private:
  std::size_t width_ = 0;
};

struct BoolFormat {
  std::string operator()(std::uint8_t x) const { return x != 0 ? " True" : "False"; }
};

/// Lays out the elements of an array in nested brackets, with "..." where it is long.
class Layout {
 public:
  Layout(const std::vector<std::int64_t>& shape, std::function<std::string(std::int64_t)> element)
      : shape_(shape), element_(std::move(element)), strides_(shape.size(), 1) {
    std::int64_t count = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
      strides_[i] = count;
      count *= shape[i];
    }
    summarize_ = count > kThreshold;
  }

  std::string text() const { return nested(0, 0, " ", kLineWidth); }

  /// Offsets of the elements that are shown, which decide the format.
  std::vector<std::int64_t> shown() const {
    std::vector<std::int64_t> offsets;
    collect(0, 0, offsets);
    return offsets;
  }

 private:
  bool cuts(std::size_t axis) const { return summarize_ && 2 * kEdge < shape_[axis]; }

  void collect(std::size_t axis, std::int64_t offset, std::vector<std::int64_t>& out) const {
    if (axis == shape_.size()) {
      out.push_back(offset);
      return;
    }
    for (std::int64_t i = 0; i < shape_[axis]; ++i) {
      if (cuts(axis) && i == kEdge) i = shape_[axis] - kEdge;
      collect(axis + 1, offset + i * strides_[axis], out);
    }
  }

  static void extend(std::string& done, std::string& line, const std::string& word, std::size_t width, const std::string& indent) {
    if (line.size() + word.size() > width && line.size() > indent.size()) {
      line.erase(line.find_last_not_of(' ') + 1);
      done += line + "\n";
      line = indent;
    }
    line += word;
  }

  std::string nested(std::size_t axis, std::int64_t offset, const std::string& indent, std::size_t width) const {
    if (axis == shape_.size()) return element_(offset);
    bool last_axis = axis + 1 == shape_.size();
    std::string done, line = indent;
    std::string separator = last_axis ? " " : std::string(shape_.size() - axis - 1, '\n');
    for (std::int64_t i = 0; i < shape_[axis]; ++i) {
      std::vector<std::string> words;
      if (cuts(axis) && i == kEdge) {
        words.push_back("...");
        i = shape_[axis] - kEdge;
      }
      words.push_back(nested(axis + 1, offset + i * strides_[axis], indent + " ", width - 1));
      for (std::size_t w = 0; w < words.size(); ++w) {
        bool final_word = i + 1 == shape_[axis] && w + 1 == words.size();
        if (last_axis) {
          extend(done, line, words[w], width - 1, indent);
          if (!final_word) line += separator;
        } else {
          done += indent + words[w] + (final_word ? "" : separator);
        }
      }
    }
    if (last_axis) done += line;
    return fmt::format("[{}]", std::string_view(done).substr(indent.size()));
  }

  std::vector<std::int64_t> shape_;
  std::function<std::string(std::int64_t)> element_;
  std::vector<std::int64_t> strides_;
  bool summarize_ = false;
};

/// A rank-0 number, as NumPy's scalars print: positional from 1e-4 on.
template <class T>
std::string scalar_text(T x) {
  if constexpr (std::same_as<T, bool>) {
    return x ? "True" : "False";
  } else if constexpr (std::integral<T>) {
    return std::to_string(x);
  } else {
    double wide = widen(x);
    if (wide != wide) return "nan";
    if (std::isinf(wide)) return wide < 0 ? "-inf" : "inf";
    if (wide != 0 && (std::fabs(wide) < 1e-4 || std::fabs(wide) >= kExponentFrom<T>)) {
      Scientific s = scientific(x, 32);
      return s.whole + (s.fraction.empty() ? "" : "." + s.fraction) + "e" + s.exponent;
    }
    std::string text = positional(x, 32);
    return text.back() == '.' ? text + "0" : text;
  }
}

template <class T>
std::string array_text(const void* data, const std::vector<std::int64_t>& shape) {
  const T* elements = static_cast<const T*>(data);
  std::vector<T> shown;
  for (std::int64_t at : Layout(shape, {}).shown()) shown.push_back(elements[at]);
  auto with = [&](auto format) { return Layout(shape, [&](std::int64_t at) { return format(elements[at]); }).text(); };
  if constexpr (std::integral<T>)
    return with(IntegerFormat<T>(shown));
  else
    return with(FloatFormat<T>(shown));
}

}  // namespace

std::string Tensor::str() const {
  if (impl_ == nullptr) return "<undefined tensor>";
  graph::Value v = detail::Access::value(*this);
  if (v.symbolic()) return fmt::format("<symbolic {} from {}:{}>", v.type().str(), impl_->loc.file, impl_->loc.line);
  runtime::Buffer buffer = v.buffer();
  std::vector<std::int64_t> shape = v.shape().sizes();
  if (shape.empty()) {
    return visit_dtype(v.dtype(), [&]<class T>(std::type_identity<T>) { return scalar_text(*static_cast<const T*>(buffer.data())); });
  }
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return "[]";
  if (v.dtype() == DType::boolean) {
    const auto* elements = static_cast<const std::uint8_t*>(buffer.data());
    return Layout(shape, [&](std::int64_t at) { return BoolFormat()(elements[at]); }).text();
  }
  return visit_dtype(v.dtype(), [&]<class T>(std::type_identity<T>) { return array_text<T>(buffer.data(), shape); });
}

std::ostream& operator<<(std::ostream& out, const Tensor& t) { return out << t.str(); }

}  // namespace kiln
