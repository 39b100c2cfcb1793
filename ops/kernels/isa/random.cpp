// Philox blocks side by side, one lane each, and the numbers made of their words.
#include <array>
#include <cstring>
#include <utility>

#include "ops/kernels/random.h"
#include "ops/lanes.h"
#include "ops/random.h"

namespace kiln::ops::KILN_ISA {
namespace {

constexpr int W = kVectorBytes / 4;  // blocks at a time
using Words = Lanes<std::int32_t, W>;

/// A word in the lower half of each lane; the upper halves hold anything.
constexpr int kWide = kVectorBytes / 8;
using Wide = detail::Vector<std::uint64_t, kWide>;

/// The lower halves times m, in 64 bits.
KILN_INLINE Wide product(Wide a, std::uint32_t m) {
#if defined(__AVX512BW__)
  return (Wide)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(m));
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(m));
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(m));
#else
  return (a & 0xffffffffu) * std::uint64_t{m};
#endif
}

/// philox::block for the block numbers in c[0], on streams of words.
KILN_INLINE void philox_rounds(std::uint64_t seed, std::uint64_t stream, Wide (&c)[4]) {
  c[1] = c[0] >> 32;
  c[2] = Wide{} + stream;
  c[3] = Wide{} + (stream >> 32);
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < philox::kRounds; ++round) {
    Wide p0 = product(c[0], philox::kMultiplier0), p1 = product(c[2], philox::kMultiplier1);
    c[0] = (p1 >> 32) ^ c[1] ^ (Wide{} + k0);
    c[1] = p1;
    c[2] = (p0 >> 32) ^ c[3] ^ (Wide{} + k1);
    c[3] = p0;
    k0 += philox::kWeyl0;
    k1 += philox::kWeyl1;
  }
}

/// Word j of W neighbouring blocks is the result's element j.
KILN_INLINE std::array<Words, 4> philox_blocks(std::uint64_t seed, std::uint64_t stream, std::uint64_t first) {
  Wide even[4], odd[4];  // blocks of even and of odd number
  for (int lane = 0; lane < kWide; ++lane) even[0][lane] = first + static_cast<std::uint64_t>(2 * lane);
  odd[0] = even[0] + 1;
  philox_rounds(seed, stream, even);
  philox_rounds(seed, stream, odd);
  std::array<Words, 4> words;
  for (std::size_t j = 0; j < 4; ++j) words[j].v[0] = detail::reinterpret<Words::Native>((even[j] & 0xffffffffu) | (odd[j] << 32));
  return words;
}

/// a0 b0 a1 b1 ...: the first half of it, and the second.
template <class V, int... I>
KILN_INLINE std::pair<V, V> zip(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int n = static_cast<int>(sizeof...(I));
  return {__builtin_shufflevector(a, b, (I / 2 + I % 2 * n)...), __builtin_shufflevector(a, b, (n / 2 + I / 2 + I % 2 * n)...)};
}

/// From one number of each block to the order of elements.
template <class S>
KILN_INLINE std::array<S, 4> in_order(const std::array<S, 4>& x) {
  using Every = std::make_integer_sequence<int, S::kPart>;
  std::array<S, 4> result;
  auto place = [&](int vector) -> auto& { return result[static_cast<std::size_t>(vector / S::kChunks)].v[vector % S::kChunks]; };
  for (int chunk = 0; chunk < S::kChunks; ++chunk) {
    auto even = zip(x[0].v[chunk], x[2].v[chunk], Every{}), odd = zip(x[1].v[chunk], x[3].v[chunk], Every{});
    auto low = zip(even.first, odd.first, Every{}), high = zip(even.second, odd.second, Every{});
    place(4 * chunk) = low.first;
    place(4 * chunk + 1) = low.second;
    place(4 * chunk + 2) = high.first;
    place(4 * chunk + 3) = high.second;
  }
  return result;
}

/// Elements [begin, end) of a stream, where make(words of W blocks) are the numbers of those blocks.
template <class T, class Make>
KILN_INLINE void fill(std::uint64_t seed, std::uint64_t stream, std::int64_t begin, std::int64_t end, T* to, Make make) {
  for (std::int64_t first = begin & ~std::int64_t{3}; first < end; first += 4 * W) {
    auto values = in_order(make(philox_blocks(seed, stream, static_cast<std::uint64_t>(first / 4))));
    bool whole = first >= begin && first + 4 * W <= end;
    T edge[4 * W];
    T* at = whole ? to + (first - begin) : edge;
    for (int i = 0; i < 4; ++i) store<true>(at + W * i, values[static_cast<std::size_t>(i)], W);
    if (whole) continue;
    std::int64_t from = first < begin ? begin : first, until = first + 4 * W < end ? first + 4 * W : end;
    std::memcpy(to + (from - begin), edge + (from - first), static_cast<std::size_t>(until - from) * sizeof(T));
  }
}

/// C: what is computed with; T: what is stored; a uniform number keeps `bits` of its word.
template <class C, class T>
void numbers(RandomKind kind, std::uint64_t seed, std::uint64_t stream, std::int64_t begin, std::int64_t end, int bits, T* to) {
  using S = Lanes<C, W>;
  if (kind == RandomKind::normal) {
    fill(seed, stream, begin, end, to, [](const std::array<Words, 4>& w) {
      std::array<S, 2> low = philox::normal_pair<S>(w[0], w[1]), high = philox::normal_pair<S>(w[2], w[3]);
      return std::array<S, 4>{low[0], low[1], high[0], high[1]};
    });
  } else {
    fill(seed, stream, begin, end, to, [bits](const std::array<Words, 4>& w) {
      return std::array<S, 4>{philox::uniform<S>(w[0], bits), philox::uniform<S>(w[1], bits), philox::uniform<S>(w[2], bits),
                              philox::uniform<S>(w[3], bits)};
    });
  }
}

}  // namespace

void random_elements(RandomKind kind, DType dtype, std::uint64_t seed, std::uint64_t stream, std::int64_t begin, std::int64_t end,
                     void* to) {
  if (kind == RandomKind::bits)
    return fill(seed, stream, begin, end, static_cast<std::int32_t*>(to), [](const std::array<Words, 4>& w) { return w; });
  bool uniform = kind == RandomKind::uniform;
  switch (dtype) {
    case DType::float16:
      return numbers<float>(kind, seed, stream, begin, end, philox::kUniformBitsFloat16, static_cast<kiln::float16*>(to));
    case DType::bfloat16:
      return numbers<float>(kind, seed, stream, begin, end, philox::kUniformBitsBfloat16, static_cast<kiln::bfloat16*>(to));
    case DType::float64:
      return numbers<double>(kind, seed, stream, begin, end, philox::kUniformBits<double>, static_cast<double*>(to));
    default:
      return numbers<float>(kind, seed, stream, begin, end, uniform ? philox::kUniformBits<float> : 0, static_cast<float*>(to));
  }
}

}  // namespace kiln::ops::KILN_ISA
