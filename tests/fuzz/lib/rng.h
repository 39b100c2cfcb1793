// Small random choices that are the same on every machine.
#pragma once
#include <cstdint>
#include <random>
#include <vector>

namespace kiln::testing {

class Rng {
 public:
  explicit Rng(std::uint64_t seed) : generator_(seed) {}
  /// 0 ... n - 1.
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(generator_() % static_cast<std::uint64_t>(n)); }
  /// low ... high.
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + below(high - low + 1); }
  bool chance(double probability) { return uniform() < probability; }
  /// [0, 1).
  double uniform() { return static_cast<double>(generator_() >> 11) * 0x1p-53; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(below(static_cast<std::int64_t>(from.size())))];
  }

 private:
  std::mt19937_64 generator_;
};

}  // namespace kiln::testing
