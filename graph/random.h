// Random state: a seed and a counter of streams. A random op is a pure function of (seed, stream, element).
#pragma once
#include <cstdint>
#include <utility>

#include "graph/value.h"

namespace kiln::graph {

/// Seeds the process's random state and starts its streams again from 0.
void set_seed(std::int64_t seed);

struct RandomKey {
  std::int64_t seed = 0;
  std::int64_t stream = 0;
};
/// Takes `count` streams, never handed out again under this seed. Returns the seed and the first of them.
RandomKey reserve_streams(std::int64_t count);
/// int64[2] as the random op's operand expects it.
Value key_value(RandomKey key);

/// The key and the stream ordinal of a new random op: reserved when eager, symbolic while tracing.
std::pair<Value, std::int64_t> random_stream();

}  // namespace kiln::graph
