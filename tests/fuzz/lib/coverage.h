// What the fuzzer has drawn: ops by element type, and features of graphs; only nodes that some output needs count. Plain counters that live
// in memory shared by processes.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/fuzz/lib/fuzz_case.h"

namespace kiln::testing {

struct Coverage {
  static constexpr std::size_t kMaxOps = 128;
  static constexpr std::size_t kRanks = 9;
  std::array<std::array<std::atomic<std::uint64_t>, kDTypeCount>, kMaxOps> ops =
      {};                                                          ///< by place in all_ops(), by dtype of the first operand
  std::array<std::atomic<std::uint64_t>, kRanks> ranks = {};       ///< nodes of that rank
  std::atomic<std::uint64_t> empty{0};                             ///< nodes without elements
  std::atomic<std::uint64_t> symbolic{0}, state{0}, gradients{0};  ///< graphs with such

  void add(const FuzzCase& c);
};

/// Ops of the registry with the types of their first operand (of their result, if they take none) that their shape rules accept.
std::vector<std::pair<std::size_t, DType>> drawable();

/// Those that were never drawn: "bit_and uint8".
std::vector<std::string> never_drawn(const Coverage& coverage);

}  // namespace kiln::testing
