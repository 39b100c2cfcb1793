// MurmurHash3 x64 128, from its published description.
#include "base/hash.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

namespace kiln {
namespace {

constexpr std::uint64_t kFactor1 = 0x87c37b91114253d5u;
constexpr std::uint64_t kFactor2 = 0x4cf5ad432745937fu;

std::uint64_t scramble_low(std::uint64_t k) { return std::rotl(k * kFactor1, 31) * kFactor2; }
std::uint64_t scramble_high(std::uint64_t k) { return std::rotl(k * kFactor2, 33) * kFactor1; }

std::uint64_t finish(std::uint64_t k) {
  k ^= k >> 33;
  k *= 0xff51afd7ed558ccdu;
  k ^= k >> 33;
  k *= 0xc4ceb9fe1a85ec53u;
  return k ^ k >> 33;
}

/// Up to eight bytes, the rest zero.
std::uint64_t load(const char* at, std::size_t count) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, count);
  return word;
}

}  // namespace

std::string Hash128::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Hash128 hash128(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t low = seed;
  std::uint64_t high = seed;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 16; at += 16, left -= 16) {
    low ^= scramble_low(load(at, 8));
    low = (std::rotl(low, 27) + high) * 5 + 0x52dce729;
    high ^= scramble_high(load(at + 8, 8));
    high = (std::rotl(high, 31) + low) * 5 + 0x38495ab5;
  }
  if (left > 8) high ^= scramble_high(load(at + 8, left - 8));
  if (left > 0) low ^= scramble_low(load(at, left < 8 ? left : 8));
  low ^= bytes.size();
  high ^= bytes.size();
  low += high;
  high += low;
  low = finish(low);
  high = finish(high);
  low += high;
  high += low;
  return {low, high};
}

}  // namespace kiln
