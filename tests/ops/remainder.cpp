// rem and mod of floats are exact: std::fmod's bits for quotients of every size, denormals, infinities, NaN and signed zeros.
#include "tests/catch.h"
#include "tests/ops/elementwise_support.h"

using namespace kiln;
using namespace kiln::test;

namespace {

/// Numbers of every kind: any bits, edges, and neighbours of each other.
template <class T>
std::vector<T> numbers(std::size_t count, unsigned seed) {
  using Limits = std::numeric_limits<T>;
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  const T edges[] = {T(0),
                     T(1),
                     T(3),
                     T(0.1),
                     Limits::min(),
                     Limits::denorm_min(),
                     3 * Limits::denorm_min(),
                     Limits::max(),
                     Limits::infinity(),
                     Limits::quiet_NaN(),
                     1 + Limits::epsilon(),
                     2 - Limits::epsilon()};
  std::mt19937_64 random(seed);
  std::vector<T> all(count);
  for (T& x : all) {
    const auto bits = static_cast<Bits>(random());
    switch (random() % 4) {
      case 0:
        x = edges[random() % std::size(edges)];
        break;
      case 1:
        x = static_cast<T>(static_cast<std::int64_t>(random()) >> (random() % 60));
        break;
      default:
        x = std::bit_cast<T>(bits);
    }
    if (random() % 2 == 0) x = -x;
  }
  return all;
}

template <class T>
T modulo(T a, T b) {
  T r = std::fmod(a, b);
  if (r != 0 && (r < 0) != (b < 0)) r += b;
  return r == 0 ? std::copysign(T(0), b) : r;
}

template <class T>
void check(std::string_view op, T (*expected)(T, T), std::int64_t count) {
  const std::vector<T> a = numbers<T>(static_cast<std::size_t>(count), 5), b = numbers<T>(static_cast<std::size_t>(count), 6);
  std::vector<Guarded> operands;
  operands.emplace_back(dtype_of<T>(), Shape{count});
  operands.emplace_back(dtype_of<T>(), Shape{count});
  std::copy(a.begin(), a.end(), static_cast<T*>(operands[0].data()));
  std::copy(b.begin(), b.end(), static_cast<T*>(operands[1].data()));
  for (Isa isa : isa_levels()) {
    Guarded result = run(isa, ops::op(op), operands);
    const T* found = static_cast<const T*>(result.data());
    int wrong = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const T want = expected(a[i], b[i]);
      const bool same = std::isnan(want) ? std::isnan(found[i]) : std::memcmp(&want, &found[i], sizeof(T)) == 0;
      if (same || ++wrong > 5) continue;
      FAIL_CHECK(op << "(" << a[i] << ", " << b[i] << ") is " << want << ", not " << found[i] << "; isa " << static_cast<int>(isa));
    }
    CHECK(wrong == 0);
  }
}

}  // namespace

TEST_CASE("the remainder is exact") {
  check<float>("rem", std::fmod, 300000);
  check<double>("rem", std::fmod, 300000);
}

TEST_CASE("the floor modulus is the exact remainder, moved once") {
  check<float>("mod", modulo<float>, 300000);
  check<double>("mod", modulo<double>, 300000);
}
