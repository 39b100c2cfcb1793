// Lanes<T, W>: W numbers in vector registers, the S of ops/vmath.h for eager kernels. Over GNU vector extensions.
// Everything lives in the namespace of the ISA level that the file is compiled for, so that the linker never mixes levels.
#pragma once
#include <kiln/dtype.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#ifndef KILN_ISA
#error "ops/lanes.h is for files that are built once for each ISA level (ops/kernels/isa/)"
#endif

#define KILN_INLINE [[gnu::always_inline]] inline

namespace kiln::ops::KILN_ISA {

#if defined(__AVX512BW__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

namespace detail {

template <class T, int N>
struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};
/// N values of T in one register (or less).
template <class T, int N>
using Vector = typename VectorOf<T, N>::type;

template <std::size_t Bytes>
using SignedOf =
    std::conditional_t<Bytes == 8, std::int64_t,
                       std::conditional_t<Bytes == 4, std::int32_t, std::conditional_t<Bytes == 2, std::int16_t, std::int8_t>>>;

/// Registers that W values of that size fill, at least one.
constexpr int chunks_of(int width, std::size_t bytes) {
  int total = width * static_cast<int>(bytes);
  return total <= kVectorBytes ? 1 : total / kVectorBytes;
}

/// A vector of `To` values from one of `From` values with the same bits.
template <class To, class From>
KILN_INLINE To reinterpret(From x) {
  static_assert(sizeof(To) == sizeof(From));
  return (To)x;
}

/// The two halves joined, and the lower or upper half.
template <class T, int N, int... I>
KILN_INLINE Vector<T, 2 * N> join(Vector<T, N> a, Vector<T, N> b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, I...);
}
template <class T, int N, int... I>
KILN_INLINE Vector<T, N / 2> lower(Vector<T, N> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, I...);
}
template <class T, int N, int... I>
KILN_INLINE Vector<T, N / 2> upper(Vector<T, N> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I + N / 2)...);
}

}  // namespace detail

/// W truth values, each as wide as a lane of `Bytes` bytes: all bits set for true.
template <int Bytes, int W>
struct Mask {
  static constexpr int kChunks = detail::chunks_of(W, Bytes);
  static constexpr int kPart = W / kChunks;
  using Native = detail::Vector<detail::SignedOf<Bytes>, kPart>;
  Native v[kChunks];

  KILN_INLINE static Mask constant(bool b) {
    Mask m;
    for (int i = 0; i < kChunks; ++i) m.v[i] = Native{} - static_cast<detail::SignedOf<Bytes>>(b);
    return m;
  }
  KILN_INLINE static Mask select(Mask c, Mask a, Mask b) { return (c & a) | (~c & b); }
  KILN_INLINE friend Mask operator&(Mask a, Mask b) {
    for (int i = 0; i < kChunks; ++i) a.v[i] = a.v[i] & b.v[i];
    return a;
  }
  KILN_INLINE friend Mask operator|(Mask a, Mask b) {
    for (int i = 0; i < kChunks; ++i) a.v[i] = a.v[i] | b.v[i];
    return a;
  }
  KILN_INLINE friend Mask operator^(Mask a, Mask b) {
    for (int i = 0; i < kChunks; ++i) a.v[i] = a.v[i] ^ b.v[i];
    return a;
  }
  KILN_INLINE Mask operator~() const {
    Mask m;
    for (int i = 0; i < kChunks; ++i) m.v[i] = ~v[i];
    return m;
  }
  /// True if any lane is.
  KILN_INLINE bool any() const {
    Native all = v[0];
    for (int i = 1; i < kChunks; ++i) all = all | v[i];
#if defined(__AVX512F__)
    if constexpr (sizeof(Native) == 64) return _mm512_test_epi32_mask((__m512i)all, (__m512i)all) != 0;
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(Native) == 32) return _mm256_movemask_epi8((__m256i)all) != 0;
#endif
#if defined(__SSE2__)
    if constexpr (sizeof(Native) == 16) return _mm_movemask_epi8((__m128i)all) != 0;
#endif
    for (int i = 0; i < kPart; ++i) {
      if (all[i] != 0) return true;
    }
    return false;
  }
  KILN_INLINE friend Mask operator==(Mask a, Mask b) { return ~(a ^ b); }
  KILN_INLINE friend Mask operator!=(Mask a, Mask b) { return a ^ b; }
  KILN_INLINE friend Mask operator<(Mask a, Mask b) { return ~a & b; }
  KILN_INLINE friend Mask operator<=(Mask a, Mask b) { return ~a | b; }
  KILN_INLINE friend Mask operator>(Mask a, Mask b) { return a & ~b; }
  KILN_INLINE friend Mask operator>=(Mask a, Mask b) { return a | ~b; }
};

