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

/// The sine of `turns` turns, 0 <= turns < 1, where is_sine, else the cosine; float lanes.
template <class S, class M>
S sine_of_turns(S turns, M is_sine) {
  using vmath::constant;
  // Minimax fits by Sollya over an eighth of a turn, of sin(2 pi x) and cos(2 pi x) - 1.
  static constexpr double kSine[] = {0x1.921fb6p2, -0x1.4abbecp5, 0x1.466b2p6, -0x1.2f598ap6};
  static constexpr double kCosine[] = {-0x1.3bd3ccp4, 0x1.03c1b6p6, -0x1.55b684p6, 0x1.d61e2cp5};
  S quarter = vmath::round_even(turns * constant<S>(4));
  S x = turns - quarter * constant<S>(0.25);
  S square = x * x;
  S sine = x * vmath::polynomial(square, kSine);
  S cosine = vmath::fma(square, vmath::polynomial(square, kCosine), constant<S>(1));
  // A cosine is the sine a quarter turn later.
  S half_place = (quarter + vmath::select(is_sine, constant<S>(0), constant<S>(1))) * constant<S>(0.5);
  S half = vmath::floor(half_place);
  S value = vmath::select(half == half_place, sine, cosine);
  return vmath::select(half == constant<S>(1), vmath::negate(value), value);
}

/// Box and Muller: of a pair of words (even, odd place in the block), the even element is the cosine branch, the odd one the sine branch.
template <class S, class W, class M>
S normal(W even, W odd, M is_odd) {
  using T = vmath::scalar_of<S>;
  S radius = vmath::sqrt(S::constant(T(-2)) * vmath::log(S::constant(T(1)) - uniform<S>(even, kUniformBits<T>)));
  S turns = uniform<S>(odd, kUniformBits<T>);
  if constexpr (vmath::is_double<S>) {
    S angle = S::constant(2 * std::numbers::pi) * turns;
    return radius * vmath::select(is_odd, vmath::sin(angle), vmath::cos(angle));
  } else {
    return radius * sine_of_turns(turns, is_odd);
  }
}

}  // namespace kiln::ops::philox
