// The binary interface between the runtime and kernels, generated or built in. Generated code depends on these layouts: bump
// kKernelAbiVersion with any change.
#pragma once
#include <atomic>
#include <cstdint>

namespace kiln {

inline constexpr std::uint32_t kKernelAbiVersion = 1;

struct KernelContext;

/// A kernel: args are pointers to the inputs, then the outputs, in the order of its spec; dims is its table of run-time lengths.
using KernelFn = void (*)(void** args, const std::int64_t* dims, KernelContext* context);

/// A part of a kernel: iterations [begin, end) of its outermost parallel loop.
using RangeFn = void (*)(void** args, const std::int64_t* dims, KernelContext* context, std::int64_t begin, std::int64_t end);

/// A rectangle [row0, row1) x [col0, col1) of a two-dimensional elementwise kernel (a contraction's epilogue, run on a tile while it is in
/// cache).
using TileFn = void (*)(void** args, const std::int64_t* dims, KernelContext* context, std::int64_t row0, std::int64_t row1,
                        std::int64_t col0, std::int64_t col1);

/// Register-blocked product of one tile: c[i, j] (+)= sum over p of a[i * a_row + p * a_depth] * b[p * b_depth + j], i < MR, j < NR.
/// `cols` <= NR columns are valid (only the last vector may be partial); strides are in elements. If accumulate is 0 the sum starts at +0,
/// else at c.
using MicroKernelFn = void (*)(std::int64_t depth, const void* a, std::int64_t a_row, std::int64_t a_depth, const void* b,
                               std::int64_t b_depth, void* c, std::int64_t c_row, std::int64_t cols, std::int64_t accumulate);

/// What a kernel found wrong; the first one of a run is reported.
enum class KernelError : std::int32_t { none = 0, index_out_of_range = 1, division_by_zero = 2 };

/// Functions of libkiln that kernels may call, by position.
struct RuntimeCalls {
  /// Runs fn over [0, count) in chunks of at least `grain`, in parallel where that pays. Never throws.
  void (*parallel_for)(KernelContext* context, RangeFn fn, void** args, const std::int64_t* dims, std::int64_t count, std::int64_t grain);
  /// Records an error of op `ordinal`; the lowest op's lowest payload is kept, whatever the number of threads. `payload` is the offending
  /// index or divisor.
  void (*report)(KernelContext* context, std::int32_t error, std::int32_t ordinal, std::int64_t payload);
};

/// Shared by all launches of one run. Plain data: generated code reads `calls` and `scratch` by offset.
struct KernelContext {
  const RuntimeCalls* calls = nullptr;
  std::int32_t first_ordinal = 0;  ///< added to a kernel's own op ordinals
  std::atomic<std::int32_t> error{0};
  std::int32_t error_ordinal = 0;
  std::int64_t error_payload = 0;
};

}  // namespace kiln