template <class T, int W>
struct Lanes {
  using scalar = T;
  using mask = Mask<static_cast<int>(sizeof(T)), W>;
  template <class U>
  using rebind = Lanes<U, W>;
  static constexpr int kWidth = W;
  static constexpr int kChunks = detail::chunks_of(W, sizeof(T));
  static constexpr int kPart = W / kChunks;
  static constexpr bool kFloating = std::floating_point<T>;
  using Native = detail::Vector<T, kPart>;
  using Unsigned = detail::Vector<std::make_unsigned_t<detail::SignedOf<sizeof(T)>>, kPart>;
  using MaskNative = typename mask::Native;
  Native v[kChunks];

  KILN_INLINE static Lanes constant(T value) {
    Lanes x;
    for (int i = 0; i < kChunks; ++i) x.v[i] = value - Native{};  // x - 0 keeps every value, -0 included
    return x;
  }

  // Integers wrap: their arithmetic is done unsigned.
#define KILN_LANES_ARITHMETIC(op)                                                                                             \
  KILN_INLINE friend Lanes operator op(Lanes a, Lanes b) {                                                                    \
    for (int i = 0; i < kChunks; ++i) {                                                                                       \
      if constexpr (kFloating) {                                                                                              \
        a.v[i] = a.v[i] op b.v[i];                                                                                            \
      } else {                                                                                                                \
        a.v[i] = detail::reinterpret<Native>(detail::reinterpret<Unsigned>(a.v[i]) op detail::reinterpret<Unsigned>(b.v[i])); \
      }                                                                                                                       \
    }                                                                                                                         \
    return a;                                                                                                                 \
  }
  KILN_LANES_ARITHMETIC(+)
  KILN_LANES_ARITHMETIC(-)
  KILN_LANES_ARITHMETIC(*)
#undef KILN_LANES_ARITHMETIC

  KILN_INLINE friend Lanes operator/(Lanes a, Lanes b) {
    for (int i = 0; i < kChunks; ++i) a.v[i] = a.v[i] / b.v[i];
    return a;
  }

#define KILN_LANES_BITWISE(op)                                   \
  KILN_INLINE friend Lanes operator op(Lanes a, Lanes b)         \
    requires(!kFloating)                                         \
  {                                                              \
    for (int i = 0; i < kChunks; ++i) a.v[i] = a.v[i] op b.v[i]; \
    return a;                                                    \
  }
  KILN_LANES_BITWISE(&)
  KILN_LANES_BITWISE(|)
  KILN_LANES_BITWISE(^)
#undef KILN_LANES_BITWISE

#define KILN_LANES_COMPARE(op)                                                                    \
  KILN_INLINE friend mask operator op(Lanes a, Lanes b) {                                         \
    mask m;                                                                                       \
    for (int i = 0; i < kChunks; ++i) m.v[i] = detail::reinterpret<MaskNative>(a.v[i] op b.v[i]); \
    return m;                                                                                     \
  }
  KILN_LANES_COMPARE(==)
  KILN_LANES_COMPARE(!=)
  KILN_LANES_COMPARE(<)
  KILN_LANES_COMPARE(<=)
  KILN_LANES_COMPARE(>)
  KILN_LANES_COMPARE(>=)
#undef KILN_LANES_COMPARE

  KILN_INLINE static Lanes select(mask m, Lanes a, Lanes b) {
    for (int i = 0; i < kChunks; ++i) a.v[i] = m.v[i] ? a.v[i] : b.v[i];
    return a;
  }

