// Random graphs over the op registry.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "graph/graph.h"
#include "graph/value.h"

namespace kiln::testing {

/// Values for a graph's parameters, and what its ops gave when they were applied eagerly, one by one.
struct FuzzRun {
  std::vector<graph::Value> inputs;
  std::vector<graph::Value> eager;  ///< the results, then the state writes
};

/// A graph with one run, or, where it has symbolic dims, one for each of two bindings.
struct FuzzCase {
  std::uint64_t seed = 0;
  std::shared_ptr<const graph::Graph> graph;
  std::vector<FuzzRun> runs;
  int gradients = 0;  ///< gradients that a tape gave, among the results
};

struct FuzzOptions {
  int min_nodes = 3;
  int max_nodes = 40;
  std::int64_t max_elements = 4096;  ///< of one tensor
  bool edge_values = true;           ///< infinities, NaN, zeros of both signs, subnormal and huge numbers among the inputs
  bool state = true;                 ///< variables that are read and written
  bool symbolic = false;             ///< symbolic lengths, run at two bindings
  bool gradients = false;            ///< gradients of some values by some inputs, taken by a tape
};

/// What the fuzzer makes of a seed: mostly small graphs, a quarter symbolic, a quarter with gradients, now and then a large one.
FuzzOptions options_of(std::uint64_t seed);

/// The same graph for the same seed. Ops, dtypes and shapes are chosen from the registry; no op fails at run time.
FuzzCase random_case(std::uint64_t seed, const FuzzOptions& options);

/// What to leave out of a case.
struct Reduction {
  std::vector<bool> dropped;  ///< by output
  std::vector<bool> cut;      ///< by node: it becomes an argument, bound to the value that it has
  graph::NodeId only = -1;    ///< >= 0: that node is the only output
};

/// The rest of a case. Its `eager` is what the interpreter gives.
FuzzCase reduced(const FuzzCase& c, const Reduction& reduction);

/// The graph at the lengths of `inputs`.
graph::Graph at_lengths_of(const graph::Graph& graph, std::span<const graph::Value> inputs);

}  // namespace kiln::testing
