// Conversions between float16 or bfloat16 and wider floats, rounded to nearest, ties to even. NaNs stay NaN, quiet, sign kept.
#pragma once
#include <kiln/dtype.h>

#include <bit>
#include <cstdint>

namespace kiln {

/// Exact.
constexpr float to_float(bfloat16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

/// Exact.
constexpr float to_float(float16 x) {
  std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  std::uint32_t magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  if (magnitude >= 0x400u) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  // Subnormal: magnitude * 2^-24 is exact in float.
  float value = static_cast<float>(magnitude) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

constexpr double to_double(float16 x) { return to_float(x); }
constexpr double to_double(bfloat16 x) { return to_float(x); }

/// Rounded once.
constexpr bfloat16 to_bfloat16(float x) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>(bits >> 16 | 0x40u)};
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return {static_cast<std::uint16_t>(bits >> 16)};
}

/// Rounded once.
constexpr float16 to_float16(float x) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu))};
  if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 lines the last float16 place up with the last float place, and the addition rounds.
    float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u))};
  }
  magnitude += 0xfffu + ((magnitude >> 13) & 1u);
  return {static_cast<std::uint16_t>(sign | (magnitude - 0x38000000u) >> 13)};
}

/// Double to float such that rounding the float once more to a half gives what rounding the double once would (round to odd).
constexpr float to_float_odd(double x) {
  auto nearest = static_cast<float>(x);
  if (static_cast<double>(nearest) == x || x != x) return nearest;
  std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
  double magnitude = x < 0 ? -x : x;
  double rounded = nearest < 0 ? -static_cast<double>(nearest) : static_cast<double>(nearest);
  if (rounded > magnitude) --bits;  // towards zero: the representation is sign and magnitude
  return std::bit_cast<float>(bits | 1u);
}

/// Rounded once.
constexpr float16 to_float16(double x) { return to_float16(to_float_odd(x)); }
constexpr bfloat16 to_bfloat16(double x) { return to_bfloat16(to_float_odd(x)); }

}  // namespace kiln