  template <class Slow, std::size_t N>
  KILN_INLINE static std::array<Lanes, N> where_rare(mask rare, const std::array<Lanes, N>& usual, Lanes x) {
    if (!rare.any()) [[likely]]
      return usual;
    return replace<Slow>(rare, usual, x);
  }

  KILN_INLINE Lanes operator~() const
    requires(!kFloating)
  {
    Lanes x;
    for (int i = 0; i < kChunks; ++i) x.v[i] = ~v[i];
    return x;
  }
  KILN_INLINE Lanes shl(int n) const {
    Lanes x;
    for (int i = 0; i < kChunks; ++i) x.v[i] = detail::reinterpret<Native>(detail::reinterpret<Unsigned>(v[i]) << n);
    return x;
  }
  KILN_INLINE Lanes shr(int n) const {
    Lanes x;
    for (int i = 0; i < kChunks; ++i) x.v[i] = detail::reinterpret<Native>(detail::reinterpret<Unsigned>(v[i]) >> n);
    return x;
  }

  KILN_INLINE auto as_int() const { return bits<detail::SignedOf<sizeof(T)>>(); }
  KILN_INLINE auto as_float() const { return bits<std::conditional_t<sizeof(T) == 8, double, float>>(); }

  KILN_INLINE static Lanes fma(Lanes a, Lanes b, Lanes c) {
    for (int i = 0; i < kChunks; ++i) a.v[i] = fma_chunk(a.v[i], b.v[i], c.v[i]);
    return a;
  }
  KILN_INLINE Lanes sqrt() const {
    Lanes x;
    for (int i = 0; i < kChunks; ++i) x.v[i] = sqrt_chunk(v[i]);
    return x;
  }
  KILN_INLINE Lanes round_even() const {
    Lanes x;
    for (int i = 0; i < kChunks; ++i) x.v[i] = round_chunk<0>(v[i]);
    return x;
  }
  KILN_INLINE Lanes floor() const {
    Lanes x;
    for (int i = 0; i < kChunks; ++i) x.v[i] = round_chunk<1>(v[i]);
    return x;
  }

  /// Each lane converted to U.
  template <class U>
  KILN_INLINE Lanes<U, W> to() const {
    using Target = Lanes<U, W>;
    Target x;
    if constexpr (Target::kChunks == kChunks) {
      for (int i = 0; i < kChunks; ++i) x.v[i] = __builtin_convertvector(v[i], typename Target::Native);
    } else if constexpr (Target::kChunks == 2 * kChunks) {
      using Half = std::make_integer_sequence<int, kPart / 2>;
      for (int i = 0; i < kChunks; ++i) {
        x.v[2 * i] = __builtin_convertvector((detail::lower<T, kPart>(v[i], Half{})), typename Target::Native);
        x.v[2 * i + 1] = __builtin_convertvector((detail::upper<T, kPart>(v[i], Half{})), typename Target::Native);
      }
    } else {
      static_assert(2 * Target::kChunks == kChunks);
      using Narrow = detail::Vector<U, kPart>;
      using Both = std::make_integer_sequence<int, 2 * kPart>;
      for (int i = 0; i < Target::kChunks; ++i) {
        x.v[i] = detail::join<U, kPart>(__builtin_convertvector(v[2 * i], Narrow), __builtin_convertvector(v[2 * i + 1], Narrow), Both{});
      }
    }
    return x;
  }

 private:
  template <class Slow, std::size_t N>
  [[gnu::noinline, gnu::flatten]] static std::array<Lanes, N> replace(mask rare, std::array<Lanes, N> usual, Lanes x) {
    const std::array<Lanes, N> found = Slow()(x);
    for (std::size_t i = 0; i < N; ++i) usual[i] = select(rare, found[i], usual[i]);
    return usual;
  }

  template <class U>
  KILN_INLINE Lanes<U, W> bits() const {
    Lanes<U, W> x;
    for (int i = 0; i < kChunks; ++i) x.v[i] = detail::reinterpret<typename Lanes<U, W>::Native>(v[i]);
    return x;
  }

