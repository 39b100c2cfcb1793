// vmath for float32 lanes. Polynomials are minimax fits by Sollya's fpminimax over the reduced ranges named beside them.
#pragma once
#include <array>
#include <string_view>

#include "ops/vmath_f64.h"

namespace kiln::ops::vmath::f32 {

inline constexpr double kLog2E = 0x1.715476p0;
inline constexpr double kLn2High = 0x1.62ep-1;  // 12 bits: products with 8-bit integers are exact
inline constexpr double kLn2Low = 0x1.0bfbe8p-15;
inline constexpr std::int32_t kFourThirds = 0x3faaaaab;  // bits of 4/3
inline constexpr double kRoundMagic = 0x1.8p23;          // adding it rounds to an integer, which its low bits then hold

/// 2^n for -126 <= n <= 127.
template <class S>
S pow2(int_of<S> n) {
  return (n + int_of<S>::constant(127)).shl(23).as_float();
}

/// p * 2^n for -252 <= n <= 254, rounded once.
template <class S>
S scale(S p, int_of<S> n) {
  using I = int_of<S>;
  I half = (n + I::constant(512)).shr(1) - I::constant(256);
  return p * pow2<S>(half) * pow2<S>(n - half);
}

/// The same; `whole` is n, for overloads whose instruction takes it so.
template <class S>
S scale(S p, int_of<S> n, S) {
  return scale(p, n);
}

/// x = n * ln 2 + r with |r| <= ln 2 / 2, for |x| < 2^9.
template <class S>
struct ExpReduction {
  int_of<S> n;
  S whole;  ///< n
  S r;
  explicit ExpReduction(S x) : n(int_of<S>::constant(0)), whole(x), r(x) {
    S magic = constant<S>(kRoundMagic);
    S shifted = fma(x, constant<S>(kLog2E), magic);
    n = shifted.as_int() - magic.as_int();
    whole = shifted - magic;
    r = fma(whole, constant<S>(-kLn2High), x);
    r = fma(whole, constant<S>(-kLn2Low), r);
  }
};

/// exp(r) for |r| <= ln 2 / 2.
template <class S>
S exp_reduced(S r) {
  static constexpr double kC[] = {1, 1, 0x1.fffffap-2, 0x1.555492p-3, 0x1.555a26p-5, 0x1.12397cp-7, 0x1.694c82p-10};
  return polynomial(r, kC);
}

/// exp(r) - 1 for |r| <= ln 2 / 2.
template <class S>
S expm1_reduced(S r) {
  static constexpr double kC[] = {0x1.fffffep-2, 0x1.5554bp-3, 0x1.555716p-5, 0x1.12278ep-7, 0x1.6b7334p-10};
  return fma(r * r, polynomial(r, kC), r);
}

/// exp for |x| <= 104, no special values.
template <class S>
S exp_bounded(S x) {
  ExpReduction<S> reduced(x);
  return scale(exp_reduced(reduced.r), reduced.n, reduced.whole);
}

template <class S>
S exp(S x) {
  // Beyond these the result is 0 or infinity already; a NaN passes, since min and max give their second operand.
  return exp_bounded(max(constant<S>(-104), min(constant<S>(89), x)));
}

template <class S>
S expm1(S x) {
  S bounded = max(constant<S>(-20), min(constant<S>(89), x));
  ExpReduction<S> reduced(bounded);
  S half = constant<S>(0.5);
  S scale_half = pow2<S>(reduced.n - int_of<S>::constant(1));
  S result = constant<S>(2) * (fma(scale_half, expm1_reduced(reduced.r), scale_half - half));
  return select(abs(x) < constant<S>(0x1p-25), x, result);
}

/// log(1 + m) + e * ln 2 for -1/3 <= m <= 1/3, where `negated` is -e * 2^23. A zero keeps its sign.
template <class S>
S log_reduced(S m, int_of<S> negated) {
  static constexpr double kC[] = {-0x1p-1,       0x1.555506p-2,  -0x1.fffefp-3, 0x1.99d05ep-3, -0x1.559de4p-3,
                                  0x1.1ed422p-3, -0x1.f30e34p-4, 0x1.1e73b8p-3, -0x1.080caap-3};
  S square = m * m;
  S fraction = fma(square, polynomial_by_pairs(m, square, kC), m);
  return fma(negated.template to<float>(), constant<S>(-0x1.62e43p-1 * 0x1p-23), fraction);
}

/// -e * 2^23 where x / 2^e is nearest to 1: above 2/3 and at most 4/3, for positive normal x.
template <class S>
int_of<S> negated_exponent(S x) {
  using I = int_of<S>;
  return (I::constant(kFourThirds) - x.as_int()) & I::constant(-(1 << 23));
}

/// Special results of a logarithm whose argument is `x`: x itself if infinite or NaN, -inf for 0, NaN below.
template <class S>
S log_specials(S x, S result) {
  S zero = constant<S>(0);
  result = select(x < infinity<S>(), result, x);
  result = select(x == zero, constant<S>(0) - infinity<S>(), result);
  return select(x < zero, quiet_nan<S>(), result);
}

template <class S>
S log(S x) {
  using I = int_of<S>;
  auto subnormal = x < constant<S>(0x1p-126);
  S normal = select(subnormal, x * constant<S>(0x1p25), x);
  I negated = negated_exponent(normal);
  S m = (normal.as_int() + negated).as_float() - constant<S>(1);
  I total = select(subnormal, negated + I::constant(25 << 23), negated);
  return log_specials(x, log_reduced(m, total));
}

template <class S>
S log1p(S x) {
  using I = int_of<S>;
  S sum = x + constant<S>(1);
  I negated = negated_exponent(sum);
  // m = x / 2^e - (1 - 1 / 2^e): both terms are exact, or the second is 1. 4 / 2^e, as 1 / 2^e may be subnormal.
  S scaled = (x.as_int() + negated).as_float();
  S four = (constant<S>(4).as_int() + negated).as_float();
  S m = scaled - fma(constant<S>(-0.25), four, constant<S>(1));
  return log_specials(sum, log_reduced(m, negated));
}

template <class S>
S tanh(S x) {
  static constexpr double kC[] = {-0x1.555556p-2, 0x1.111132p-3,  -0x1.ba17dp-5,
                                  0x1.654ba8p-6,  -0x1.1465fep-7, 0x1.36b552p-9};  // [0, 0.632]
  S magnitude = min(constant<S>(9.02), abs(x));
  S square = magnitude * magnitude;
  S small = fma(magnitude * square, polynomial(square, kC), magnitude);
  ExpReduction<S> reduced(magnitude + magnitude);
  S e = exp_reduced(reduced.r) * pow2<S>(reduced.n);
  S large = constant<S>(1) - constant<S>(2) / (e + constant<S>(1));
  return copysign(select(magnitude < constant<S>(0.625), small, large), x);
}

template <class S>
S sigmoid(S x) {
  S one = constant<S>(1);
  auto negative = x < constant<S>(0);
  // e / (1 + e) or 1 / (1 + e), where e = exp(-|x|)
  ExpReduction<S> reduced(max(constant<S>(-104), negate(abs(x))));
  S part = expm1_reduced(reduced.r);
  S head = one + part;
  S e = scale(head, reduced.n, reduced.whole);
  S sum = one + e;
  S quotient = select(negative, e, one) / sum;
  // What the sums lost is put back, by about the quotient's slope.
  S head_lost = part - (head - one);
  S sum_lost = e - (sum - one);
  S relative = fma(sum_lost, constant<S>(-0.75), select(negative, head_lost, constant<S>(0)));
  return fma(quotient, relative, quotient);
}

template <class S>
S erf(S x) {
  static constexpr double kSmall[] = {0x1.06eba8p-3, -0x1.812742p-2, 0x1.ce2dfp-4,  -0x1.b80d62p-6,
                                      0x1.54c17cp-8, -0x1.aa214p-11, 0x1.5caeecp-14};  // erf(x) / x - 1 in x^2, to 0.92
  static constexpr double kLarge[] = {0x1.34cb9ap-12, -0x1.21505ap0,  -0x1.4394b8p-1,  -0x1.c24222p-4, 0x1.af7dep-6,
                                      -0x1.36046ep-8, 0x1.35ba0cp-11, -0x1.7c8044p-15, 0x1.ae39b6p-20};  // log(erfc(x)), 0.92 to 4
  S magnitude = abs(x);
  S square = x * x;
  S small = fma(x, polynomial(square, kSmall), x);
  S bounded = min(constant<S>(4), magnitude);
  S large = constant<S>(1) - exp_bounded(polynomial(bounded, kLarge));
  return select(magnitude < constant<S>(0.92), small, copysign(large, x));
}

/// QuarterTurns of any x, in double, exact enough for every float: 1 / (2 pi) in pieces of 29 bits, whose products with x are exact, of
/// each of which only the fraction is kept.
struct TurnsOfAny {
  static constexpr std::string_view name = "turns_of_any";

