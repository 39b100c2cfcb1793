// vmath for float64 lanes. Polynomials are minimax fits by Sollya over the reduced ranges named beside them.
// Error-free products split their factors (Veltkamp), so that results are as good without FMA.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kiln::ops::vmath {

/// c[0] + c[1] x + c[2] x^2 ..., by Horner's rule.
template <class S, std::size_t N>
S polynomial(S x, const double (&c)[N]) {
  S sum = constant<S>(c[N - 1]);
  for (std::size_t i = N - 1; i > 0; --i) sum = fma(sum, x, constant<S>(c[i - 1]));
  return sum;
}

/// The same by Estrin's scheme, for long polynomials: pairs, then pairs of pairs. A few more operations, a third of the delay.
template <class S, std::size_t N>
S polynomial_by_pairs(S x, S square, const double (&c)[N]) {
  S terms[(N + 1) / 2];
  for (std::size_t i = 0; i < (N + 1) / 2; ++i)
    terms[i] = 2 * i + 1 < N ? fma(constant<S>(c[2 * i + 1]), x, constant<S>(c[2 * i])) : constant<S>(c[2 * i]);
  std::size_t count = (N + 1) / 2;
  for (S power = square; count > 1; power = power * power) {
    for (std::size_t i = 0; i < count / 2; ++i) terms[i] = fma(terms[2 * i + 1], power, terms[2 * i]);
    if (count % 2 != 0) terms[count / 2] = terms[count - 1];
    count = (count + 1) / 2;
  }
  return terms[0];
}

