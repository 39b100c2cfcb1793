// What a graph computes in real numbers, with a bound on how far any permitted evaluation may be off.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/value.h"

namespace kiln::testing {

/// A tensor in double precision on libm. An implementation may be off by `error`; where `free` is set nothing is promised
/// (an overflow, or a discontinuity within the error). NaN and infinities outside of that are exact.
struct Bounded {
  TensorType type;
  std::vector<double> value, error;
  std::vector<char> free;
};

/// Evaluates with OpDef::reference and carries the bound forward: the op's rounding plus what the operands' errors do to the result.
/// Default-mode code (a*b+c contracted, rewrites tagged rounding, float16 roundings dropped inside a fusion) stays within it.
/// Returns the results, then the state writes.
std::vector<Bounded> evaluate_bounded(const graph::Graph& graph, std::span<const graph::Value> inputs);

/// Why `got` is not within the bound: "element 5: got 1.5, expected 1.25 +- 1e-7"; nothing if it is.
std::optional<std::string> outside(const graph::Value& got, const Bounded& expected);

}  // namespace kiln::testing
