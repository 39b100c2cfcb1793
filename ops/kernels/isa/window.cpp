// Window rows in strips that stay in registers or in the first-level cache; the compiler vectorizes along the row.
#include "ops/kernels/window.h"

#include <type_traits>

#include "base/half.h"

namespace kiln::ops::KILN_ISA {
namespace {

constexpr std::int64_t kStrip = 64;

template <class T>
inline constexpr bool is_half = std::is_same_v<T, kiln::float16> || std::is_same_v<T, kiln::bfloat16>;
template <class T>
using Wide = std::conditional_t<is_half<T>, float, T>;

template <class T>
[[gnu::always_inline]] inline Wide<T> widen(T x) {
  if constexpr (is_half<T>) {
    return to_float(x);
  } else {
    return x;
  }
}
template <class T>
[[gnu::always_inline]] inline T narrow(Wide<T> x) {
  if constexpr (std::is_same_v<T, kiln::float16>) {
    return to_float16(x);
  } else if constexpr (std::is_same_v<T, kiln::bfloat16>) {
    return to_bfloat16(x);
  } else {
    return x;
  }
}

template <class T>
[[gnu::always_inline]] inline T add_wrapping(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
  } else {
    return a + b;
  }
}

/// As numeric_order.h: NaN wins; of zeros, max prefers +0 and min -0.
template <ReduceKind kind, class T>
[[gnu::always_inline]] inline T combine(T a, T b) {
  if constexpr (kind == ReduceKind::add) {
    return add_wrapping(a, b);
  } else {
    T better = kind == ReduceKind::max ? (a > b ? a : b) : (a < b ? a : b);
    if constexpr (std::is_floating_point_v<T>) {
      bool a_signed = __builtin_signbit(a);
      T zero = kind == ReduceKind::max ? (a_signed ? b : a) : (a_signed ? a : b);
      better = a == b ? zero : better;
      better = a != a ? a : better;
    }
    return better;
  }
}

template <ReduceKind kind, class T>
void reduce_taps(const T* const* taps, std::int64_t num_taps, std::int64_t count, T* to) {
  for (std::int64_t begin = 0; begin < count; begin += kStrip) {
    std::int64_t n = count - begin < kStrip ? count - begin : kStrip;
    Wide<T> sum[kStrip];
    if (num_taps == 0) {
      for (std::int64_t i = 0; i < n; ++i) to[begin + i] = narrow<T>(empty_value<Wide<T>>(kind));
      continue;
    }
    for (std::int64_t i = 0; i < n; ++i) sum[i] = widen(taps[0][begin + i]);
    for (std::int64_t t = 1; t < num_taps; ++t) {
      const T* tap = taps[t] + begin;
      for (std::int64_t i = 0; i < n; ++i) sum[i] = combine<kind>(sum[i], widen(tap[i]));
    }
    for (std::int64_t i = 0; i < n; ++i) to[begin + i] = narrow<T>(sum[i]);
  }
}

template <class T>
void max_grad(const T* const* x, Wide<T>* const* to, std::int64_t num_taps, std::int64_t count, const T* dy) {
  using Index = std::conditional_t<sizeof(Wide<T>) == 8, std::int64_t, std::int32_t>;
  for (std::int64_t begin = 0; begin < count; begin += kStrip) {
    std::int64_t n = count - begin < kStrip ? count - begin : kStrip;
    Wide<T> best[kStrip];
    Index at[kStrip];
    for (std::int64_t i = 0; i < n; ++i) {
      best[i] = widen(x[0][begin + i]);
      at[i] = 0;
    }
    for (std::int64_t t = 1; t < num_taps; ++t) {
      const T* tap = x[t] + begin;
      for (std::int64_t i = 0; i < n; ++i) {
        Wide<T> value = widen(tap[i]);
        bool better = (value > best[i]) | ((value != value) & (best[i] == best[i]));
        best[i] = better ? value : best[i];
        at[i] = better ? static_cast<Index>(t) : at[i];
      }
    }
    // Adding 0 elsewhere changes nothing: sums start at +0 and never become -0.
    for (std::int64_t t = 0; t < num_taps; ++t) {
      Wide<T>* sum = to[t] + begin;
      for (std::int64_t i = 0; i < n; ++i) sum[i] = add_wrapping(sum[i], at[i] == t ? widen(dy[begin + i]) : Wide<T>{});
    }
  }
}

}  // namespace

void window_reduce_row(DType dtype, ReduceKind kind, const void* const* taps, std::int64_t num_taps, std::int64_t count, void* to) {
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (!std::is_same_v<T, bool>) {
      const T* const* typed = reinterpret_cast<const T* const*>(taps);
      if (kind == ReduceKind::max) return reduce_taps<ReduceKind::max>(typed, num_taps, count, static_cast<T*>(to));
      if (kind == ReduceKind::min) return reduce_taps<ReduceKind::min>(typed, num_taps, count, static_cast<T*>(to));
      reduce_taps<ReduceKind::add>(typed, num_taps, count, static_cast<T*>(to));
    }
  });
}

void window_max_grad_row(DType dtype, const void* const* x, void* const* to, std::int64_t num_taps, std::int64_t count, const void* dy) {
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (!std::is_same_v<T, bool>) {
      max_grad<T>(reinterpret_cast<const T* const*>(x), reinterpret_cast<Wide<T>* const*>(to), num_taps, count, static_cast<const T*>(dy));
    }
  });
}

}  // namespace kiln::ops::KILN_ISA
