// cast, one loop for each pair of types: floats truncate and saturate to integers, NaN gives 0, integers wrap, bool is x != 0.
#include "ops/kernels/cast.h"

#include <limits>
#include <type_traits>

#include "base/half.h"

namespace kiln::ops::KILN_ISA {
namespace {

template <class T>
inline constexpr bool is_half = std::is_same_v<T, kiln::float16> || std::is_same_v<T, kiln::bfloat16>;

/// What a float must reach to saturate: one above the largest integer, a power of two.
template <class To, class From>
inline constexpr From kAbove = static_cast<From>(std::numeric_limits<To>::max() / 2 + 1) * 2;

template <class To, class From>
[[gnu::always_inline]] inline To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (is_half<From>) {
    return convert<To>(to_float(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From{};
  } else if constexpr (is_half<To>) {
    using Exact = std::conditional_t<std::is_same_v<From, float>, float, double>;
    // An int64 rounded to double first would round twice; rounding to odd keeps what the second rounding needs.
    Exact wide;
    if constexpr (std::is_same_v<From, std::int64_t>) {
      std::int64_t low = x & 0x7ff;
      wide = static_cast<double>(
          x < (std::int64_t{1} << 52) && x > -(std::int64_t{1} << 52) ? x : (x & ~std::int64_t{0x7ff}) | (low != 0 ? 0x400 : 0));
    } else {
      wide = static_cast<Exact>(x);
    }
    if constexpr (std::is_same_v<To, kiln::float16>) {
      return to_float16(wide);
    } else {
      return to_bfloat16(wide);
    }
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr From low = static_cast<From>(std::numeric_limits<To>::min());
    From inside = x >= kAbove<To, From> ? From{} : x <= low ? low : x == x ? x : From{};
    To value = static_cast<To>(inside);
    return x >= kAbove<To, From> ? std::numeric_limits<To>::max() : value;
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace

void cast_elements(DType from_type, const void* from, DType to_type, void* to, std::int64_t count) {
  visit_dtype(from_type, [&]<class From>(std::type_identity<From>) {
    visit_dtype(to_type, [&]<class To>(std::type_identity<To>) {
      const From* x = static_cast<const From*>(from);
      To* y = static_cast<To*>(to);
      for (std::int64_t i = 0; i < count; ++i) y[i] = convert<To>(x[i]);
    });
  });
}

}  // namespace kiln::ops::KILN_ISA
