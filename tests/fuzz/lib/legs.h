// Ways to run a graph ("legs"), and the comparison of each with eager.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/numerics.h"
#include "tests/fuzz/lib/error_bound.h"
#include "tests/fuzz/lib/fuzz_case.h"

namespace kiln::testing {

/// How a leg's outputs compare: eager's bits, or within the bound of evaluate_bounded().
enum class Compare { bits, bound };

/// Gives the results, then the new value of each state write.
using Runner = std::function<std::vector<graph::Value>(std::span<const graph::Value> inputs)>;

/// A way to run a graph: once prepared, it runs at every binding.
struct Leg {
  std::string name;
  Compare compare = Compare::bits;
  std::function<Runner(const graph::Graph& graph)> prepare;
  std::uint64_t share = 1;  ///< one seed in so many
  std::uint64_t first = 0;  ///< which: seed % share
};

/// The interpreter: bits, and within the bound.
std::vector<Leg> interpreter_legs();

/// The real pipeline through the door, kernels and all: strict against bits, standard against the bound. Inputs lie at the end of a page
/// that is followed by none; state is handed over and comes back in place; after each run, what may only be read must be as before.
std::vector<Leg> compiled_legs();

/// The graph captured again by kiln::function, called with tensors and variables.
std::vector<Leg> function_legs();

/// The bounds of a case's runs, computed once.
class Bounds {
 public:
  explicit Bounds(const FuzzCase& c) : case_(c), by_run_(c.runs.size()) {}
  const std::vector<Bounded>& of_run(std::size_t run);

 private:
  const FuzzCase& case_;
  std::vector<std::vector<Bounded>> by_run_;
};

/// What a leg got wrong on a case; empty if nothing. Exceptions count as wrong.
std::string check_leg(const Leg& leg, const FuzzCase& c, Bounds& bounds);
inline std::string check_leg(const Leg& leg, const FuzzCase& c) {
  Bounds bounds(c);
  return check_leg(leg, c, bounds);
}

}  // namespace kiln::testing
