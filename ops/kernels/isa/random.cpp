// Philox blocks side by side, one lane each, and the numbers made of their words.
#include "ops/kernels/random.h"

#include <cstring>
#include <type_traits>

#include "base/half.h"
#include "ops/lanes.h"
#include "ops/random.h"

namespace kiln::ops::KILN_ISA {
namespace {

constexpr int W = 16;
using Words = Lanes<std::int32_t, W>;

/// The words of W neighbouring blocks: words[j][lane] is word j of block first + lane.
void philox_blocks(std::uint64_t seed, std::uint64_t stream, std::uint64_t first, std::uint32_t words[4][W]) {
  for (int lane = 0; lane < W; ++lane) {
    std::uint64_t index = first + static_cast<std::uint64_t>(lane);
    words[0][lane] = static_cast<std::uint32_t>(index);
    words[1][lane] = static_cast<std::uint32_t>(index >> 32);
    words[2][lane] = static_cast<std::uint32_t>(stream);
    words[3][lane] = static_cast<std::uint32_t>(stream >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < philox::kRounds; ++round) {
    for (int lane = 0; lane < W; ++lane) {
      std::uint64_t p0 = std::uint64_t{philox::kMultiplier0} * words[0][lane], p1 = std::uint64_t{philox::kMultiplier1} * words[2][lane];
      words[0][lane] = static_cast<std::uint32_t>(p1 >> 32) ^ words[1][lane] ^ k0;
      words[1][lane] = static_cast<std::uint32_t>(p1);
      words[2][lane] = static_cast<std::uint32_t>(p0 >> 32) ^ words[3][lane] ^ k1;
      words[3][lane] = static_cast<std::uint32_t>(p0);
    }
    k0 += philox::kWeyl0;
    k1 += philox::kWeyl1;
  }
}

Words words_of(const std::uint32_t* words) { return load<W, true>(reinterpret_cast<const std::int32_t*>(words), W); }

/// C: what is computed with; T: what is stored.
template <class C, class T>
void fill_numbers(RandomKind kind, const std::uint32_t words[4][W], int bits, C (&numbers)[4][W]) {
  using S = Lanes<C, W>;
  for (int j = 0; j < 4; ++j) {
    S value;
    if (kind == RandomKind::uniform) {
      value = philox::uniform<S>(words_of(words[j]), bits);
    } else {
      int even = j & ~1;
      value = philox::normal<S>(words_of(words[even]), words_of(words[even + 1]), vmath::mask_of<S>::constant((j & 1) != 0));
    }
    store<true>(numbers[j], value, W);
  }
}

template <class T>
T narrow(float x) {
  if constexpr (std::is_same_v<T, kiln::float16>) {
    return to_float16(x);
  } else if constexpr (std::is_same_v<T, kiln::bfloat16>) {
    return to_bfloat16(x);
  } else {
    return x;
  }
}

template <class C, class T>
void numbers(RandomKind kind, std::uint64_t seed, std::uint64_t stream, std::int64_t begin, std::int64_t end, int bits, T* to) {
  std::uint32_t words[4][W];
  alignas(64) C values[4][W];
  for (std::int64_t block = begin / 4; block * 4 < end; block += W) {
    philox_blocks(seed, stream, static_cast<std::uint64_t>(block), words);
    fill_numbers<C, T>(kind, words, bits, values);
    std::int64_t first = block * 4;
    for (std::int64_t i = first < begin ? begin : first; i < end && i < first + 4 * W; ++i) {
      C value = values[(i - first) % 4][(i - first) / 4];
      if constexpr (std::is_same_v<C, T>) {
        to[i - begin] = value;
      } else {
        to[i - begin] = narrow<T>(value);
      }
    }
  }
}

}  // namespace

void random_elements(RandomKind kind, DType dtype, std::uint64_t seed, std::uint64_t stream, std::int64_t begin, std::int64_t end,
                     void* to) {
  if (kind == RandomKind::bits) {
    auto* out = static_cast<std::uint32_t*>(to);
    std::uint32_t words[4][W];
    for (std::int64_t block = begin / 4; block * 4 < end; block += W) {
      philox_blocks(seed, stream, static_cast<std::uint64_t>(block), words);
      std::int64_t first = block * 4;
      for (std::int64_t i = first < begin ? begin : first; i < end && i < first + 4 * W; ++i)
        out[i - begin] = words[(i - first) % 4][(i - first) / 4];
    }
    return;
  }
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