  KILN_INLINE static Native fma_chunk(Native a, Native b, Native c) {
#if defined(__AVX512F__)
    if constexpr (sizeof(Native) == 64 && sizeof(T) == 4) return (Native)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
    if constexpr (sizeof(Native) == 64 && sizeof(T) == 8) return (Native)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#endif
#if defined(__FMA__)
    if constexpr (sizeof(Native) == 32 && sizeof(T) == 4) return (Native)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    if constexpr (sizeof(Native) == 32 && sizeof(T) == 8) return (Native)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
    if constexpr (sizeof(Native) == 16 && sizeof(T) == 4) return (Native)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
    if constexpr (sizeof(Native) == 16 && sizeof(T) == 8) return (Native)_mm_fmadd_pd((__m128d)a, (__m128d)b, (__m128d)c);
#endif
    return a * b + c;
  }

  KILN_INLINE static Native sqrt_chunk(Native x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(Native) == 64 && sizeof(T) == 4) return (Native)_mm512_sqrt_ps((__m512)x);
    if constexpr (sizeof(Native) == 64 && sizeof(T) == 8) return (Native)_mm512_sqrt_pd((__m512d)x);
#endif
#if defined(__AVX__)
    if constexpr (sizeof(Native) == 32 && sizeof(T) == 4) return (Native)_mm256_sqrt_ps((__m256)x);
    if constexpr (sizeof(Native) == 32 && sizeof(T) == 8) return (Native)_mm256_sqrt_pd((__m256d)x);
#endif
#if defined(__SSE2__)
    if constexpr (sizeof(Native) == 16 && sizeof(T) == 4) return (Native)_mm_sqrt_ps((__m128)x);
    if constexpr (sizeof(Native) == 16 && sizeof(T) == 8) return (Native)_mm_sqrt_pd((__m128d)x);
#endif
    for (int i = 0; i < kPart; ++i) {
      if constexpr (sizeof(T) == 4)
        x[i] = __builtin_sqrtf(x[i]);
      else
        x[i] = __builtin_sqrt(x[i]);
    }
    return x;
  }

  /// Mode 0: nearest, ties to even; 1: down.
  template <int Mode>
  KILN_INLINE static Native round_chunk(Native x) {
    [[maybe_unused]] constexpr int kQuiet = 8;
#if defined(__AVX512F__)
    if constexpr (sizeof(Native) == 64 && sizeof(T) == 4) return (Native)_mm512_roundscale_ps((__m512)x, Mode | kQuiet);
    if constexpr (sizeof(Native) == 64 && sizeof(T) == 8) return (Native)_mm512_roundscale_pd((__m512d)x, Mode | kQuiet);
#endif
#if defined(__AVX__)
    if constexpr (sizeof(Native) == 32 && sizeof(T) == 4) return (Native)_mm256_round_ps((__m256)x, Mode | kQuiet);
    if constexpr (sizeof(Native) == 32 && sizeof(T) == 8) return (Native)_mm256_round_pd((__m256d)x, Mode | kQuiet);
    if constexpr (sizeof(Native) == 16 && sizeof(T) == 4) return (Native)_mm_round_ps((__m128)x, Mode | kQuiet);
    if constexpr (sizeof(Native) == 16 && sizeof(T) == 8) return (Native)_mm_round_pd((__m128d)x, Mode | kQuiet);
#endif
    // Adding and subtracting 2^23 (2^52) rounds; larger values are integers, NaNs and infinities stay.
    const Native limit = static_cast<T>(sizeof(T) == 4 ? 0x1p23 : 0x1p52) - Native{};
    const Unsigned sign =
        detail::reinterpret<Unsigned>(x) & (Unsigned{} + (std::make_unsigned_t<detail::SignedOf<sizeof(T)>>{1} << (8 * sizeof(T) - 1)));
    Native magnitude = detail::reinterpret<Native>(detail::reinterpret<Unsigned>(x) ^ sign);
    Native rounded = detail::reinterpret<Native>(detail::reinterpret<Unsigned>((magnitude + limit) - limit) | sign);
    if constexpr (Mode == 1) {
      Native below = rounded - (static_cast<T>(1) - Native{});
      rounded = rounded > x ? below : rounded;
    }
    return magnitude < limit ? rounded : x;
  }
};

// --- what targets have instructions for -----------------------------------------------------------------------------

