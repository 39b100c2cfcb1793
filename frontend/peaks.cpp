// Measures what the machine does at most: multiply-adds, and moving data at each level of its memory.
#include <kiln/profile.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <map>
#include <mutex>
#include <string>

#include "base/require.h"
#include "base/target.h"
#include "base/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace kiln {

namespace {

/// Floating-point operations of `rounds` rounds; the sums go where the compiler cannot drop them.
using Multiply = std::int64_t (*)(std::int64_t rounds, float* sink);
/// x[i] = x[i] * 0.5 + y[i]; n is a multiple of 64.
using Stream = void (*)(float* x, const float* y, std::int64_t n);

struct Kernels {
  Multiply multiply;
  Stream stream;
};

// One pair of functions for each vector type: intrinsics are inlined only into functions of the same target. CHAINS independent sums: more
// than any CPU has in flight, and no more than fit into its registers.
#define KILN_PEAK_KERNELS(NAME, TARGET, VECTOR, LANES, CHAINS, SET, LOAD, STORE, FMA)           \
  TARGET std::int64_t multiply_##NAME(std::int64_t rounds, float* sink) {                       \
    VECTOR a = SET(0.999f), b = SET(0.001f), sums[(CHAINS)];                                    \
    for (int i = 0; i < (CHAINS); ++i) sums[i] = SET(static_cast<float>(i));                    \
    for (std::int64_t r = 0; r < rounds; ++r) {                                                 \
      _Pragma("GCC unroll 32") for (int i = 0; i < (CHAINS); ++i) sums[i] = FMA(sums[i], a, b); \
    }                                                                                           \
    for (int i = 1; i < (CHAINS); ++i) sums[0] = FMA(sums[i], a, sums[0]);                      \
    STORE(sink, sums[0]);                                                                       \
    return rounds * (CHAINS) * 2 * (LANES);                                                     \
  }                                                                                             \
  TARGET void stream_##NAME(float* x, const float* y, std::int64_t n) {                         \
    VECTOR half = SET(0.5f);                                                                    \
    for (std::int64_t i = 0; i < n; i += 4 * (LANES)) {                                         \
      _Pragma("GCC unroll 4") for (int j = 0; j < 4; ++j) {                                     \
        float* at = x + i + j * (LANES);                                                        \
        STORE(at, FMA(LOAD(at), half, LOAD(y + i + j * (LANES))));                              \
      }                                                                                         \
    }                                                                                           \
  }

#if defined(__x86_64__)
KILN_PEAK_KERNELS(avx512, __attribute__((target("avx512f"))), __m512, 16, 24, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
                  _mm512_fmadd_ps)
KILN_PEAK_KERNELS(avx2, __attribute__((target("avx2,fma"))), __m256, 8, 12, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
                  _mm256_fmadd_ps)
#define KILN_MUL_ADD(X, A, B) _mm_add_ps(_mm_mul_ps(X, A), B)
KILN_PEAK_KERNELS(baseline, , __m128, 4, 12, _mm_set1_ps, _mm_loadu_ps, _mm_storeu_ps, KILN_MUL_ADD)

Kernels kernels() {
  switch (current_target().isa) {
    case Isa::avx512:
      return {multiply_avx512, stream_avx512};
    case Isa::avx2:
      return {multiply_avx2, stream_avx2};
    default:
      return {multiply_baseline, stream_baseline};
  }
}
#elif defined(__aarch64__)
#define KILN_MUL_ADD(X, A, B) vfmaq_f32(B, X, A)
KILN_PEAK_KERNELS(neon, , float32x4_t, 4, 24, vdupq_n_f32, vld1q_f32, vst1q_f32, KILN_MUL_ADD)
Kernels kernels() { return {multiply_neon, stream_neon}; }
#else
#define KILN_SAME(X) (X)
#define KILN_LOAD(P) (*(P))
#define KILN_STORE(P, V) (*(P) = (V))
#define KILN_MUL_ADD(X, A, B) ((X) * (A) + (B))
KILN_PEAK_KERNELS(plain, , float, 1, 12, KILN_SAME, KILN_LOAD, KILN_STORE, KILN_MUL_ADD)
Kernels kernels() { return {multiply_plain, stream_plain}; }
#endif

