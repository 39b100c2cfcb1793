// Register tiles of contractions. A tile's accumulators are the fixed-size array `sum`, which lives in registers: every index is a
// constant.
#include "ops/kernels/microkernel.h"

#include "ops/kernels/isa/vectors.h"

namespace kiln::ops::KILN_ISA {
namespace {

template <class T, int rows, int vectors, bool partial>
[[gnu::always_inline]] inline void compute_tile(std::int64_t depth, const T* a, std::int64_t a_row, std::int64_t a_depth, const T* b,
                                                std::int64_t b_depth, T* c, std::int64_t c_row, std::int64_t cols, bool accumulate) {
  constexpr int lanes = kLanes<T>;
  constexpr int last = vectors - 1;
  LaneMask<T> mask(partial ? cols - last * lanes : 0);
  Vector<T> sum[rows][vectors] = {};
  if (accumulate) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const T* from = c + i * c_row + v * lanes;
        sum[i][v] = partial && v == last ? load_partial<T>(from, mask) : load<T>(from);
      }
    }
  }
  const T* row[rows];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) row[i] = a + i * a_row;
  for (std::int64_t p = 0; p < depth; ++p) {
    Vector<T> right[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) right[v] = partial && v == last ? load_partial<T>(b + v * lanes, mask) : load<T>(b + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      Vector<T> left = splat<T>(*row[i]);
      row[i] += a_depth;
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[i][v] = multiply_add<T>(left, right[v], sum[i][v]);
    }
    b += b_depth;
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      T* to = c + i * c_row + v * lanes;
      if (partial && v == last) {
        store_partial<T>(to, sum[i][v], mask);
      } else {
        store<T>(to, sum[i][v]);
      }
    }
  }
}

template <class T, int rows, int vectors>
void tile(std::int64_t depth, const void* a, std::int64_t a_row, std::int64_t a_depth, const void* b, std::int64_t b_depth, void* c,
          std::int64_t c_row, std::int64_t cols, std::int64_t accumulate) {
  const T* left = static_cast<const T*>(a);
  const T* right = static_cast<const T*>(b);
  if (cols == vectors * kLanes<T>) {
    compute_tile<T, rows, vectors, false>(depth, left, a_row, a_depth, right, b_depth, static_cast<T*>(c), c_row, cols, accumulate != 0);
  } else {
    compute_tile<T, rows, vectors, true>(depth, left, a_row, a_depth, right, b_depth, static_cast<T*>(c), c_row, cols, accumulate != 0);
  }
}

template <class T, int vectors, int rows>
void add_tiles(MicroKernels& kernels) {
  if constexpr (rows > 0) {
    kernels.tiles[rows][vectors] = tile<T, rows, vectors>;
    add_tiles<T, vectors, rows - 1>(kernels);
  }
}

/// Tiles of `vectors` vectors up to `rows` high.
template <class T, int vectors, int rows>
void add_width(MicroKernels& kernels) {
  kernels.lanes = kLanes<T>;
  kernels.vectors = vectors;
  kernels.rows[vectors] = rows;
  add_tiles<T, vectors, rows>(kernels);
}

template <class T>
MicroKernels floating_tiles() {
  MicroKernels kernels;
#if defined(KILN_ISA_avx512)
  // 32 registers: 24 accumulators leave room for the right operand's vectors and one broadcast.
  add_width<T, 1, 8>(kernels);
  add_width<T, 2, 8>(kernels);
  add_width<T, 3, 8>(kernels);
  add_width<T, 4, 6>(kernels);
#else
  add_width<T, 1, 8>(kernels);
  add_width<T, 2, 6>(kernels);
  add_width<T, 3, 4>(kernels);
#endif
  return kernels;
}

template <class T>
MicroKernels integer_tiles() {
  MicroKernels kernels;
  add_width<T, 1, 4>(kernels);
  add_width<T, 2, 4>(kernels);
  return kernels;
}

}  // namespace

const MicroKernels& micro_kernels(ComputeType type) {
  static const MicroKernels f32 = floating_tiles<float>();
  static const MicroKernels f64 = floating_tiles<double>();
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

}  // namespace kiln::ops::KILN_ISA
