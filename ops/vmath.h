// vmath: the elementary functions, written once over any S that computes W numbers at a time. Eager lanes and compiled code instantiate the
// same templates and therefore agree bit for bit; neither calls libm. The reference type ops::Ref answers with libm instead.
//
// The S concept. S is a value type (cheap to copy, no references to data), one of: Lanes<T, W>, an emitter's value, Ref.
//   types      typename S::scalar        float, double, int8_t, uint8_t, int32_t or int64_t: the type of a lane
//              typename S::mask          M, what comparisons give: one truth value a lane
//              S::rebind<T>              the S of the same lanes with T as scalar
//   constants  S::constant(scalar)       the same value in every lane
//   all        a + b, a - b, a * b, a / b   (integers wrap; the divisor of an integer division is never 0, and never -1 under the lowest
//   value)
//              a == b, != , <, <=, >, >=    -> M; IEEE on floats: all but != are false on NaN
//              S::select(M, S, S)           the second where true, else the third, lane by lane
//              x.template to<T>()           -> S::rebind<T>; used here between float, double and int32: exact, or rounded to nearest
//   integers   a & b, a | b, a ^ b, ~a, x.shl(int), x.shr(int)   shift by a constant below the width; shr is logical
//              x.as_float()                 int32 -> float, int64 -> double: the same bits
//   floats     x.as_int()                   float -> int32, double -> int64: the same bits
//              S::fma(a, b, c)              fused where the target has it, else a * b, then + c
//              x.sqrt(), x.floor(), x.round_even()   correctly rounded; floor and round_even keep -0 and NaN
//   masks      M::constant(bool), a & b, a | b, a ^ b, ~a, and a == b ... a >= b with false < true, M::select(M, M, M)
//   rare cases S::where_rare<Slow>(M, std::array<S, N>, S)   see where_rare() below
// Code over S is straight-line: no branch on a value but where_rare, no loop over data, and no host arithmetic on lanes. Loops with
// constant bounds are fine. Denormals are operands and results like any other. Where FMA exists it is used only through fma(); nothing here
// relies on it for accuracy.
#pragma once
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace kiln::ops::vmath {

template <class S>
using scalar_of = typename S::scalar;
template <class S>
using mask_of = typename S::mask;
template <class S, class T>
using rebind = typename S::template rebind<T>;
/// The integers with the bits of a floating S.
template <class S>
using int_of = rebind<S, std::conditional_t<sizeof(scalar_of<S>) == 8, std::int64_t, std::int32_t>>;

/// True for ops::Ref and ops::RefInt: functions answer with libm.
template <class S>
inline constexpr bool is_reference = requires { typename S::libm; };
template <class S>
inline constexpr bool is_floating = std::floating_point<scalar_of<S>>;
template <class S>
inline constexpr bool is_double = std::same_as<scalar_of<S>, double>;

template <class S, class C>
S constant(C value) {
  return S::constant(static_cast<scalar_of<S>>(value));
}

template <class S>
S infinity() {
  return S::constant(std::numeric_limits<scalar_of<S>>::infinity());
}

template <class S>
S quiet_nan() {
  return S::constant(std::numeric_limits<scalar_of<S>>::quiet_NaN());
}

/// a where the mask is true, else b; S may be a mask too.
template <class M, class S>
S select(M m, S a, S b) {
  return S::select(m, a, b);
}

/// `usual`, in lanes where `rare` is true replaced by Slow()(x), a std::array too, which is left out where `rare` is false in all lanes. A
/// lane's result does not depend on the others. Slow is an empty function object with a static `name`; compiled code has it once, as a
/// function of its own.
template <class Slow, class M, class S, std::size_t N>
std::array<S, N> where_rare(M rare, const std::array<S, N>& usual, S x) {
  return S::template where_rare<Slow>(rare, usual, x);
}

template <class S>
S fma(S a, S b, S c) {
  return S::fma(a, b, c);
}

template <class S>
S sqrt(S x) {
  return x.sqrt();
}

template <class S>
S floor(S x) {
  return x.floor();
}

template <class S>
S round_even(S x) {
  return x.round_even();
}

namespace detail {

/// Only the sign bit set.
template <class S>
int_of<S> sign_bit() {
  return int_of<S>::constant(std::numeric_limits<scalar_of<int_of<S>>>::min());
}

}  // namespace detail

/// Magnitude of `magnitude`, sign of `sign`.
template <class S>
S copysign(S magnitude, S sign) {
  if constexpr (is_reference<S>) {
    return S::copysign(magnitude, sign);
  } else {
    auto bit = detail::sign_bit<S>();
    return ((magnitude.as_int() & ~bit) | (sign.as_int() & bit)).as_float();
  }
}

template <class S>
S negate(S x) {
  if constexpr (!is_floating<S>) {
    return S::constant(0) - x;
  } else if constexpr (is_reference<S>) {
    return S::negate(x);
  } else {
    return (x.as_int() ^ detail::sign_bit<S>()).as_float();
  }
}

template <class S>
S abs(S x) {
  if constexpr (!is_floating<S>) {
    S zero = S::constant(0);
    return select(x < zero, zero - x, x);
  } else if constexpr (is_reference<S>) {
    return S::abs(x);
  } else {
    return (x.as_int() & ~detail::sign_bit<S>()).as_float();
  }
}

template <class S>
S ceil(S x) {
  return negate(floor(negate(x)));
}

template <class S>
S trunc(S x) {
  return copysign(floor(abs(x)), x);
}

/// The smaller; b where either is NaN (for internal use: one instruction).
template <class S>
S min(S a, S b) {
  return select(a < b, a, b);
}

/// The larger; b where either is NaN.
template <class S>
S max(S a, S b) {
  return select(a > b, a, b);
}

/// Bit by bit: the sign's where both have it, the others where either has them.
template <class I>
I join_maximum(I a, I b) {
  I sign = I::constant(std::numeric_limits<scalar_of<I>>::min());
  return ((a & b) | ~sign) & (a | b);
}

/// IEEE 754-2019 maximum: NaN if either is, +0 above -0.
template <class S>
S maximum(S a, S b) {
  if constexpr (!is_floating<S>) {
    return max(a, b);
  } else if constexpr (is_reference<S>) {
    return S::maximum(a, b);
  } else {
    // Asked both ways, max gives one answer, or both zeros, or both operands if one is NaN. All bits but the sign's are joined, which
    // keeps a NaN; of the signs, both must be set.
    return join_maximum(max(a, b).as_int(), max(b, a).as_int()).as_float();
  }
}

/// IEEE 754-2019 minimum: NaN if either is, -0 below +0.
template <class S>
S minimum(S a, S b) {
  if constexpr (!is_floating<S>) {
    return min(a, b);
  } else if constexpr (is_reference<S>) {
    return S::minimum(a, b);
  } else {
    return (min(a, b).as_int() | min(b, a).as_int()).as_float();
  }
}

}  // namespace kiln::ops::vmath

#include "ops/vmath_functions.h"
