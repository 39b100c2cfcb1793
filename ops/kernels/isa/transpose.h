// Transposition of matrices in memory, in square blocks that live in registers. Only for files in this folder.
#pragma once
#include <cstdint>
#include <utility>

#include "ops/kernels/isa/vectors.h"

namespace kiln::ops::KILN_ISA {

/// Side of a block of T: a register's worth, at most a cache line of 4-byte elements.
template <class T>
inline constexpr int kTransposeSide = kVectorBytes / static_cast<int>(sizeof(T)) < 16 ? kVectorBytes / static_cast<int>(sizeof(T)) : 16;

template <class T, int side>
struct TransposeRow {
  typedef T type __attribute__((vector_size(side * sizeof(T))));
};

/// Elements of a and b by turns, from element `begin` on.
template <int begin, class V, std::size_t... i>
[[gnu::always_inline]] inline V interleave(V a, V b, std::index_sequence<i...>) {
  constexpr int side = sizeof...(i);
  return __builtin_shufflevector(a, b, (begin + static_cast<int>(i) / 2 + (i % 2 == 0 ? 0 : side))...);
}

/// to[j * to_row + i] = from[i * from_row + j] for one block. Interleaving the two halves of the rows, as often as the side has bits,
/// transposes.
template <class T, int side>
[[gnu::always_inline]] inline void transpose_square(const T* from, std::int64_t from_row, T* to, std::int64_t to_row) {
  using Row = typename TransposeRow<T, side>::type;
  using Indices = std::make_index_sequence<side>;
  Row row[side], next[side];
#pragma GCC unroll 16
  for (int i = 0; i < side; ++i) __builtin_memcpy(&row[i], from + i * from_row, sizeof(Row));
#pragma GCC unroll 4
  for (int step = 1; step < side; step *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < side / 2; ++i) {
      next[2 * i] = interleave<0>(row[i], row[i + side / 2], Indices{});
      next[2 * i + 1] = interleave<side / 2>(row[i], row[i + side / 2], Indices{});
    }
#pragma GCC unroll 16
    for (int i = 0; i < side; ++i) row[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < side; ++i) __builtin_memcpy(to + i * to_row, &row[i], sizeof(Row));
}

/// to[j * to_row + i] = from[i * from_row + j], i < rows, j < cols: whole blocks, then what is left in smaller ones. Source rows far apart
/// are fetched ahead.
template <class T, int side = kTransposeSide<T>>
inline void transpose_matrix(const T* from, std::int64_t from_row, T* to, std::int64_t to_row, std::int64_t rows, std::int64_t cols) {
  constexpr int smaller = side > 4 ? 4 : 1;
  constexpr std::int64_t ahead = 2 * side;
  std::int64_t whole_rows = rows / side * side, whole_cols = cols / side * side;
  for (std::int64_t j = 0; j < whole_cols; j += side) {
    for (std::int64_t i = 0; i < whole_rows; i += side) {
      for (std::int64_t s = 0; side > 4 && i + ahead < whole_rows && s < side; ++s)
        __builtin_prefetch(from + (i + ahead + s) * from_row + j);
      if constexpr (side == 1) {
        to[j * to_row + i] = from[i * from_row + j];
      } else {
        transpose_square<T, side>(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
      }
    }
  }
  if constexpr (side > 1) {
    if (whole_rows < rows)
      transpose_matrix<T, smaller>(from + whole_rows * from_row, from_row, to + whole_rows, to_row, rows - whole_rows, whole_cols);
    if (whole_cols < cols)
      transpose_matrix<T, smaller>(from + whole_cols, from_row, to + whole_cols * to_row, to_row, rows, cols - whole_cols);
  }
}

}  // namespace kiln::ops::KILN_ISA
