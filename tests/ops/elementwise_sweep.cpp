// Accuracy of vmath: float64 functions over samples against libm's long double, float32 functions over a sample of their arguments against
// libm's double, or over all of them against the float64 functions.
// Run with "[.full]" for every float, on the level that KILN_TARGET says.
#include <fmt/format.h>

#include <cstdio>

#include "tests/catch.h"
#include "tests/ops/elementwise_support.h"

using namespace kiln;
using namespace kiln::test;

namespace {

struct Function {
  std::string_view op;
  double (*wide)(double);
  long double (*wider)(long double);
  double float32_bound;
  double float64_bound;
};

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
long double sigmoid_wide(long double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

double rsqrt(double x) { return 1 / std::sqrt(x); }
long double rsqrt_wide(long double x) { return 1 / std::sqrt(x); }

// The bounds for float32 are what was measured over all floats (docs/numerics.md), rounded up.
const Function kFunctions[] = {
    {"exp", std::exp, std::exp, 1.0, 1.0},       {"expm1", std::expm1, std::expm1, 1.7, 1.2}, {"log", std::log, std::log, 1.1, 1.0},
    {"log1p", std::log1p, std::log1p, 1.9, 1.0}, {"tanh", std::tanh, std::tanh, 1.5, 1.6},    {"erf", std::erf, std::erf, 1.1, 1.4},
    {"sin", std::sin, std::sin, 0.8, 0.9},       {"cos", std::cos, std::cos, 0.8, 0.9},       {"sigmoid", sigmoid, sigmoid_wide, 1.7, 1.6},
    {"sqrt", std::sqrt, std::sqrt, 0.5, 0.5},    {"rsqrt", rsqrt, rsqrt_wide, 1.6, 1.6},
};

/// The function's double results on the block `x`: libm's, or the faster float64 kernel's.
std::vector<double> wide_results(const Function& f, Isa isa, const float* x, std::int64_t count, bool by_kernel) {
  std::vector<double> results(static_cast<std::size_t>(count));
  if (!by_kernel) {
    std::transform(x, x + count, results.begin(), [&](float v) { return f.wide(v); });
    return results;
  }
  std::vector<Guarded> operand;
  operand.emplace_back(DType::float64, Shape{count});
  std::copy(x, x + count, static_cast<double*>(operand[0].data()));
  Guarded wide = run(isa, ops::op(f.op), operand);
  std::memcpy(results.data(), wide.data(), results.size() * sizeof(double));
  return results;
}

/// ulp_distance() for float32, fast where both are finite and the result is not zero.
double distance32(float got, double want) {
  const auto nearest = static_cast<float>(want);
  const double size = std::bit_cast<float>(std::bit_cast<std::uint32_t>(nearest) & 0x7f800000);
  const bool usual = std::fabs(got) < INFINITY && size < INFINITY && nearest != 0;
  return usual ? std::fabs(got - want) / std::max(size * 0x1p-23, 0x1p-149) : ulp_distance(DType::float32, got, want);
}

/// Largest error in ulps over every stride-th float, and where.
std::pair<double, float> sweep(const Function& f, Isa isa, std::uint64_t stride) {
  constexpr std::int64_t kBlock = 1 << 14;
  std::pair<double, float> worst = {0, 0};
  std::vector<Guarded> operand;
  operand.emplace_back(DType::float32, Shape{kBlock});
  auto* x = static_cast<float*>(operand[0].data());
  for (std::uint64_t bits = 0; bits < (1ull << 32);) {
    for (std::int64_t i = 0; i < kBlock; ++i, bits += stride) x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    Guarded result = run(isa, ops::op(f.op), operand);
    const std::vector<double> wanted = wide_results(f, isa, x, kBlock, stride == 1);
    const auto* y = static_cast<const float*>(result.data());
    for (std::int64_t i = 0; i < kBlock; ++i) {
      const double distance = distance32(y[i], wanted[static_cast<std::size_t>(i)]);
      if (distance > worst.first) worst = {distance, x[i]};
    }
  }
  return worst;
}

/// The same over doubles of every kind.
std::pair<double, double> sample(const Function& f, Isa isa, std::int64_t count) {
  std::mt19937_64 random(11);
  std::vector<Guarded> operand;
  operand.emplace_back(DType::float64, Shape{count});
  auto* x = static_cast<double*>(operand[0].data());
  for (std::int64_t i = 0; i < count; ++i) {
    double unit = static_cast<double>(static_cast<std::int64_t>(random())) * 0x1p-63;
    double kinds[] = {std::bit_cast<double>(random()),
                      unit,
                      unit * 30,
                      unit * 800,
                      1 + unit / 2,
                      std::ldexp(unit, -static_cast<int>(random() % 60)),
                      unit * 5,
                      unit * 0x1p60};
    x[i] = kinds[random() % 8];
  }
  Guarded result = run(isa, ops::op(f.op), operand);
  const auto* y = static_cast<const double*>(result.data());
  std::pair<double, double> worst = {0, 0};
  for (std::int64_t i = 0; i < count; ++i) {
    long double want = f.wider(x[i]);
    auto nearest = static_cast<double>(want);
    double distance = std::isfinite(nearest) && std::isfinite(y[i]) && nearest != 0
                          ? static_cast<double>(std::fabs(y[i] - want) / ulp_at(DType::float64, nearest))
                          : ulp_distance(DType::float64, y[i], nearest);
    if (distance > worst.first) worst = {distance, x[i]};
  }
  return worst;
}

/// Largest error of float32's pow over pairs of all kinds, most of them with a finite result.
double sample_pow(Isa isa, std::int64_t count) {
  constexpr std::int64_t kBlock = 1 << 17;
  std::mt19937_64 random(12);
  std::vector<Guarded> operands;
  for (int i = 0; i < 2; ++i) operands.emplace_back(DType::float32, Shape{kBlock});
  auto* x = static_cast<float*>(operands[0].data());
  auto* y = static_cast<float*>(operands[1].data());
  double worst = 0;
  for (std::int64_t done = 0; done < count; done += kBlock) {
    for (std::int64_t i = 0; i < kBlock; ++i) {
      const std::uint64_t bits = random();
      x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(bits) & (bits % 16 == 0 ? 0xffffffffu : 0x7fffffffu));
      // Results spread over all exponents: y = e / log2(x) for e in -160 ... 160.
      const double e = static_cast<double>(bits >> 32) * 0x1p-32 * 320 - 160;
      const double wanted = e / std::log2(std::fabs(static_cast<double>(x[i])));
      y[i] = bits % 8 == 1 ? std::bit_cast<float>(static_cast<std::uint32_t>(bits >> 32)) : static_cast<float>(wanted);
      if (bits % 8 == 2) y[i] = std::nearbyint(y[i]);
    }
    Guarded result = run(isa, ops::op("pow"), operands);
    const auto* z = static_cast<const float*>(result.data());
    for (std::int64_t i = 0; i < kBlock; ++i)
      worst = std::max(worst, ulp_distance(DType::float32, z[i], std::pow(double{x[i]}, double{y[i]})));
  }
  return worst;
}

void check_all(const std::vector<Isa>& levels, std::uint64_t stride, std::int64_t count, std::int64_t powers) {
  for (Isa isa : levels) {
    for (const Function& f : kFunctions) {
      auto [error32, at32] = sweep(f, isa, stride);
      auto [error64, at64] = sample(f, isa, count);
      fmt::print("{:8} isa {}  float32 {:.3f} ulp at {:a}  float64 {:.3f} ulp at {:a}\n", f.op, static_cast<int>(isa), error32, at32,
                 error64, at64);
      std::fflush(stdout);
      INFO(f.op << " isa " << static_cast<int>(isa));
      CHECK(error32 <= f.float32_bound);
      CHECK(error64 <= f.float64_bound);
    }
    const double error = sample_pow(isa, powers);
    fmt::print("pow      isa {}  float32 {:.3f} ulp\n", static_cast<int>(isa), error);
    CHECK(error <= 1.0);
  }
}

}  // namespace

