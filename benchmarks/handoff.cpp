// Two threads send each other a counter.
#include "handoff.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr unsigned kTrips = 64;  ///< timed together
constexpr int kSamples = 200;

struct alignas(64) Line {
  std::atomic<unsigned> count{0};
};

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/// Answers every count of `to` in `from`; returns after the last one.
void answer(const Line& to, Line& from, unsigned last) {
  for (unsigned seen = 0; seen != last;) {
    const unsigned count = to.count.load(std::memory_order_acquire);
    if (count == seen) continue;
    seen = count;
    from.count.store(seen, std::memory_order_release);
  }
}

}  // namespace

double handoff_ns() {
  cpu_set_t allowed;
  if (pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0) return 0;
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE && cpus.size() < 2; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  if (cpus.size() < 2) return 0;
  Line to, from;
  std::thread other([&] {
    pin(cpus[1]);
    answer(to, from, kTrips * kSamples);
  });
  pin(cpus[0]);
  std::vector<double> samples;
  unsigned count = 0;
  for (int i = 0; i < kSamples; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (unsigned trip = 0; trip < kTrips; ++trip) {
      to.count.store(++count, std::memory_order_release);
      while (from.count.load(std::memory_order_acquire) != count) {
      }
    }
    samples.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / kTrips);
  }
  other.join();
  pthread_setaffinity_np(pthread_self(), sizeof allowed, &allowed);
  std::sort(samples.begin(), samples.end());
  return samples[kSamples / 4];
}

}  // namespace bench
