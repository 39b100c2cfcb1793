// graph_fuzz: random graphs through every leg.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/fuzz/lib/driver.h"
#ifdef KILN_FUZZ_COMPILER
#include "tests/fuzz/program/compiler_legs.h"
#endif

namespace {

using namespace kiln::testing;

constexpr const char* kUsage =
    "usage: graph_fuzz [--count N | --seconds S] [--seed N] [--jobs N] [--failures N] [--shard I/N] [--leg NAME]\n"
    "                  [--target baseline|avx2|avx512] [--threads N]\n"
    "Runs random graphs of the seeds from --seed on through every leg. Stops after --failures failures (1), and prints for each the\n"
    "smallest part of the graph that fails and the command that repeats it. --leg takes the beginning of a leg's name.\n";

std::vector<Leg> all_legs() {
  std::vector<Leg> legs = interpreter_legs();
#ifdef KILN_FUZZ_COMPILER
  for (auto more : {compiler_legs, compiled_legs, function_legs}) {
    for (Leg& leg : more()) legs.push_back(std::move(leg));
  }
#endif
  return legs;
}

bool parse(DriverOptions& o, std::string_view name, const char* value) {
  const auto number = [&] { return std::strtoull(value, nullptr, 10); };
  if (name == "--count") {
    o.count = number();
  } else if (name == "--seconds") {
    o.seconds = std::strtod(value, nullptr);
  } else if (name == "--seed") {
    o.first_seed = number();
  } else if (name == "--jobs") {
    o.jobs = static_cast<int>(number());
  } else if (name == "--failures") {
    o.failures = static_cast<int>(number());
  } else if (name == "--shard") {
    unsigned long long shard = 0, shards = 0;
    if (std::sscanf(value, "%llu/%llu", &shard, &shards) != 2 || shard >= shards) return false;
    o.shard = shard;
    o.shards = shards;
  } else if (name == "--leg") {
    o.leg = value;
  } else if (name == "--target") {
    o.target = value;
  } else if (name == "--threads") {
    o.threads = static_cast<int>(number());
  } else {
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  DriverOptions options;
  options.program = argv[0];
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 < argc && parse(options, argv[i], argv[i + 1])) continue;
    fmt::print(stderr, "{}", kUsage);
    return 2;
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);
  if (options.jobs < 1 || options.jobs > 64) options.jobs = 1;
  return run_driver(options, all_legs) == 0 ? 0 : 1;
}
