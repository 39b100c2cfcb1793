// Register tiles of contractions. A tile's accumulators are the fixed-size array `sum`, which lives in registers: every index is a
// constant.
#include "ops/kernels/microkernel.h"

#include "ops/kernels/isa/vectors.h"

namespace kiln::ops::KILN_ISA {
namespace {

/// Whether an element of the left operand meets all columns, or each column has its own.
enum class Left { broadcast, diagonal };

template <class T, Left kind, int rows, int vectors, bool partial>
[[gnu::always_inline]] inline void compute_tile(const TileCall& call) {
  constexpr int lanes = kLanes<T>;
  constexpr int last = vectors - 1;
  LaneMask<T> mask(partial ? call.cols - last * lanes : 0);
  Vector<T> sum[rows][vectors] = {};
  // Copied: as far as the compiler can tell, a store to the result could change the call.
  T* out = static_cast<T*>(call.out);
  const std::int64_t* out_rows = call.out_rows;
  if (call.accumulate) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const T* from = out + out_rows[i] + v * lanes;
        sum[i][v] = partial && v == last ? load_partial<T>(from, mask) : load<T>(from);
      }
    }
  }
  std::int64_t left_depth = call.left_depth, right_depth = call.right_depth;
  const std::byte* next = call.next;
  for (const TileSegment *segment = call.segments, *end = segment + call.num_segments; segment != end; ++segment) {
    const T* row[rows];
    const T* left = static_cast<const T*>(call.left) + segment->left;
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) row[i] = left + call.left_rows[i];
    const T* b = static_cast<const T*>(call.right) + segment->right * right_depth;
    for (std::int64_t i = 0; i < call.num_ahead; ++i) __builtin_prefetch(left + call.ahead_rows[i]);
    for (std::int64_t i = 0; i < call.num_next; ++i) __builtin_prefetch(next + i * call.next_line);
    next += call.next_segment;
    for (std::int64_t p = segment->length; p > 0; --p) {
      Vector<T> right[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) right[v] = partial && v == last ? load_partial<T>(b + v * lanes, mask) : load<T>(b + v * lanes);
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        Vector<T> x;
        if constexpr (kind == Left::broadcast) x = splat<T>(*row[i]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          const T* own = row[i] + v * lanes;
          if constexpr (kind == Left::diagonal) x = partial && v == last ? load_partial<T>(own, mask) : load<T>(own);
          sum[i][v] = multiply_add<T>(x, right[v], sum[i][v]);
        }
        row[i] += left_depth;
      }
      b += right_depth;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    T* to = out + out_rows[i];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      if (partial && v == last) {
        store_partial<T>(to + v * lanes, sum[i][v], mask);
      } else {
        store<T>(to + v * lanes, sum[i][v]);
      }
    }
  }
}

template <class T, Left kind, int rows, int vectors>
void tile(const TileCall& call) {
  if (call.cols == vectors * kLanes<T>) {
    compute_tile<T, kind, rows, vectors, false>(call);
  } else {
    compute_tile<T, kind, rows, vectors, true>(call);
  }
}

template <class T, Left kind, int vectors, int rows>
void add_tiles(MicroKernels& kernels) {
  if constexpr (rows > 0) {
    kernels.tiles[rows][vectors] = tile<T, kind, rows, vectors>;
    add_tiles<T, kind, vectors, rows - 1>(kernels);
  }
}

/// Tiles of `vectors` vectors up to `rows` high.
template <class T, Left kind, int vectors, int rows>
void add_width(MicroKernels& kernels) {
  kernels.lanes = kLanes<T>;
  kernels.vectors = vectors;
  kernels.rows[vectors] = rows;
  add_tiles<T, kind, vectors, rows>(kernels);
}

template <class T, Left kind>
MicroKernels floating_tiles() {
  MicroKernels kernels;
#if defined(KILN_ISA_avx512) || defined(__aarch64__)
  // 32 registers: 24 accumulators leave room for the right operand's vectors and one broadcast.
  add_width<T, kind, 1, 8>(kernels);
  add_width<T, kind, 2, 8>(kernels);
  add_width<T, kind, 3, 8>(kernels);
  add_width<T, kind, 4, 6>(kernels);
#else
  add_width<T, kind, 1, 8>(kernels);
  add_width<T, kind, 2, 6>(kernels);
  add_width<T, kind, 3, 4>(kernels);
#endif
  return kernels;
}

template <class T>
MicroKernels integer_tiles() {
  MicroKernels kernels;
  add_width<T, Left::broadcast, 1, 4>(kernels);
  add_width<T, Left::broadcast, 2, 4>(kernels);
  return kernels;
}

}  // namespace

const MicroKernels& micro_kernels(ComputeType type) {
  static const MicroKernels f32 = floating_tiles<float, Left::broadcast>();
  static const MicroKernels f64 = floating_tiles<double, Left::broadcast>();
  static const MicroKernels u32 = integer_tiles<std::uint32_t>();
  static const MicroKernels u64 = integer_tiles<std::uint64_t>();
  switch (type) {
    case ComputeType::f32:
      return f32;
    case ComputeType::f64:
      return f64;
    case ComputeType::u32:
      return u32;
    case ComputeType::u64:
      break;
  }
  return u64;
}

const MicroKernels& diagonal_kernels(ComputeType type) {
  static const MicroKernels f32 = floating_tiles<float, Left::diagonal>();
  static const MicroKernels f64 = floating_tiles<double, Left::diagonal>();
  return type == ComputeType::f32 ? f32 : f64;
}

}  // namespace kiln::ops::KILN_ISA