  template <class S>
  std::array<S, 3> operator()(S narrow) const {
    using D = rebind<S, double>;
    static constexpr double kInverse[] = {0x1.45f306dp-3,   0x1.9391054p-32, 0x1.4fe13abp-61, 0x1.d1f534dp-90,
                                          0x1.b81b6c5p-119, 0x1.5993c4p-150, 0x1.c820ff2p-177};
    constexpr int kPieces = 7;
    D x = narrow.template to<double>();
    D fractions[kPieces] = {x, x, x, x, x, x, x};
    for (int i = 0; i < kPieces; ++i) {
      D product = x * constant<D>(kInverse[i]);
      fractions[i] = product - round_even(product);
    }
    D sum = fractions[0];
    for (int i = 1; i < kPieces; ++i) sum = sum + fractions[i];
    D quarter = round_even(sum * constant<D>(4));
    D rest = fma(quarter, constant<D>(-0.25), fractions[0]);
    for (int i = 1; i < kPieces; ++i) rest = rest + fractions[i];
    rest = rest * constant<D>(0x1.921fb54442d18p2);
    S r = rest.template to<float>();
    S r_low = (rest - r.template to<double>()).template to<float>();
    return {quarter.template to<float>() + constant<S>(kRoundMagic), r, r_low};
  }
};

/// x modulo a quarter turn.
template <class S>
struct QuarterTurns {
  S shifted;  ///< kRoundMagic + the nearest number of quarter turns, or one that differs by a multiple of 4
  S r;        ///< the rest, in radians: r + r_low
  S r_low;

