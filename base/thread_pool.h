// One pool of worker threads for the process.
#pragma once
#include <cstdint>

namespace kiln {

/// Calls fn(context, begin, end) so that [0, count) is covered once, in static chunks of at least `grain`; the caller takes part.
/// The partition depends on count, grain and the number of threads only. Inline when called from a worker, when the pool is busy, or when
/// one chunk remains.
void parallel_for(std::int64_t count, std::int64_t grain, void (*fn)(void* context, std::int64_t begin, std::int64_t end),
                  void* context) noexcept;

template <class F>
void parallel_for(std::int64_t count, std::int64_t grain, const F& f) noexcept {
  parallel_for(
      count, grain, [](void* c, std::int64_t begin, std::int64_t end) { (*static_cast<const F*>(c))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&f)));
}

/// Threads that take part in parallel_for, the caller included: set_num_threads, else KILN_NUM_THREADS, else the CPUs this process may use.
int num_threads();
void set_num_threads(int n);
/// For tests: every grain becomes that many times smaller, so that threads share small loops as well.
void divide_grains(std::int64_t divisor);

}  // namespace kiln
