// Vectors of one register of the ISA level being built, over the compilers' vector extensions. Only for files in this folder.
#pragma once
#if defined(KILN_ISA_avx512) || defined(KILN_ISA_avx2)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>
#include <cstring>

namespace kiln::ops::KILN_ISA {

#if defined(KILN_ISA_avx512)
inline constexpr int kVectorBytes = 64;
#elif defined(KILN_ISA_avx2)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
[[gnu::always_inline]] inline Vector<T> load(const T* p) {
  Vector<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
[[gnu::always_inline]] inline void store(T* p, Vector<T> v) {
  std::memcpy(p, &v, sizeof v);
}

template <class T>
[[gnu::always_inline]] inline Vector<T> splat(T x) {
  return x - Vector<T>{};
}

/// a * b + c, fused where the level has FMA and T is floating.
template <class T>
[[gnu::always_inline]] inline Vector<T> multiply_add(Vector<T> a, Vector<T> b, Vector<T> c) {
  return a * b + c;
}

#if defined(KILN_ISA_avx512)
template <>
[[gnu::always_inline]] inline Vector<float> multiply_add<float>(Vector<float> a, Vector<float> b, Vector<float> c) {
  return (Vector<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
template <>
[[gnu::always_inline]] inline Vector<double> multiply_add<double>(Vector<double> a, Vector<double> b, Vector<double> c) {
  return (Vector<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
#elif defined(KILN_ISA_avx2)
template <>
[[gnu::always_inline]] inline Vector<float> multiply_add<float>(Vector<float> a, Vector<float> b, Vector<float> c) {
  return (Vector<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
template <>
[[gnu::always_inline]] inline Vector<double> multiply_add<double>(Vector<double> a, Vector<double> b, Vector<double> c) {
  return (Vector<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#elif defined(__aarch64__)
template <>
[[gnu::always_inline]] inline Vector<float> multiply_add<float>(Vector<float> a, Vector<float> b, Vector<float> c) {
  return (Vector<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
template <>
[[gnu::always_inline]] inline Vector<double> multiply_add<double>(Vector<double> a, Vector<double> b, Vector<double> c) {
  return (Vector<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#endif

/// Which lanes below `count` take part in a partial load or store: made once, used in a loop.
template <class T>
struct LaneMask {
#if defined(KILN_ISA_avx512)
  __mmask16 bits;
  explicit LaneMask(std::int64_t count) : bits(static_cast<__mmask16>((1u << count) - 1)) {}
#elif defined(KILN_ISA_avx2)
  __m256i bits;
  explicit LaneMask(std::int64_t count) {
    if constexpr (sizeof(T) == 4) {
      bits = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    } else {
      bits = _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
    }
  }
#else
  std::int64_t count;
  explicit LaneMask(std::int64_t n) : count(n) {}
#endif
};

/// The first lanes of p, zero in the others; touches no other memory. T has 4 or 8 bytes.
template <class T>
[[gnu::always_inline]] inline Vector<T> load_partial(const T* p, const LaneMask<T>& mask) {
#if defined(KILN_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    return (Vector<T>)_mm512_maskz_loadu_epi32(mask.bits, p);
  } else {
    return (Vector<T>)_mm512_maskz_loadu_epi64(static_cast<__mmask8>(mask.bits), p);
  }
#elif defined(KILN_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    return (Vector<T>)_mm256_maskload_epi32(reinterpret_cast<const int*>(p), mask.bits);
  } else {
    return (Vector<T>)_mm256_maskload_epi64(reinterpret_cast<const long long*>(p), mask.bits);
  }
#else
  Vector<T> v = {};
  for (std::int64_t i = 0; i < mask.count; ++i) v[i] = p[i];
  return v;
#endif
}

template <class T>
[[gnu::always_inline]] inline void store_partial(T* p, Vector<T> v, const LaneMask<T>& mask) {
#if defined(KILN_ISA_avx512)
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_epi32(p, mask.bits, (__m512i)v);
  } else {
    _mm512_mask_storeu_epi64(p, static_cast<__mmask8>(mask.bits), (__m512i)v);
  }
#elif defined(KILN_ISA_avx2)
  if constexpr (sizeof(T) == 4) {
    _mm256_maskstore_epi32(reinterpret_cast<int*>(p), mask.bits, (__m256i)v);
  } else {
    _mm256_maskstore_epi64(reinterpret_cast<long long*>(p), mask.bits, (__m256i)v);
  }
#else
  for (std::int64_t i = 0; i < mask.count; ++i) p[i] = v[i];
#endif
}

}  // namespace kiln::ops::KILN_ISA
