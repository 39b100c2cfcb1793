// Runs random graphs in worker processes, so that a crash or a hang is a failure like any other, and reports what fails.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/fuzz/lib/legs.h"

namespace kiln::testing {

struct DriverOptions {
  std::string program;  ///< for the line that repeats a failure
  std::uint64_t first_seed = 1;
  std::uint64_t count = 2000;           ///< seeds first_seed ... first_seed + count - 1
  double seconds = 0;                   ///< > 0: any number of seeds, until the time is up
  std::uint64_t shard = 0, shards = 1;  ///< only batches of seeds with number % shards == shard
  int jobs = 1;                         ///< processes at once
  int failures = 1;                     ///< stop after so many
  std::string leg;                      ///< only legs whose name begins so
  std::string target;                   ///< only that KILN_TARGET; empty: all that the machine can run, in turn
  int threads = 0;                      ///< KILN_NUM_THREADS; 0: 1, 2 and 3 in turn
};

/// Prints counts by leg and op. Returns the number of failures. `legs` is called in the workers only: this process must stay free of
/// threads and of everything that reads the environment.
int run_driver(const DriverOptions& options, const std::function<std::vector<Leg>()>& legs);

}  // namespace kiln::testing