TEST_CASE("vmath: accuracy over a sample") { check_all(isa_levels(), 20011, 100000, 1 << 19); }
TEST_CASE("vmath: accuracy over every float", "[.full]") { check_all({current_target().isa}, 1, 10000000, 100000000); }

TEST_CASE("vmath: the sigmoid of large negative doubles is not negative") {
  for (Isa isa : isa_levels()) {
    std::vector<Guarded> operand;
    operand.emplace_back(DType::float64, Shape{4000});
    for (std::size_t i = 0; i < 4000; ++i) operand[0].set(i, -745.4 - static_cast<double>(i) * 1e-4);
    for (double y : run(isa, ops::op("sigmoid"), operand).values()) CHECK(!std::signbit(y));
  }
}

TEST_CASE("vmath: sine and cosine of arguments nearest to multiples of a quarter turn") {
  // The first is the worst case of range reduction in double (J.-M. Muller, Elementary Functions, ch. 11); glibc's cos is off by 8 ulp
  // there. Expected values are MPFR's.
  struct Hard {
    double x, sine, cosine;
  };
  const Hard hard[] = {{0x1.6ac5b262ca1ffp849, 1.0, -0x1.14ae72e6ba22fp-61},
                       {0x1.921fb54442d18p0, 1.0, 0x1.1a62633145c07p-54},
                       {0x1.ff8d5e0f57cf8p1023, -0x1.feb8591ad3d83p-1, 0x1.216ffec5d45dcp-4},
                       {1e22, -0x1.b453ab76bf397p-1, 0x1.0be2cef01c8f4p-1}};
  for (Isa isa : isa_levels()) {
    for (const Hard& h : hard) {
      std::vector<Guarded> operand;
      operand.emplace_back(DType::float64, Shape{1});
      operand[0].set(0, h.x);
      CHECK(ulp_distance(DType::float64, run(isa, ops::op("sin"), operand).at(0), h.sine) <= 1);
      CHECK(ulp_distance(DType::float64, run(isa, ops::op("cos"), operand).at(0), h.cosine) <= 1);
    }
  }
}