// Overloads of vmath's functions of these names, with the same results. Argument-dependent lookup prefers them to its templates.
#if defined(__FMA__)
template <int W>
KILN_INLINE Lanes<double, W> product_error(Lanes<double, W> a, Lanes<double, W> b, Lanes<double, W> product) {
  for (int i = 0; i < product.kChunks; ++i) product.v[i] = -product.v[i];
  return Lanes<double, W>::fma(a, b, product);
}
#endif
#if defined(__AVX512DQ__)
namespace detail {
/// Answers of log_specials() by the kind of its argument; codegen's TargetHooks::log_specials has the same.
inline constexpr int kLogAnswers = 0x03530422;
}  // namespace detail

template <int W>
KILN_INLINE Lanes<float, W> scale(Lanes<float, W> p, Lanes<std::int32_t, W>, Lanes<float, W> n) {
  static_assert(sizeof(p.v[0]) == 64);
  for (int i = 0; i < p.kChunks; ++i) p.v[i] = (typename Lanes<float, W>::Native)_mm512_scalef_ps((__m512)p.v[i], (__m512)n.v[i]);
  return p;
}

template <int W>
KILN_INLINE Lanes<double, W> scale(Lanes<double, W> p, Lanes<std::int64_t, W>, Lanes<double, W> n) {
  static_assert(sizeof(p.v[0]) == 64);
  for (int i = 0; i < p.kChunks; ++i) p.v[i] = (typename Lanes<double, W>::Native)_mm512_scalef_pd((__m512d)p.v[i], (__m512d)n.v[i]);
  return p;
}

template <int W>
KILN_INLINE Lanes<float, W> log_specials(Lanes<float, W> x, Lanes<float, W> result) {
  static_assert(sizeof(x.v[0]) == 64);
  const __m512i table = _mm512_set1_epi32(detail::kLogAnswers);
  for (int i = 0; i < x.kChunks; ++i)
    result.v[i] = (typename Lanes<float, W>::Native)_mm512_fixupimm_ps((__m512)result.v[i], (__m512)x.v[i], table, 0);
  return result;
}

template <int W>
KILN_INLINE Lanes<double, W> log_specials(Lanes<double, W> x, Lanes<double, W> result) {
  static_assert(sizeof(x.v[0]) == 64);
  const __m512i table = _mm512_set1_epi64(detail::kLogAnswers);
  for (int i = 0; i < x.kChunks; ++i)
    result.v[i] = (typename Lanes<double, W>::Native)_mm512_fixupimm_pd((__m512d)result.v[i], (__m512d)x.v[i], table, 0);
  return result;
}
#endif

// --- two vectors as one ---------------------------------------------------------------------------------------------

template <class T, int W>
KILN_INLINE Lanes<T, 2 * W> join(Lanes<T, W> a, Lanes<T, W> b) {
  Lanes<T, 2 * W> both;
  static_assert(both.kPart == a.kPart);
  for (int i = 0; i < a.kChunks; ++i) {
    both.v[i] = a.v[i];
    both.v[a.kChunks + i] = b.v[i];
  }
  return both;
}

/// Half 0 or 1 of what join() gave.
template <class T, int W>
KILN_INLINE Lanes<T, W / 2> half(Lanes<T, W> both, int which) {
  Lanes<T, W / 2> x;
  static_assert(both.kPart == x.kPart);
  for (int i = 0; i < x.kChunks; ++i) x.v[i] = both.v[x.kChunks * which + i];
  return x;
}

// --- memory ---------------------------------------------------------------------------------------------------------

namespace detail {

/// The first `bytes` of a vector of memory, zeros after them; reads no byte beyond.
template <class V>
KILN_INLINE V load_bytes(const void* p, std::size_t bytes) {
#if defined(__AVX512BW__)
  if constexpr (sizeof(V) == 64) return (V)_mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, static_cast<unsigned>(bytes)), p);
  if constexpr (sizeof(V) == 32) return (V)_mm256_maskz_loadu_epi8(_bzhi_u32(~0u, static_cast<unsigned>(bytes)), p);
  if constexpr (sizeof(V) == 16) return (V)_mm_maskz_loadu_epi8(static_cast<__mmask16>(_bzhi_u32(~0u, static_cast<unsigned>(bytes))), p);
