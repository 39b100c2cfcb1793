// float16 and bfloat16 against an independent rounding by search, for every half and around every boundary.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/half.h"
#include "tests/catch.h"

using kiln::bfloat16;
using kiln::float16;

namespace {

/// The value of a half from its definition.
template <int ExponentBits, int MantissaBits>
double value_of(std::uint16_t bits) {
  int exponent = (bits >> MantissaBits) & ((1 << ExponentBits) - 1);
  int mantissa = bits & ((1 << MantissaBits) - 1);
  int bias = (1 << (ExponentBits - 1)) - 1;
  double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << ExponentBits) - 1) return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - MantissaBits);
  return sign * std::ldexp((1 << MantissaBits) + mantissa, exponent - bias - MantissaBits);
}

/// Nearest half to a non-negative x, ties to the even bit pattern, by bisection over the ordered bit patterns.
template <int ExponentBits, int MantissaBits>
std::uint16_t nearest(double x) {
  auto infinity = static_cast<std::uint16_t>(((1 << ExponentBits) - 1) << MantissaBits);
  std::uint16_t low = 0, high = infinity;
  while (high - low > 1) {
    auto middle = static_cast<std::uint16_t>((low + high) / 2);
    (value_of<ExponentBits, MantissaBits>(middle) <= x ? low : high) = middle;
  }
  if (x >= value_of<ExponentBits, MantissaBits>(infinity)) return infinity;
  double below = value_of<ExponentBits, MantissaBits>(low);
  // Infinity stands one step above the largest finite number.
  double above = high == infinity ? 2 * below - value_of<ExponentBits, MantissaBits>(static_cast<std::uint16_t>(low - 1))
                                  : value_of<ExponentBits, MantissaBits>(high);
  double middle = below + (above - below) / 2;
  if (x == middle) return (low & 1) == 0 ? low : high;
  return x < middle ? low : high;
}

template <int ExponentBits, int MantissaBits, class Half>
void check_number(double x, Half from_float, Half from_double) {
  std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  auto of_double = static_cast<std::uint16_t>(sign | nearest<ExponentBits, MantissaBits>(std::fabs(x)));
  auto of_float =
      static_cast<std::uint16_t>(sign | nearest<ExponentBits, MantissaBits>(std::fabs(static_cast<double>(static_cast<float>(x)))));
  INFO("x = " << std::hexfloat << x);
  REQUIRE(from_double.bits == of_double);
  REQUIRE(from_float.bits == of_float);
}

void check_both(double x) {
  check_number<5, 10>(x, kiln::to_float16(static_cast<float>(x)), kiln::to_float16(x));
  check_number<8, 7>(x, kiln::to_bfloat16(static_cast<float>(x)), kiln::to_bfloat16(x));
}

}  // namespace

TEST_CASE("every half converts exactly, and back") {
  for (std::uint32_t i = 0; i <= 0xffff; ++i) {
    auto bits = static_cast<std::uint16_t>(i);
    double half = value_of<5, 10>(bits), brain = value_of<8, 7>(bits);
    REQUIRE((std::isnan(half) ? std::isnan(kiln::to_float(float16{bits})) : kiln::to_double(float16{bits}) == half));
    REQUIRE((std::isnan(brain) ? std::isnan(kiln::to_float(bfloat16{bits})) : kiln::to_double(bfloat16{bits}) == brain));
    if (!std::isnan(half)) REQUIRE(kiln::to_float16(kiln::to_float(float16{bits})).bits == bits);
    if (!std::isnan(brain)) REQUIRE(kiln::to_bfloat16(kiln::to_float(bfloat16{bits})).bits == bits);
  }
}

TEST_CASE("midpoints and their neighbours round to nearest even") {
  for (int i = 0; i < 0x7c00; ++i) {
    double a = value_of<5, 10>(static_cast<std::uint16_t>(i));
    double b = i + 1 == 0x7c00 ? 65536.0 : value_of<5, 10>(static_cast<std::uint16_t>(i + 1));
    double middle = a + (b - a) / 2;
    for (double x : {middle, std::nextafter(middle, 0.0), std::nextafter(middle, 1e9), -middle}) check_both(x);
  }
  for (int i = 0; i < 0x7f80; i += 3) {
    double a = value_of<8, 7>(static_cast<std::uint16_t>(i));
    double b =
        i + 1 == 0x7f80 ? 2 * a - value_of<8, 7>(static_cast<std::uint16_t>(i - 1)) : value_of<8, 7>(static_cast<std::uint16_t>(i + 1));
    double middle = a + (b - a) / 2;
    for (double x : {middle, std::nextafter(middle, 0.0), std::nextafter(middle, 1e300)}) check_both(x);
  }
}

TEST_CASE("random numbers of all magnitudes") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i)
    check_both(std::ldexp(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0, static_cast<int>(random() % 300) - 150));
  for (double x : {0.0, -0.0, 65504.0, 65519.99, 65520.0, 1e300, -1e300, 1e-300}) check_both(x);
  check_both(std::numeric_limits<double>::infinity());
}

TEST_CASE("NaN stays NaN") {
  for (std::uint32_t bits : {0x7fc00000u, 0x7f800001u, 0xff812345u, 0xffffffffu}) {
    float nan;
    std::memcpy(&nan, &bits, 4);
    CHECK(std::isnan(kiln::to_float(kiln::to_float16(nan))));
    CHECK(std::isnan(kiln::to_float(kiln::to_bfloat16(nan))));
    CHECK((kiln::to_float16(nan).bits & 0x8000) == (bits >> 16 & 0x8000));
  }
}
