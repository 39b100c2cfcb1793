// The elementary functions of vmath by dtype: libm for the reference type, vmath_f32.h and vmath_f64.h for lanes, repeated steps for
// integers.
#pragma once
#include "ops/vmath_f32.h"
#include "ops/vmath_f64.h"

namespace kiln::ops::vmath {

#define KILN_VMATH_UNARY(function)       \
  template <class S>                     \
  S function(S x) {                      \
    if constexpr (is_reference<S>) {     \
      return S::function(x);             \
    } else if constexpr (is_double<S>) { \
      return f64::function(x);           \
    } else {                             \
      return f32::function(x);           \
    }                                    \
  }

/// e to the power x, within 1 ulp.
KILN_VMATH_UNARY(exp)
/// exp(x) - 1, within 2 ulp.
KILN_VMATH_UNARY(expm1)
/// Natural logarithm, within 1.1 ulp.
KILN_VMATH_UNARY(log)
/// log(1 + x), within 2 ulp.
KILN_VMATH_UNARY(log1p)
/// Hyperbolic tangent, within 2 ulp.
KILN_VMATH_UNARY(tanh)
/// Error function, within 2 ulp.
KILN_VMATH_UNARY(erf)
/// 1 / (1 + exp(-x)), within 2 ulp.
KILN_VMATH_UNARY(sigmoid)
/// Sine, within 2 ulp.
KILN_VMATH_UNARY(sin)
/// Cosine, within 2 ulp.
KILN_VMATH_UNARY(cos)

#undef KILN_VMATH_UNARY

namespace detail {

template <class S>
S int_pow(S base, S exponent) {
  constexpr int kBits = static_cast<int>(8 * sizeof(scalar_of<S>));
  S zero = S::constant(0);
  S one = S::constant(1);
  S result = one;
  S power = base;
  S rest = exponent;
  for (int i = 0; i < kBits; ++i) {
    result = select((rest & one) != zero, result * power, result);
    rest = rest.shr(1);
    if (i + 1 < kBits) power = power * power;
  }
  if constexpr (std::is_signed_v<scalar_of<S>>) {
    // 1 / base truncates to 0 unless base is 1 or -1; for those the loop's result for the exponent's bits is right: its parity decides.
    S reciprocal = select(base == one, one, select(base == zero - one, select((exponent & one) != zero, base, one), zero));
    result = select(exponent < zero, reciprocal, result);
  }
  return result;
}

/// A divisor that cannot trap: 1 for 0 (reported elsewhere) and for -1 (the caller negates).
template <class S>
S safe_divisor(S b) {
  S zero = S::constant(0);
  S one = S::constant(1);
  b = select(b == zero, one, b);
  if constexpr (std::is_signed_v<scalar_of<S>>) b = select(b == zero - one, one, b);
  return b;
}

}  // namespace detail

/// a / b; integers truncate, and the lowest value over -1 wraps.
template <class S>
S divide(S a, S b) {
  if constexpr (is_floating<S>) {
    return a / b;
  } else {
    S quotient = a / detail::safe_divisor(b);
    if constexpr (std::is_signed_v<scalar_of<S>>) quotient = select(b == S::constant(-1), negate(quotient), quotient);
    return quotient;
  }
}

/// Remainder with the sign of a, exact: C's fmod.
template <class S>
S remainder(S a, S b) {
  if constexpr (!is_floating<S>) {
    S divisor = detail::safe_divisor(b);
    return a - (a / divisor) * divisor;
  } else if constexpr (is_reference<S>) {
    return S::remainder(a, b);
  } else if constexpr (is_double<S>) {
    return f64::remainder(a, b);
  } else {
    return f32::remainder(a, b);
  }
}

/// Remainder with the sign of b; a zero has b's sign too.
template <class S>
S floor_modulo(S a, S b) {
  if constexpr (is_reference<S> && is_floating<S>) {
    return S::floor_modulo(a, b);
  } else {
    S zero = S::constant(0);
    S r = remainder(a, b);
    S wrapped = select((r != zero) & ((r < zero) != (b < zero)), r + b, r);
    if constexpr (is_floating<S>) wrapped = select(r == zero, copysign(r, b), wrapped);
    return wrapped;
  }
}

/// Quotient rounded towards minus infinity: floor(a / b) with a / b rounded first.
template <class S>
S floor_divide(S a, S b) {
  if constexpr (is_floating<S>) {
    return floor(a / b);
  } else {
    S zero = S::constant(0);
    S quotient = divide(a, b);
    S r = a - quotient * b;
    return select((r != zero) & ((r < zero) != (b < zero)), quotient - S::constant(1), quotient);
  }
}

/// a to the power b with C's special cases, within 1 ulp for float32 and 2 ulp for float64. Integers multiply repeatedly.
template <class S>
S pow(S a, S b) {
  if constexpr (!is_floating<S>) {
    return detail::int_pow(a, b);
  } else if constexpr (is_reference<S>) {
    return S::pow(a, b);
  } else if constexpr (is_double<S>) {
    return f64::pow(a, b);
  } else {
    return f32::pow(a, b);
  }
}

}  // namespace kiln::ops::vmath