#endif
  V v = {};
  __builtin_memcpy(&v, p, bytes);
  return v;
}

template <class V>
KILN_INLINE void store_bytes(void* p, V v, std::size_t bytes) {
#if defined(__AVX512BW__)
  if constexpr (sizeof(V) == 64) return _mm512_mask_storeu_epi8(p, _bzhi_u64(~0ull, static_cast<unsigned>(bytes)), (__m512i)v);
  if constexpr (sizeof(V) == 32) return _mm256_mask_storeu_epi8(p, _bzhi_u32(~0u, static_cast<unsigned>(bytes)), (__m256i)v);
  if constexpr (sizeof(V) == 16)
    return _mm_mask_storeu_epi8(p, static_cast<__mmask16>(_bzhi_u32(~0u, static_cast<unsigned>(bytes))), (__m128i)v);
#endif
  __builtin_memcpy(p, &v, bytes);
}

/// Whole vectors where `full`, else the first `count` elements of T.
template <class V, bool Full, class T>
KILN_INLINE V load_part(const T* p, int count) {
  if constexpr (Full) {
    V v;
    __builtin_memcpy(&v, p, sizeof(V));
    return v;
  } else {
    return load_bytes<V>(p, static_cast<std::size_t>(count) * sizeof(T));
  }
}

template <bool Full, class V, class T>
KILN_INLINE void store_part(T* p, V v, int count) {
  if constexpr (Full) {
    __builtin_memcpy(static_cast<void*>(p), &v, sizeof(V));
  } else {
    store_bytes(p, v, static_cast<std::size_t>(count) * sizeof(T));
  }
}

/// Elements of chunk i among the first `count`.
constexpr int part_count(int count, int part, int i) {
  int rest = count - part * i;
  return rest < 0 ? 0 : rest > part ? part : rest;
}

}  // namespace detail

/// How the elements of a dtype become lanes: `Lane` is the type they compute in.
template <class T>
struct Element {
  using Lane = T;
};
template <>
struct Element<float16> {
  using Lane = float;
};
template <>
struct Element<bfloat16> {
  using Lane = float;
};

/// W lanes from memory: all of them if Full, else the first `count` (the others are zero).
template <int W, bool Full, class T>
KILN_INLINE auto load(const T* p, int count) {
  using S = Lanes<T, W>;
  S x;
  for (int i = 0; i < S::kChunks; ++i)
    x.v[i] = detail::load_part<typename S::Native, Full>(p + S::kPart * i, detail::part_count(count, S::kPart, i));
  return x;
}

template <int W, bool Full>
KILN_INLINE Lanes<float, W> load(const bfloat16* p, int count) {
  auto bits = detail::load_part<detail::Vector<std::uint16_t, W>, Full>(p, count);
  Lanes<std::int32_t, W> wide;
  wide.v[0] = (typename Lanes<std::int32_t, W>::Native) __builtin_convertvector(bits, detail::Vector<std::uint32_t, W>);
  return wide.shl(16).as_float();
}

template <int W, bool Full>
KILN_INLINE Lanes<float, W> load(const float16* p, int count) {
  auto bits = detail::load_part<detail::Vector<std::uint16_t, W>, Full>(p, count);
#if defined(__AVX512F__)
  if constexpr (W == 16) return {{(typename Lanes<float, W>::Native)_mm512_cvtph_ps((__m256i)bits)}};
#endif
#if defined(__F16C__)
  if constexpr (W == 8) return {{(typename Lanes<float, W>::Native)_mm256_cvtph_ps((__m128i)bits)}};
#endif
  using I = Lanes<std::int32_t, W>;
  I wide;
  wide.v[0] = (typename I::Native) __builtin_convertvector(bits, detail::Vector<std::uint32_t, W>);
  I magnitude = wide & I::constant(0x7fff);
  I sign = (wide & I::constant(0x8000)).shl(16);
  I normal = magnitude.shl(13) + I::constant(0x38000000);
  I special = magnitude.shl(13) | I::constant(0x7f800000);
  I subnormal = (magnitude.template to<float>() * Lanes<float, W>::constant(0x1p-24f)).as_int();
  I result = I::select(magnitude < I::constant(0x400), subnormal, I::select(magnitude < I::constant(0x7c00), normal, special));
  return (result | sign).as_float();
}

