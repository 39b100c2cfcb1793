// Random numbers, fixed to the bit: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11) and what is made of
// its words. Element i of stream s under a seed: word i % 4 of the block with key = seed and counter = (i / 4, s), all 64-bit values
// little-endian in 32-bit words.
#pragma once
#include <array>
#include <cstdint>
#include <numbers>

#include "ops/vmath.h"

namespace kiln::ops::philox {

inline constexpr std::uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
inline constexpr std::uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
inline constexpr int kRounds = 10;

using Block = std::array<std::uint32_t, 4>;

/// The four words of one block.
constexpr Block block(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  Block c = {low(index), high(index), low(stream), high(stream)};
  std::uint32_t k0 = low(seed), k1 = high(seed);
  for (int round = 0; round < kRounds; ++round) {
    std::uint64_t p0 = std::uint64_t{kMultiplier0} * c[0], p1 = std::uint64_t{kMultiplier1} * c[2];
    c = {high(p1) ^ c[1] ^ k0, low(p1), high(p0) ^ c[3] ^ k1, low(p0)};
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return c;
}

/// float16 and bfloat16 normals are computed in float and rounded once.
/// Bits of a word that a uniform number of that type keeps: all values are exact and below 1.
template <class T>
inline constexpr int kUniformBits = sizeof(T) == 8 ? 32 : 24;
inline constexpr int kUniformBitsFloat16 = 11;
inline constexpr int kUniformBitsBfloat16 = 8;

/// The `bits` highest bits of a word as a number in [0, 1). S: float or double lanes; W: the word, as int32 lanes.
template <class S, class W>
S uniform(W word, int bits) {
  using T = vmath::scalar_of<S>;
  if (bits < 32) return word.shr(32 - bits).template to<T>() * S::constant(T(1) / static_cast<T>(std::int64_t{1} << bits));
  S low = (word & W::constant(0xffff)).template to<T>() * S::constant(static_cast<T>(0x1p-32));
  return word.shr(16).template to<T>() * S::constant(static_cast<T>(0x1p-16)) + low;
}

/// Coefficients, in x^2, of sin(2 pi x) / x and of (cos(2 pi x) - 1) / x^2 for an eighth of a turn to either side.
template <class T>
struct TurnSeries;
/// Minimax fits by Sollya.
template <>
struct TurnSeries<float> {
  static constexpr double kSine[] = {0x1.921fb6p2, -0x1.4abbecp5, 0x1.466b2p6, -0x1.2f598ap6};
  static constexpr double kCosine[] = {-0x1.3bd3ccp4, 0x1.03c1b6p6, -0x1.55b684p6, 0x1.d61e2cp5};
};
/// Taylor's series: what is left off is below a tenth of an ulp.
template <>
struct TurnSeries<double> {
  static constexpr double kSine[] = {0x1.921fb54442d18p+2, -0x1.4abbce625be53p+5, 0x1.466bc6775aae2p+6, -0x1.32d2cce62bd86p+6,
                                     0x1.50783487ee782p+5, -0x1.e3074fde8871fp+3, 0x1.e8f434d018d63p+1, -0x1.6fadb9f155744p-1};
  static constexpr double kCosine[] = {-0x1.3bd3cc9be45dep+4, 0x1.03c1f081b5ac4p+6, -0x1.55d3c7e3cbffap+6, 0x1.e1f506891babbp+5,
                                       -0x1.a6d1f2a204a8cp+4, 0x1.f9d38a3763cc3p+2, -0x1.b6e24f44b128fp+0, 0x1.20c62c2f2d7f5p-2};
};

/// An angle's place on the circle: the nearest quarter of a turn, and the sine and cosine of what is left of it.
template <class S>
struct Place {
  S quarter, sine, cosine;
};

/// 0 <= turns < 1.
template <class S>
Place<S> place_of_turns(S turns) {
  using vmath::constant;
  using Series = TurnSeries<vmath::scalar_of<S>>;
  S quarter = vmath::round_even(turns * constant<S>(4));
  S x = turns - quarter * constant<S>(0.25);
  S square = x * x;
  return {quarter, x * vmath::polynomial(square, Series::kSine),
          vmath::fma(square, vmath::polynomial(square, Series::kCosine), constant<S>(1))};
}

/// The sine of the angle there where is_sine, else its cosine.
template <class S, class M>
S sine_at(const Place<S>& place, M is_sine) {
  using vmath::constant;
  // A cosine is the sine a quarter turn later.
  S half_place = (place.quarter + vmath::select(is_sine, constant<S>(0), constant<S>(1))) * constant<S>(0.5);
  S half = vmath::floor(half_place);
  S value = vmath::select(half == half_place, place.sine, place.cosine);
  return vmath::select(half == constant<S>(1), vmath::negate(value), value);
}

/// The distance from the origin of a pair of normals, of their even word.
template <class S, class W>
S normal_radius(W even) {
  using T = vmath::scalar_of<S>;
  return vmath::sqrt(S::constant(T(-2)) * vmath::log(S::constant(T(1)) - uniform<S>(even, kUniformBits<T>)));
}

/// Box and Muller: of a pair of words (even, odd place in the block), the even element is the cosine branch, the odd one the sine branch.
template <class S, class W, class M>
S normal(W even, W odd, M is_odd) {
  return normal_radius<S>(even) * sine_at(place_of_turns(uniform<S>(odd, kUniformBits<vmath::scalar_of<S>>)), is_odd);
}

/// Both normals of a pair of words, to the bits of normal().
template <class S, class W>
std::array<S, 2> normal_pair(W even, W odd) {
  using M = vmath::mask_of<S>;
  S radius = normal_radius<S>(even);
  Place<S> place = place_of_turns(uniform<S>(odd, kUniformBits<vmath::scalar_of<S>>));
  return {radius * sine_at(place, M::constant(false)), radius * sine_at(place, M::constant(true))};
}

}  // namespace kiln::ops::philox