/// Seconds of the fastest of several runs; all together take about 20 ms.
template <class F>
double fastest(const F& run) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  double best = 1e9;
  for (int i = 0; i < 3 || Clock::now() - start < std::chrono::milliseconds(20); ++i) {
    const auto begin = Clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

double measure_gflops(int threads) {
  const Kernels k = kernels();
  constexpr std::int64_t kRounds = 50'000;
  std::vector<std::array<float, 64>> sinks(static_cast<std::size_t>(threads));
  std::int64_t flops = 0;
  const double seconds = fastest([&] {
    parallel_for(threads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t done = k.multiply(kRounds, sinks[static_cast<std::size_t>(i)].data());
        if (i == 0) flops = done;
      }
    });
  });
  return static_cast<double>(flops) * threads / seconds / 1e9;
}

/// Gigabytes a second of reading two arrays of `bytes` together and writing one of them, each thread its own part.
double measure_bandwidth(int threads, std::int64_t bytes) {
  constexpr std::int64_t kStep = 64;
  const std::int64_t part = std::max<std::int64_t>(bytes / 8 / threads / kStep, 1) * kStep;
  std::vector<float> x(static_cast<std::size_t>(part * threads), 1.0f), y(static_cast<std::size_t>(part * threads), 0.5f);
  const Stream stream = kernels().stream;
  const std::int64_t repeats = std::max<std::int64_t>(1, (1 << 21) / (part * 8));
  const double seconds = fastest([&] {
    parallel_for(threads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = 0; r < repeats; ++r) stream(x.data() + begin * part, y.data() + begin * part, (end - begin) * part);
    });
  });
  return static_cast<double>(part * threads * repeats) * 12 / seconds / 1e9;
}

/// The size of the first CPU's unified cache of that level, or `otherwise`.
std::int64_t cache_bytes(int level, std::int64_t otherwise) {
  for (int index = 0; index < 8; ++index) {
    const std::string directory = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
    std::string type;
    int found = 0;
    std::int64_t kilobytes = 0;
    if (!(std::ifstream(directory + "level") >> found) || found != level) continue;
    if (!(std::ifstream(directory + "type") >> type) || type == "Instruction") continue;
    if (std::ifstream(directory + "size") >> kilobytes) return kilobytes << 10;
  }
  return otherwise;
}

Peaks measure(int threads) {
  const std::int64_t near = cache_bytes(2, std::int64_t{1} << 20) * threads;
  const std::int64_t far = std::max(cache_bytes(3, std::int64_t{16} << 20), 2 * near);
  const std::int64_t most = std::int64_t{1} << 62;
  Peaks peaks;
  peaks.gflops = measure_gflops(threads);
  peaks.levels.push_back({"L2", near, measure_bandwidth(threads, near / 2)});
  peaks.levels.push_back({"L3", far, measure_bandwidth(threads, far / 2)});
  peaks.levels.push_back({"memory", most, measure_bandwidth(threads, std::min(4 * far, std::int64_t{512} << 20))});
  return peaks;
}

}  // namespace

const Peaks::Level& Peaks::level(std::int64_t bytes) const {
  for (const Level& l : levels) {
    if (bytes <= l.bytes) return l;
  }
  return levels.back();
}

double Peaks::least_us(std::int64_t flops, std::int64_t bytes, std::int64_t footprint) const {
  const double computing = static_cast<double>(flops) / gflops / 1e3;
  const double moving = static_cast<double>(bytes) / level(footprint).gigabytes_per_second / 1e3;
  return std::max(computing, moving);
}

const Peaks& measure_peaks(int threads) {
  KILN_REQUIRE(threads >= 0 && threads <= 1024, ValueError, "measure_peaks: {} threads are not from 0 to 1024", threads);
  if (threads == 0) threads = num_threads();
  static std::mutex word;
  static auto& known = *new std::map<int, Peaks>;
  const std::lock_guard lock(word);
  auto found = known.find(threads);
  if (found != known.end()) return found->second;
  return known.emplace(threads, measure(threads)).first->second;
}

}  // namespace kiln