template <bool Full, class T, int W>
KILN_INLINE void store(T* p, Lanes<T, W> x, int count) {
  using S = Lanes<T, W>;
  for (int i = 0; i < S::kChunks; ++i) detail::store_part<Full>(p + S::kPart * i, x.v[i], detail::part_count(count, S::kPart, i));
}

namespace detail {

template <bool Full, class T, int W>
KILN_INLINE void store_low_halves(T* p, Lanes<std::int32_t, W> bits, int count) {
  store_part<Full>(p, __builtin_convertvector(bits.v[0], Vector<std::int16_t, W>), count);
}

}  // namespace detail

template <bool Full, int W>
KILN_INLINE void store(bfloat16* p, Lanes<float, W> x, int count) {
  using I = Lanes<std::int32_t, W>;
  I bits = x.as_int();
  I rounded = bits + I::constant(0x7fff) + (bits.shr(16) & I::constant(1));
  I nan = bits | I::constant(0x400000);
  detail::store_low_halves<Full>(p, I::select(x != x, nan, rounded).shr(16), count);
}

/// The same for numbers that bfloat16 has.
template <bool Full, int W>
KILN_INLINE void store_exact(bfloat16* p, Lanes<float, W> x, int count) {
  detail::store_low_halves<Full>(p, x.as_int().shr(16), count);
}

template <bool Full, int W>
KILN_INLINE void store(float16* p, Lanes<float, W> x, int count) {
#if defined(__AVX512F__)
  if constexpr (W == 16) return detail::store_part<Full>(p, _mm512_cvtps_ph((__m512)x.v[0], _MM_FROUND_TO_NEAREST_INT), count);
#endif
#if defined(__F16C__)
  if constexpr (W == 8) return detail::store_part<Full>(p, _mm256_cvtps_ph((__m256)x.v[0], _MM_FROUND_TO_NEAREST_INT), count);
#endif
  using I = Lanes<std::int32_t, W>;
  I bits = x.as_int();
  I magnitude = bits & I::constant(0x7fffffff);
  I sign = bits.shr(16) & I::constant(0x8000);
  I nan = I::constant(0x7e00) | (magnitude.shr(13) & I::constant(0x3ff));
  I infinite = I::constant(0x7c00);
  // Below 2^-14: adding 0.5 lines the last float16 place up with the last float place, and the addition rounds.
  I subnormal = (magnitude.as_float() + Lanes<float, W>::constant(0.5f)).as_int() - I::constant(0x3f000000);
  I normal = (magnitude + I::constant(0xfff) + (magnitude.shr(13) & I::constant(1)) - I::constant(0x38000000)).shr(13);
  I result = I::select(magnitude < I::constant(0x38800000), subnormal, normal);
  result = I::select(magnitude < I::constant(0x477ff000), result, infinite);
  result = I::select(magnitude > I::constant(0x7f800000), nan, result);
  detail::store_low_halves<Full>(p, result | sign, count);
}

/// Bools in memory are bytes, 0 or 1.
template <int Bytes, int W, bool Full>
KILN_INLINE Mask<Bytes, W> load_mask(const bool* p, int count) {
  using M = Mask<Bytes, W>;
  static_assert(M::kChunks == 1);
  auto bytes = detail::load_part<detail::Vector<std::int8_t, W>, Full>(reinterpret_cast<const std::int8_t*>(p), count);
  M m;
  m.v[0] = -__builtin_convertvector(bytes, typename M::Native);
  return m;
}

template <bool Full, int Bytes, int W>
KILN_INLINE void store(bool* p, Mask<Bytes, W> m, int count) {
  static_assert(Mask<Bytes, W>::kChunks == 1);
  detail::store_part<Full>(reinterpret_cast<std::int8_t*>(p), -__builtin_convertvector(m.v[0], detail::Vector<std::int8_t, W>), count);
}

}  // namespace kiln::ops::KILN_ISA
