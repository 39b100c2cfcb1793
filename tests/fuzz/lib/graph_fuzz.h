// A random graph generator over the op registry, and the comparison of ways to run a graph ("legs").
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/value.h"

namespace kiln::testing {

/// A graph, what to bind to its parameters, and what its ops gave when they were applied eagerly, one by one.
struct FuzzCase {
  std::uint64_t seed = 0;
  std::shared_ptr<const graph::Graph> graph;
  std::vector<graph::Value> inputs;
  std::vector<graph::Value> eager;  ///< the results, then the state writes
};

struct FuzzOptions {
  int min_nodes = 5;
  int max_nodes = 40;
  bool edge_values = true;  ///< infinities, NaN, zeros of both signs, subnormal and huge numbers among the inputs
  bool state = true;        ///< variables that are read and written
};

/// The same graph for the same seed. Ops, dtypes and shapes are chosen from the registry; no op fails at run time.
FuzzCase random_case(std::uint64_t seed, const FuzzOptions& options = {});

/// How a leg's outputs compare: eager's bits, or within the bound of evaluate_bounded().
enum class Compare { bits, bound };

/// A way to run a graph: the results, then the new value of each state write.
struct Leg {
  std::string name;
  Compare compare = Compare::bits;
  std::function<std::vector<graph::Value>(const graph::Graph& graph, std::span<const graph::Value> inputs)> run;
};

/// Runs `count` random graphs through every leg. Prints seed, rerun line, and the smallest slice of the graph that still fails.
/// KILN_FUZZ_SEED=n runs that one graph; KILN_FUZZ_COUNT overrides `count`. Returns the number of failures.
int run_fuzz(std::span<const Leg> legs, int count, std::uint64_t first_seed = 1, const FuzzOptions& options = {});

/// What a leg got wrong on a case; empty if nothing.
std::string check_leg(const Leg& leg, const FuzzCase& c);

/// The part of `graph` that computes one node, as a graph with that one result. Parameters stay.
graph::Graph slice_of(const graph::Graph& graph, graph::NodeId node);

}  // namespace kiln::testing
