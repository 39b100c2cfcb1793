// Ref and RefInt: the S of ops/vmath.h for one number, on double and libm: the independent meaning of every elementwise op in the tests.
#pragma once
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace kiln::ops {

/// One truth value.
struct RefMask {
  bool value = false;

  static RefMask constant(bool v) { return {v}; }
  static RefMask select(RefMask m, RefMask a, RefMask b) { return m.value ? a : b; }
  friend RefMask operator&(RefMask a, RefMask b) { return {a.value && b.value}; }
  friend RefMask operator|(RefMask a, RefMask b) { return {a.value || b.value}; }
  friend RefMask operator^(RefMask a, RefMask b) { return {a.value != b.value}; }
  RefMask operator~() const { return {!value}; }
  friend RefMask operator==(RefMask a, RefMask b) { return {a.value == b.value}; }
  friend RefMask operator!=(RefMask a, RefMask b) { return {a.value != b.value}; }
  friend RefMask operator<(RefMask a, RefMask b) { return {a.value < b.value}; }
  friend RefMask operator<=(RefMask a, RefMask b) { return {a.value <= b.value}; }
  friend RefMask operator>(RefMask a, RefMask b) { return {a.value > b.value}; }
  friend RefMask operator>=(RefMask a, RefMask b) { return {a.value >= b.value}; }
};

namespace detail {

/// What Ref and RefInt share. Arithmetic is done in C, so that integers wrap.
template <class Self, class T, class C>
struct RefNumber {
  using scalar = T;
  using mask = RefMask;
  using libm = void;
  T value = 0;

  static Self constant(T v) { return make(v); }
  static Self select(RefMask m, Self a, Self b) { return m.value ? a : b; }
  template <class Slow, std::size_t N>
  static std::array<Self, N> where_rare(RefMask rare, const std::array<Self, N>& usual, Self x) {
    return rare.value ? Slow()(x) : usual;
  }
  friend Self operator+(Self a, Self b) { return make(static_cast<T>(static_cast<C>(a.value) + static_cast<C>(b.value))); }
  friend Self operator-(Self a, Self b) { return make(static_cast<T>(static_cast<C>(a.value) - static_cast<C>(b.value))); }
  friend Self operator*(Self a, Self b) { return make(static_cast<T>(static_cast<C>(a.value) * static_cast<C>(b.value))); }
  friend Self operator/(Self a, Self b) { return make(a.value / b.value); }
  friend RefMask operator==(Self a, Self b) { return {a.value == b.value}; }
  friend RefMask operator!=(Self a, Self b) { return {a.value != b.value}; }
  friend RefMask operator<(Self a, Self b) { return {a.value < b.value}; }
  friend RefMask operator<=(Self a, Self b) { return {a.value <= b.value}; }
  friend RefMask operator>(Self a, Self b) { return {a.value > b.value}; }
  friend RefMask operator>=(Self a, Self b) { return {a.value >= b.value}; }

 protected:
  static Self make(T v) {
    Self s;
    s.value = v;
    return s;
  }
};

}  // namespace detail

/// An integer of any dtype, held in 64 bits; the caller wraps a result to its dtype.
struct RefInt : detail::RefNumber<RefInt, std::int64_t, std::uint64_t> {
  template <class>
  using rebind = RefInt;
  friend RefInt operator&(RefInt a, RefInt b) { return make(a.value & b.value); }
  friend RefInt operator|(RefInt a, RefInt b) { return make(a.value | b.value); }
  friend RefInt operator^(RefInt a, RefInt b) { return make(a.value ^ b.value); }
  RefInt operator~() const { return make(~value); }
  RefInt shl(int n) const { return make(static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << n)); }
  RefInt shr(int n) const { return make(static_cast<std::int64_t>(static_cast<std::uint64_t>(value) >> n)); }
};

/// A floating-point number of any dtype, held in a double.
struct Ref : detail::RefNumber<Ref, double, double> {
  template <class T>
  using rebind = std::conditional_t<std::floating_point<T>, Ref, RefInt>;
  static Ref fma(Ref a, Ref b, Ref c) { return make(std::fma(a.value, b.value, c.value)); }
  Ref sqrt() const { return make(std::sqrt(value)); }
  Ref floor() const { return make(std::floor(value)); }
  Ref round_even() const { return make(std::nearbyint(value)); }

  static Ref copysign(Ref a, Ref b) { return make(std::copysign(a.value, b.value)); }
  static Ref abs(Ref x) { return make(std::fabs(x.value)); }
  static Ref negate(Ref x) { return make(-x.value); }
  static Ref maximum(Ref a, Ref b) {
    if (std::isnan(a.value) || std::isnan(b.value)) return make(std::numeric_limits<double>::quiet_NaN());
    if (a.value == b.value) return std::signbit(a.value) ? b : a;
    return a.value > b.value ? a : b;
  }
  static Ref minimum(Ref a, Ref b) { return negate(maximum(negate(a), negate(b))); }
  static Ref remainder(Ref a, Ref b) { return make(std::fmod(a.value, b.value)); }
  static Ref floor_modulo(Ref a, Ref b) {
    double r = std::fmod(a.value, b.value);
    if (r != 0 && (r < 0) != (b.value < 0)) r += b.value;
    return make(r == 0 ? std::copysign(0.0, b.value) : r);
  }
  static Ref exp(Ref x) { return make(std::exp(x.value)); }
  static Ref expm1(Ref x) { return make(std::expm1(x.value)); }
  static Ref log(Ref x) { return make(std::log(x.value)); }
  static Ref log1p(Ref x) { return make(std::log1p(x.value)); }
  static Ref sin(Ref x) { return make(std::sin(x.value)); }
  static Ref cos(Ref x) { return make(std::cos(x.value)); }
  static Ref tanh(Ref x) { return make(std::tanh(x.value)); }
  static Ref erf(Ref x) { return make(std::erf(x.value)); }
  static Ref pow(Ref a, Ref b) { return make(std::pow(a.value, b.value)); }
  static Ref sigmoid(Ref x) {
    double e = std::exp(-std::fabs(x.value));
    return make(x.value >= 0 ? 1 / (1 + e) : e / (1 + e));
  }
};

}  // namespace kiln::ops