  explicit QuarterTurns(S x) : shifted(x), r(x), r_low(x) {
    S magic = constant<S>(kRoundMagic);
    shifted = fma(x, constant<S>(0x1.45f306p-1), magic);
    S n = shifted - magic;
    // Below 2^12 n has 12 bits, as have the first three parts of a quarter turn, whose products with n are exact. What a difference loses
    // is kept.
    S high = fma(n, constant<S>(-0x1.922p0), x);
    S second = n * constant<S>(0x1.2aep-18);
    S middle = high + second;
    S low = fma(n, constant<S>(0x1.deap-31), (high - middle) + second);
    r = middle + low;
    r_low = fma(n, constant<S>(-0x1.184698p-44), (middle - r) + low);
    std::array<S, 3> all = where_rare<TurnsOfAny>(abs(x) > constant<S>(0x1p12), std::array<S, 3>{shifted, r, r_low}, x);
    shifted = all[0];
    r = all[1];
    r_low = all[2];
  }

  /// The sine after `turned` more quarter turns.
  S sine(int turned) const {
    using I = int_of<S>;
    static constexpr double kSine[] = {-0x1.555546p-3, 0x1.110778p-7, -0x1.9953fep-13};
    static constexpr double kCosine[] = {0x1.55554ap-5, -0x1.6c0c2ap-10, 0x1.99e91p-16};
    S square = r * r;
    S one = constant<S>(1);
    S minus_half = constant<S>(-0.5);
    S head = fma(square, minus_half, one);
    S sine = r + fma(r * square, polynomial(square, kSine), r_low * head);
    S head_low = fma(square, minus_half, one - head);
    S cosine = head + fma(square * square, polynomial(square, kCosine), head_low - r * r_low);
    I place = shifted.as_int() + I::constant(turned);
    S value = select((place & I::constant(1)) == I::constant(0), sine, cosine);
    return (value.as_int() ^ (place & I::constant(2)).shl(30)).as_float();
  }
};

template <class S>
S sin(S x) {
  return select(x == constant<S>(0), x, QuarterTurns<S>(x).sine(0));
}

template <class S>
S cos(S x) {
  return QuarterTurns<S>(x).sine(1);
}

/// log2 of a positive normal double, to 2^-45.
template <class D>
D log2_for_pow(D x) {
  static constexpr double kC[] = {0x1.71547652b8251p1,  0x1.ec709dc53c4e8p-1, 0x1.2776c2936862dp-1,
                                  0x1.a61a2ea215d19p-2, 0x1.47955d60140a3p-2, 0x1.21b07a79c857fp-2};
  f64::LogReduction<D> reduced(x);
  D s = reduced.f / (reduced.f + constant<D>(2));
  return fma(s, polynomial(s * s, kC), f64::to_double<D>(reduced.exponent));
}

/// 2^x, to 2^-34, for |x| < 512.
template <class D>
D exp2_for_pow(D x) {
  static constexpr double kC[] = {0x1p0,
                                  0x1.62e42ff18ada3p-1,
                                  0x1.ebfbe079a70b9p-3,
                                  0x1.c6b089c3efcf7p-5,
                                  0x1.3b29f216e1dbdp-7,
                                  0x1.5d8b5ce63f53bp-10,
                                  0x1.445d8920cbfdp-13,
                                  0x1.fd08869ef7e5cp-17};
  D magic = constant<D>(f64::kRoundMagic);
  D shifted = x + magic;
  return polynomial(x - (shifted - magic), kC) * f64::pow2<D>(shifted.as_int() - magic.as_int());
}

template <class S>
S pow(S a, S b) {
  using D = rebind<S, double>;
  D x = a.template to<double>();
  D y = b.template to<double>();
  D magnitude = abs(x);
  D logarithm = log2_for_pow(magnitude);
  logarithm = select(magnitude == constant<D>(0), negate(infinity<D>()), select(magnitude < infinity<D>(), logarithm, magnitude));
  D exponent = max(constant<D>(-400), min(constant<D>(400), y * logarithm));
  return f64::pow_specials(x, y, exp2_for_pow(exponent)).template to<float>();
}

/// The significand of a positive x as an integer in [2^23, 2^24), in double, and the exponent of its unit.
template <class S>
struct Significand {
  rebind<S, double> integer;
  int_of<S> exponent;
  explicit Significand(S x) : integer(x.template to<double>()), exponent(x.as_int()) {
    using I = int_of<S>;
    auto subnormal = x < constant<S>(0x1p-126);
    I bits = select(subnormal, x * constant<S>(0x1p24), x).as_int();
    exponent = bits.shr(23) - select(subnormal, I::constant(150 + 24), I::constant(150));
    integer = ((bits & I::constant(0x7fffff)) | I::constant(150 << 23)).as_float().template to<double>();
  }
};

/// x modulo m, for integers x < 2^53 and m < 2^24.
template <class D>
D integer_modulo(D x, D m) {
  D rest = x - floor(x / m) * m;
  return select(rest < constant<D>(0), rest + m, rest);
}

/// C's fmod, exactly: 2^k modulo the divisor by squaring, k the difference of the exponents.
template <class S>
S remainder(S a, S b) {
  using I = int_of<S>;
  using D = rebind<S, double>;
  S magnitude = abs(a);
  S divisor = abs(b);
  Significand<S> dividend(magnitude);
  Significand<S> modulus(divisor);
  I k = max(I::constant(0), dividend.exponent - modulus.exponent);
  constexpr int kSquarings = 4;  // k < 2^9, and 2^(k / 16) < 2^23
  D power = pow2<S>(min(I::constant(22), k.shr(kSquarings))).template to<double>();
  for (int bit = kSquarings - 1; bit >= 0; --bit) {
    D doubled = select((k & I::constant(1 << bit)) != I::constant(0), constant<S>(2), constant<S>(1)).template to<double>();
    power = integer_modulo(power * power * doubled, modulus.integer);
  }
  D rest = integer_modulo(power * dividend.integer, modulus.integer);
  S scaled = scale(rest.template to<float>(), modulus.exponent);
  S result = copysign(select(magnitude < divisor, magnitude, scaled), a);
  return select((magnitude < infinity<S>()) & (divisor > constant<S>(0)), result, quiet_nan<S>());
}

}  // namespace kiln::ops::vmath::f32
