// A register tile of a contraction, for any ISA level. Its accumulators are the fixed-size array `sum`, which lives in registers: every
// index is a constant. Only for files that are built once for each level.
#pragma once
#include "ops/kernels/isa/vectors.h"
#include "ops/kernels/microkernel.h"

namespace kiln::ops::KILN_ISA {
namespace {

/// Whether an element of the left operand meets all columns, or each column has its own.
enum class Left { broadcast, diagonal };

/// One term is an element of each operand.
template <class T>
struct Single {
  using Term = T;
  using Sum = T;
  [[gnu::always_inline]] static Vector<T> add(Vector<T> x, Vector<T> y, Vector<T> sum) { return multiply_add<T>(x, y, sum); }
};

/// `P` says what a term is in memory, what sums are, and adds the product of two terms to a sum; both have the same size.
template <class P, Left kind, int rows, int vectors, bool partial>
[[gnu::always_inline]] inline void compute_tile(const TileCall& call) {
  using T = typename P::Term;
  using S = typename P::Sum;
  static_assert(sizeof(T) == sizeof(S));
  constexpr int lanes = kLanes<T>;
  constexpr int last = vectors - 1;
  LaneMask<T> mask(partial ? call.cols - last * lanes : 0);
  LaneMask<S> sum_mask(partial ? call.cols - last * lanes : 0);
  Vector<S> sum[rows][vectors] = {};
  // Copied: as far as the compiler can tell, a store to the result could change the call.
  S* out = static_cast<S*>(call.out);
  const std::int64_t* out_rows = call.out_rows;
  if (call.accumulate) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const S* from = out + out_rows[i] + v * lanes;
        sum[i][v] = partial && v == last ? load_partial<S>(from, sum_mask) : load<S>(from);
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
          sum[i][v] = P::add(x, right[v], sum[i][v]);
        }
        row[i] += left_depth;
      }
      b += right_depth;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    S* to = out + out_rows[i];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      if (partial && v == last) {
        store_partial<S>(to + v * lanes, sum[i][v], sum_mask);
      } else {
        store<S>(to + v * lanes, sum[i][v]);
      }
    }
  }
}

template <class P, Left kind, int rows, int vectors>
void tile(const TileCall& call) {
  if (call.cols == vectors * kLanes<typename P::Term>) {
    compute_tile<P, kind, rows, vectors, false>(call);
  } else {
    compute_tile<P, kind, rows, vectors, true>(call);
  }
}

template <class P, Left kind, int vectors, int rows>
void add_tiles(MicroKernels& kernels) {
  if constexpr (rows > 0) {
    kernels.tiles[rows][vectors] = tile<P, kind, rows, vectors>;
    add_tiles<P, kind, vectors, rows - 1>(kernels);
  }
}

/// Tiles of `vectors` vectors up to `rows` high.
template <class P, Left kind, int vectors, int rows>
void add_width(MicroKernels& kernels) {
  kernels.lanes = kLanes<typename P::Term>;
  kernels.vectors = vectors;
  kernels.rows[vectors] = rows;
  add_tiles<P, kind, vectors, rows>(kernels);
}

/// The widths that fill the registers of a vector machine with 32 of them: 24 accumulators leave room for the right operand's vectors and
/// one broadcast.
template <class P, Left kind>
void add_widths_of_32_registers(MicroKernels& kernels) {
  add_width<P, kind, 1, 8>(kernels);
  add_width<P, kind, 2, 8>(kernels);
  add_width<P, kind, 3, 8>(kernels);
  add_width<P, kind, 4, 6>(kernels);
}

}  // namespace
}  // namespace kiln::ops::KILN_ISA