namespace f64 {

inline constexpr double kLog2E = 0x1.71547652b82fep0;
inline constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits: products with 11-bit integers are exact
inline constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
inline constexpr double kRoundMagic = 0x1.8p52;  // adding it rounds to an integer, which its low bits then hold

/// 2^n for -1022 <= n <= 1023.
template <class S>
S pow2(int_of<S> n) {
  return (n + int_of<S>::constant(1023)).shl(52).as_float();
}

/// p * 2^n for -2044 <= n <= 2046, rounded once.
template <class S>
S scale(S p, int_of<S> n) {
  using I = int_of<S>;
  I half = (n + I::constant(4096)).shr(1) - I::constant(2048);
  return p * pow2<S>(half) * pow2<S>(n - half);
}

/// The same; `whole` is n, for overloads whose instruction takes it so.
template <class S>
S scale(S p, int_of<S> n, S) {
  return scale(p, n);
}

/// An integer below 2^51 in magnitude as a double, without a conversion instruction.
template <class S>
S to_double(int_of<S> n) {
  S magic = constant<S>(kRoundMagic);
  return (n + magic.as_int()).as_float() - magic;
}

/// A sum high + low with |low| at most half an ulp of high.
template <class S>
struct Pair {
  S high;
  S low;
};

/// a + b exactly.
template <class S>
Pair<S> two_sum(S a, S b) {
  S sum = a + b;
  S b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

/// a + b exactly, for |a| >= |b|.
template <class S>
Pair<S> fast_two_sum(S a, S b) {
  S sum = a + b;
  return {sum, b - (sum - a)};
}

/// x as 26 leading bits, rounded to nearest, and the rest, which then fits 26 bits too. Not for the largest finite numbers.
template <class S>
Pair<S> split(S x) {
  using I = int_of<S>;
  S high = ((x.as_int() + I::constant(0x4000000)) & I::constant(~std::int64_t{0x7ffffff})).as_float();
  return {high, x - high};
}

/// a * b - product exactly, for the product as rounded, unless it or its parts overflow or underflow.
template <class S>
S product_error(S a, S b, S product) {
  Pair<S> x = split(a);
  Pair<S> y = split(b);
  return (((x.high * y.high - product) + x.high * y.low) + x.low * y.high) + x.low * y.low;
}

/// a * b exactly, unless it or its parts overflow or underflow.
template <class S>
Pair<S> two_product(S a, S b) {
  S product = a * b;
  return {product, product_error(a, b, product)};
}

/// x + x_low = n * ln 2 + r + r_low with |r| <= ln 2 / 2, for |x| < 2^11.
template <class S>
struct ExpReduction {
  int_of<S> n;
  S whole;  ///< n
  S r;
  S r_low;
  ExpReduction(S x, S x_low) : n(int_of<S>::constant(0)), whole(x), r(x), r_low(x) {
    S magic = constant<S>(kRoundMagic);
    S shifted = fma(x, constant<S>(kLog2E), magic);
    n = shifted.as_int() - magic.as_int();
    whole = shifted - magic;
    S high = fma(whole, constant<S>(-kLn2High), x);
    S low = whole * constant<S>(kLn2Low) - x_low;
    r = high - low;
    r_low = (high - r) - low;
  }
};

/// (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2.
template <class S>
S expm1_tail(S r) {
  static constexpr double kC[] = {0x1p-1,
                                  0x1.5555555555557p-3,
                                  0x1.5555555555552p-5,
                                  0x1.1111111110049p-7,
                                  0x1.6c16c16c18939p-10,
                                  0x1.a01a01ac2497ep-13,
                                  0x1.a01a0197bcfdep-16,
                                  0x1.71de0192ff502p-19,
                                  0x1.27e500d1f7054p-22,
                                  0x1.af4f07d7fb035p-26,
                                  0x1.1f332317b7238p-29};
  return polynomial(r, kC);
}

/// exp(x + x_low) for |x| <= 746, no special values.
template <class S>
S exp_bounded(S x, S x_low) {
  ExpReduction<S> reduced(x, x_low);
  S tail = fma(reduced.r * reduced.r, expm1_tail(reduced.r), reduced.r_low);
  return scale(constant<S>(1) + (reduced.r + tail), reduced.n, reduced.whole);
}

template <class S>
S exp_bounded(S x) {
  return exp_bounded(x, constant<S>(0));
}

template <class S>
S exp(S x) {
  return exp_bounded(max(constant<S>(-746), min(constant<S>(710), x)));
}

template <class S>
S expm1(S x) {
  S bounded = max(constant<S>(-40), min(constant<S>(710), x));
  ExpReduction<S> reduced(bounded, constant<S>(0));
  S scale_half = pow2<S>(reduced.n - int_of<S>::constant(1));
  // scale * (1 + r + tail) - 1: the first sum is kept exactly.
  Pair<S> head = two_sum(scale_half - constant<S>(0.5), scale_half * reduced.r);
  S tail = fma(reduced.r * reduced.r, expm1_tail(reduced.r), reduced.r_low);
  S result = constant<S>(2) * (head.high + (fma(scale_half, tail, head.low)));
  return select(abs(x) < constant<S>(0x1p-54), x, result);
}

/// 1 + f in [sqrt(1/2), sqrt(2)) and e such that x = (1 + f) * 2^e, for positive normal x.
template <class S>
struct LogReduction {
  S f;
  int_of<S> exponent;
  explicit LogReduction(S x) : f(x), exponent(int_of<S>::constant(0)) {
    using I = int_of<S>;
    I root_half = I::constant(0x3fe6a09e667f3bcd);
    I offset = x.as_int() - root_half + I::constant(std::int64_t{1023} << 52);
    exponent = offset.shr(52) - I::constant(1023);
    f = ((offset & I::constant(0xfffffffffffff)) + root_half).as_float() - constant<S>(1);
  }
};

/// log(1 + f + f_low) + e * ln 2 for f in [sqrt(1/2) - 1, sqrt(2) - 1).
template <class S>
S log_reduced(S f, S f_low, S e) {
  // With s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - (f^2 / 2 - s (f^2 / 2 + R(s^2))).
  static constexpr double kC[] = {0x1.5555555555558p-1, 0x1.9999999995322p-2, 0x1.2492492deee3cp-2, 0x1.c71c62e659d66p-3,
                                  0x1.7462b4b7deac2p-3, 0x1.39fe59b326d4ap-3, 0x1.2b58bfd814b5ap-3};
  S s = f / (f + constant<S>(2));
  S z = s * s;
  S half_square = constant<S>(0.5) * f * f;
  S tail = fma(s, fma(z, polynomial(z, kC), half_square), fma(e, constant<S>(kLn2Low), f_low));
  Pair<S> head = two_sum(e * constant<S>(kLn2High), f);
  return head.high + (head.low + (tail - half_square));
}

/// Special results of a logarithm whose argument is `x`: x itself if infinite or NaN, -inf for 0, NaN below.
template <class S>
S log_specials(S x, S result) {
  S zero = constant<S>(0);
  result = select(x < infinity<S>(), result, x);
  result = select(x == zero, zero - infinity<S>(), result);
  return select(x < zero, quiet_nan<S>(), result);
}

template <class S>
S log(S x) {
  using I = int_of<S>;
  auto subnormal = x < constant<S>(0x1p-1022);
  LogReduction<S> reduced(select(subnormal, x * constant<S>(0x1p54), x));
  I exponent = select(subnormal, reduced.exponent - I::constant(54), reduced.exponent);
  return log_specials(x, log_reduced(reduced.f, constant<S>(0), to_double<S>(exponent)));
}

template <class S>
S log1p(S x) {
  using I = int_of<S>;
  S one = constant<S>(1);
  Pair<S> sum = two_sum(one, x);
  LogReduction<S> reduced(sum.high);
  I bounded = select(reduced.exponent > I::constant(512), I::constant(512), reduced.exponent);
  S lost = select(x < constant<S>(0x1p512), sum.low, constant<S>(0)) * pow2<S>(I::constant(0) - bounded);
  Pair<S> f = fast_two_sum(reduced.f, lost);
  // d log(1 + f) = f_low / (1 + f)
  S result = log_reduced(f.high, f.low - f.low * f.high, to_double<S>(reduced.exponent));
  result = select(abs(x) < constant<S>(0x1p-54), x, result);
  return log_specials(sum.high, result);
}

template <class S>
S tanh(S x) {
  static constexpr double kC[] = {-0x1.5555555555555p-2,  0x1.111111111102fp-3,  -0x1.ba1ba1ba0574p-5,   0x1.664f487aac714p-6,
                                  -0x1.226e33b7f87fep-7,  0x1.d6d3661c63c14p-9,  -0x1.7d9a915fe8574p-10, 0x1.34da7de6d043ep-11,
                                  -0x1.ec013b94f9daap-13, 0x1.591041d36f8aep-14, -0x1.253f4f944f4bep-17, -0x1.6970e058e9dd1p-16,
                                  0x1.ffcb434c24297p-17};  // (tanh(x) / x - 1) / x^2 in x^2, to 0.55
  S magnitude = abs(x);
  S square = x * x;
  S small = fma(magnitude * square, polynomial(square, kC), magnitude);
  S doubled = min(constant<S>(44), magnitude + magnitude);
  S large = constant<S>(1) - constant<S>(2) / (exp_bounded(doubled) + constant<S>(1));
  return copysign(select(magnitude < constant<S>(0.55), small, large), x);
}

template <class S>
S sigmoid(S x) {
  S one = constant<S>(1);
  auto negative = x < constant<S>(0);
  // exp(-|x|) = e + e_low and 1 + exp(-|x|) = sum + sum_low: what the high parts lose is put back into the quotient.
  ExpReduction<S> reduced(max(constant<S>(-746), negate(abs(x))), constant<S>(0));
  Pair<S> part = fast_two_sum(reduced.r, fma(reduced.r * reduced.r, expm1_tail(reduced.r), reduced.r_low));
  Pair<S> head = fast_two_sum(one, part.high);
  S e = scale(head.high, reduced.n, reduced.whole);
  S e_low = scale(head.low + part.low, reduced.n, reduced.whole);
  Pair<S> sum = fast_two_sum(one, e);
  S quotient = select(negative, e, one) / sum.high;
  S inverse = select(negative, one - quotient, quotient);
  return quotient + (select(negative, e_low, constant<S>(0)) - quotient * (sum.low + e_low)) * inverse;
}

template <class S>
S erf(S x) {
  // erf(x) / x - 1 in x^2, to 1
  static constexpr double kSmall[] = {0x1.06eba8214db69p-3,  -0x1.812746b037a02p-2,  0x1.ce2f21a043b39p-4,  -0x1.b82ce312c9046p-6,
                                      0x1.565bcd17e7affp-8,  -0x1.c02db5bf4fdf2p-11, 0x1.f9a35d6366c6dp-14, -0x1.f4d6e3d73802p-17,
                                      0x1.ba29d49a8d0f7p-20, -0x1.622497fd12df8p-23, 0x1.112a309b72beap-26, -0x1.fbbb16912a4f1p-30,
                                      0x1.46ec34a1d4291p-32, -0x1.3737f2eb81f88p-35};
  // log(erfc(x)) in x - 1, 1 to 6; its absolute error counts, weighted by erfc(x)
  static constexpr double kLarge[] = {-0x1.d97fbf27aa2a2p0,   -0x1.51c9b0006c1a9p1,   -0x1.afabc11a310b6p-1,  -0x1.5477f091be43ap-5,
                                      0x1.48c9d2283c824p-7,   -0x1.033f37ef7b765p-9,  0x1.f1a7930e46743p-13,  0x1.b9eef7c831d4bp-16,
                                      -0x1.c9ca41d923995p-16, 0x1.489e1eb69ef96p-17,  -0x1.2ed482ba83634p-19, 0x1.3f44dedf75738p-22,
                                      0x1.0cc86696fa319p-27,  -0x1.db44240a41b61p-27, 0x1.b7a060aeccd4cp-29,  -0x1.8eb71c1790f8ap-32,
                                      0x1.322c1c27b41c8p-36};
  S one = constant<S>(1);
  S magnitude = abs(x);
  S square = x * x;
  S small = fma(x, polynomial(square, kSmall), x);
  S bounded = max(one, min(constant<S>(6), magnitude));
  S large = one - exp_bounded(polynomial(bounded - one, kLarge));
  large = select(magnitude == magnitude, large, magnitude);
  return select(magnitude < one, small, copysign(large, x));
}

/// QuarterTurns of every finite x: 1 / (2 pi) in pieces of 26 bits, whose products with the halves of x are exact, of each of which
/// only the fraction is kept. Of the 45 pieces, 13 from a place that the exponent of x selects can matter.
struct TurnsOfAny {
  static constexpr std::string_view name = "turns_of_any";
  template <class S>
  std::array<S, 3> operator()(S x) const;
};

/// Bits 26 i + 1 ... 26 i + 26 of the fraction of 1 / (2 pi), as integers.
inline constexpr std::int32_t kInverseTurn[] = {
    0xa2f983,  0x1b93910, 0x1529fc2, 0x1d5f47d, 0x134ddc0, 0x36d8a56, 0x193c439, 0x107f94,  0x163abde, 0x2ef1586,
    0x37246e3, 0x2909374, 0x2e00649, 0xbba827,  0x11921cf, 0x3877ac7, 0xb129a7,  0xfba208,  0x35f52eb, 0x2d1213a,
    0x19c7026, 0x2d17df9, 0x13991d,  0x18e60d4, 0x339f49c, 0x2117e2e, 0x3df9283, 0x2c7fe25, 0x3ffde05, 0x2603fbc,
    0x2f118b5, 0x2829b47, 0x36d367e, 0x33c9f2c, 0x9b74f4,  0x18fd9a7, 0x25fea2d, 0x1d49eeb, 0x7ebe5f,  0x5ecf41,
    0x339f78a, 0x14a4ba9, 0x2bfb5fb, 0x47e357,  0x1085603, 0xc11bf1,  0x3b6babf, 0x33ef08,  0x9af436};
inline constexpr int kTurnPieces = 13;
inline constexpr int kTurnWindows = 7;
inline constexpr int kPiecesBetweenWindows = 6;

consteval double exact_pow2(int n) {
  double power = 1;
  for (int i = 0; i < (n < 0 ? -n : n); ++i) power *= n < 0 ? 0.5 : 2.0;
  return power;
}

/// The pieces that matter in each window of exponents, scaled to the window, and where the windows begin.
struct TurnTable {
  double piece[kTurnWindows][kTurnPieces] = {};
  double begin[kTurnWindows] = {};
  double scale[kTurnWindows] = {};
  consteval TurnTable() {
    for (int w = 0; w < kTurnWindows; ++w) {
      // From 2^(55 + 156 w) on, the pieces before window w contribute whole turns only.
      begin[w] = exact_pow2(55 + 26 * kPiecesBetweenWindows * w);
      scale[w] = exact_pow2(-26 * kPiecesBetweenWindows * w);
      for (int i = 0; i < kTurnPieces; ++i) piece[w][i] = kInverseTurn[i + kPiecesBetweenWindows * w] * exact_pow2(-26 * (i + 1));
    }
  }
};

template <class S>
std::array<S, 3> TurnsOfAny::operator()(S x) const {
  static constexpr TurnTable kTable;
  S magnitude = abs(x);
  S piece[kTurnPieces] = {x, x, x, x, x, x, x, x, x, x, x, x, x};
  for (int i = 0; i < kTurnPieces; ++i) piece[i] = constant<S>(kTable.piece[0][i]);
  S scaled = x;
  for (int w = 1; w < kTurnWindows; ++w) {
    auto here = magnitude >= constant<S>(kTable.begin[w]);
    for (int i = 0; i < kTurnPieces; ++i) piece[i] = select(here, constant<S>(kTable.piece[w][i]), piece[i]);
    scaled = select(here, x * constant<S>(kTable.scale[w]), scaled);
  }
  Pair<S> factor = split(scaled);
  S total = constant<S>(0);
  S part[kTurnPieces] = {x, x, x, x, x, x, x, x, x, x, x, x, x};
  for (int i = 0; i < kTurnPieces; ++i) {
    S high = factor.high * piece[i];
    S low = factor.low * piece[i];
    piece[i] = high - round_even(high);
    part[i] = low - round_even(low);
    total = total + (piece[i] + part[i]);
  }
  S quarter = round_even(total * constant<S>(4));
  // The quarter turns go first, so that what cancels has done so before anything is rounded.
  Pair<S> rest = {quarter * constant<S>(-0.25), constant<S>(0)};
  for (int i = 0; i < kTurnPieces; ++i) {
    Pair<S> first = two_sum(rest.high, piece[i]);
    Pair<S> second = two_sum(first.high, part[i]);
    rest = two_sum(second.high, rest.low + first.low + second.low);
  }
  Pair<S> radians = two_product(rest.high, constant<S>(0x1.921fb54442d18p2));
  S low = radians.low + fma(rest.high, constant<S>(0x1.1a62633145c07p-52), rest.low * constant<S>(0x1.921fb54442d18p2));
  return {quarter + constant<S>(kRoundMagic), radians.high, low};
}

/// x modulo a quarter turn.
template <class S>
struct QuarterTurns {
  S shifted;  ///< kRoundMagic + the nearest number of quarter turns, or one that differs by a multiple of 4
  S r;        ///< the rest, in radians: r + r_low
  S r_low;
  explicit QuarterTurns(S x);
  /// The sine after `turned` more quarter turns.
  S sine(int turned) const;
};

template <class S>
QuarterTurns<S>::QuarterTurns(S x) : shifted(x), r(x), r_low(x) {
  S magic = constant<S>(kRoundMagic);
  shifted = fma(x, constant<S>(0x1.45f306dc9c883p-1), magic);
  S n = shifted - magic;
  // Below 2^20 n has 20 bits. A quarter turn is taken in parts of 33 bits, whose products with n are exact, and one of 53.
  // What a difference loses is kept; where the left is the smaller, both are multiples of the same unit, and nothing is lost.
  S high = fma(n, constant<S>(-0x1.921fb544p0), x);
  Pair<S> middle = fast_two_sum(high, n * constant<S>(-0x1.0b4611a6p-34));
  Pair<S> low = fast_two_sum(middle.high, fma(n, constant<S>(-0x1.3198a2ep-69), middle.low));
  Pair<S> rest = fast_two_sum(low.high, fma(n, constant<S>(-0x1.b839a252049c1p-104), low.low));
  std::array<S, 3> all = where_rare<TurnsOfAny>(abs(x) > constant<S>(0x1p20), std::array<S, 3>{shifted, rest.high, rest.low}, x);
  shifted = all[0];
  r = all[1];
  r_low = all[2];
}

template <class S>
S QuarterTurns<S>::sine(int turned) const {
  static constexpr double kSine[] = {-0x1.5555555555555p-3,  0x1.111111111102p-7,   -0x1.a01a019fe935fp-13, 0x1.71de3a117b28fp-19,
                                     -0x1.ae63fa104bf3ap-26, 0x1.60e75722116e6p-33, -0x1.8e2e487d86f66p-41};
  static constexpr double kCosine[] = {0x1.5555555555555p-5,   -0x1.6c16c16c168c6p-10, 0x1.a01a019f37109p-16,
                                       -0x1.27e4fa0143cb1p-22, 0x1.1eeb560ee7961p-29,  -0x1.907236e920eb7p-37};
  using I = int_of<S>;
  S one = constant<S>(1);
  S square = r * r;
  S half_square = constant<S>(0.5) * square;
  S head = one - half_square;
  S sine = r + fma(r * square, polynomial(square, kSine), r_low * head);
  S head_low = (one - head) - half_square;
  S cosine = head + fma(square * square, polynomial(square, kCosine), head_low - r * r_low);
  I place = shifted.as_int() + I::constant(turned);
  S value = select((place & I::constant(1)) == I::constant(0), sine, cosine);
  return (value.as_int() ^ (place & I::constant(2)).shl(62)).as_float();
}

template <class S>
S sin(S x) {
  return select(abs(x) < constant<S>(0x1p-27), x, QuarterTurns<S>(x).sine(0));
}

template <class S>
S cos(S x) {
  return QuarterTurns<S>(x).sine(1);
}

/// C's special cases of pow around `power` = |x|^y, which is right where |x| is not 1 and y is not 0.
template <class S>
S pow_specials(S x, S y, S power) {
  S zero = constant<S>(0);
  S one = constant<S>(1);
  S half_y = constant<S>(0.5) * y;
  auto whole = floor(y) == y;
  auto odd = whole & (floor(half_y) != half_y);
  auto negative = x.as_int() < int_of<S>::constant(0);
  power = select((abs(x) == one) & (y == y), one, power);
  power = select(negative & odd, negate(power), power);
  power = select((x < zero) & ~whole & (abs(x) < infinity<S>()), quiet_nan<S>(), power);
  power = select((x == x) | (y == zero), power, x);
  return select((x == one) | (y == zero), one, power);
}

/// log(x) as a pair, for positive finite x, to 2^-61 of itself.
template <class S>
Pair<S> log_pair(S x) {
  using I = int_of<S>;
  static constexpr double kC[] = {0x1.999999999999fp-2, 0x1.249249248e32ep-2, 0x1.c71c71d82dd8cp-3, 0x1.745d09d034cfcp-3,
                                  0x1.3b18c01e9816cp-3, 0x1.1017e9e1a5e1dp-3, 0x1.08809549b564dp-3};
  auto subnormal = x < constant<S>(0x1p-1022);
  LogReduction<S> reduced(select(subnormal, x * constant<S>(0x1p54), x));
  S e = to_double<S>(select(subnormal, reduced.exponent - I::constant(54), reduced.exponent));
  // s = f / (2 + f) as a pair
  Pair<S> denominator = fast_two_sum(constant<S>(2), reduced.f);
  S s = reduced.f / denominator.high;
  Pair<S> back = two_product(s, denominator.high);
  S s_low = (((reduced.f - back.high) - back.low) - s * denominator.low) / denominator.high;
  // 2 s + 2/3 s^3 + s^5 P(s^2), the first two terms as pairs
  Pair<S> square = two_product(s, s);
  square.low = square.low + constant<S>(2) * s * s_low;
  Pair<S> cube = two_product(s, square.high);
  cube.low = cube.low + s * square.low + s_low * square.high;
  Pair<S> third = two_product(cube.high, constant<S>(0x1.5555555555555p-1));
  third.low = third.low + cube.low * constant<S>(0x1.5555555555555p-1) + cube.high * constant<S>(0x1.5555555555555p-55);
  S rest = square.high * cube.high * polynomial(square.high, kC);
  Pair<S> sum = fast_two_sum(constant<S>(2) * s, third.high);
  sum.low = sum.low + (constant<S>(2) * s_low + third.low + rest);
  sum = fast_two_sum(sum.high, sum.low);
  // + e ln 2
  Pair<S> whole = two_sum(e * constant<S>(kLn2High), sum.high);
  Pair<S> part = two_product(e, constant<S>(kLn2Low));
  Pair<S> low = two_sum(whole.low, part.high);
  Pair<S> total = fast_two_sum(whole.high, low.high);
  return fast_two_sum(total.high, total.low + (low.low + part.low + e * constant<S>(0x1.cc01f97b57a08p-87) + sum.low));
}

template <class S>
S pow(S x, S y) {
  S magnitude = abs(x);
  // Beyond 2^70 the exponent only says whether the result is 0, 1 or infinity; products of the split stay finite.
  S bounded = max(constant<S>(-0x1p70), min(constant<S>(0x1p70), y));
  bounded = select(y == y, bounded, y);
  Pair<S> logarithm = log_pair(magnitude);
  Pair<S> product = two_product(logarithm.high, bounded);
  S low = product.low + logarithm.low * bounded;
  Pair<S> exponent = fast_two_sum(product.high, low);
  auto huge = abs(exponent.high) > constant<S>(745.5);
  S clamped = max(constant<S>(-746), min(constant<S>(710), exponent.high));
  S power = exp_bounded(clamped, select(huge, constant<S>(0), exponent.low));
  // |x| = 0 or infinity
  S zero = constant<S>(0);
  S inf = infinity<S>();
  auto up = (magnitude == zero) ^ (y > zero);
  power = select((magnitude == zero) | (magnitude == inf), select(up, inf, zero), power);
  power = select(y == y, power, y);
  return pow_specials(x, y, power);
}

/// The significand of a positive x as an integer in [2^52, 2^53), and the exponent of its unit.
template <class S>
struct Significand {
  S integer;
  int_of<S> exponent;
  explicit Significand(S x) : integer(x), exponent(x.as_int()) {
    using I = int_of<S>;
    auto subnormal = x < constant<S>(0x1p-1022);
    I bits = select(subnormal, x * constant<S>(0x1p53), x).as_int();
    exponent = bits.shr(52) - select(subnormal, I::constant(1075 + 53), I::constant(1075));
    integer = ((bits & I::constant(0xfffffffffffff)) | I::constant(std::int64_t{1075} << 52)).as_float();
  }
};

/// What is left of an integer |x| <= m after taking away m where that brings it nearer to 0: at most m / 2 in magnitude.
template <class S>
S balanced(S x, S m) {
  S half = constant<S>(0.5) * m;
  x = select(x > half, x - m, x);
  return select(x < negate(half), x + m, x);
}

/// x * y modulo m in balanced form, exactly, for integers |x|, |y| <= m / 2 and m < 2^53. The rounded quotient is off by less than 1, so
/// that the rest, taken from both products exactly, is at most m.
template <class S>
S balanced_product(S x, S y, S m) {
  Pair<S> product = two_product(x, y);
  Pair<S> multiple = two_product(round_even(product.high / m), m);
  return balanced((product.high - multiple.high) + (product.low - multiple.low), m);
}

/// C's fmod, exactly: 2^k modulo the divisor by squaring, k the difference of the exponents.
template <class S>
S remainder(S a, S b) {
  using I = int_of<S>;
  S magnitude = abs(a);
  S divisor = abs(b);
  Significand<S> dividend(magnitude);
  Significand<S> modulus(divisor);
  S m = modulus.integer;
  I k = max(I::constant(0), dividend.exponent - modulus.exponent);
  constexpr int kSquarings = 6;  // k < 2^12, and 2^(k / 64) is below m / 2
  S power = pow2<S>(min(I::constant(50), k.shr(kSquarings)));
  for (int bit = kSquarings - 1; bit >= 0; --bit) {
    power = balanced_product(power, power, m);
    S twice = balanced(power + power, m);
    power = select((k & I::constant(1 << bit)) != I::constant(0), twice, power);
  }
  S whole = dividend.integer;
  S rest = balanced_product(power, balanced(select(whole >= m, whole - m, whole), m), m);
  rest = select(rest < constant<S>(0), rest + m, rest);
  S result = copysign(select(magnitude < divisor, magnitude, scale(rest, modulus.exponent)), a);
  return select((magnitude < infinity<S>()) & (divisor > constant<S>(0)), result, quiet_nan<S>());
}

}  // namespace f64

}  // namespace kiln::ops::vmath
