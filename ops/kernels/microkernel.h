// The built-in micro-kernels of contractions: one function for each tile size and element type of an ISA level.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ops/kernels/dispatch.h"

namespace kiln::ops {

/// What a tile computes with: float16 and bfloat16 are widened to float, narrow integers to 32 bits (the low bits are the same).
enum class ComputeType : std::uint8_t { f32, f64, u32, u64 };

inline constexpr int kMaxTileRows = 8;
inline constexpr int kMaxTileVectors = 4;

/// `length` terms in a row: where the first one is in the left operand (in elements from each row's first), and which depth of the right
/// operand it meets.
struct TileSegment {
  std::int64_t left = 0, right = 0, length = 0;
};

/// One tile: out[out_rows[i] + j] (+)= sum, over the segments' terms in order, of left[left_rows[i] + segment.left + p * left_depth] *
/// right[(segment.right + p) * right_depth + j]. `cols` columns are valid; only the last vector may be partial. Without `accumulate` sums
/// start at +0, else at what is there.
struct TileCall {
  const void* left = nullptr;
  const void* right = nullptr;
  void* out = nullptr;
  const std::int64_t* left_rows = nullptr;
  const std::int64_t* out_rows = nullptr;
  const TileSegment* segments = nullptr;
  std::int64_t num_segments = 0;
  std::int64_t left_depth = 0, right_depth = 0;
  std::int64_t cols = 0;
  bool accumulate = false;
  /// Places of the left operand (as left_rows) to be fetched with each segment for a later tile. Segments are then short: all at once
  /// would hold up what this tile waits for.
  const std::int64_t* ahead_rows = nullptr;
  std::int64_t num_ahead = 0;
  /// Besides, what is packed next: with segment s the lines at next + s * next_segment + i * next_line bytes, for i below num_next.
  const std::byte* next = nullptr;
  std::int64_t next_segment = 0, next_line = 0, num_next = 0;
};

using TileKernel = void (*)(const TileCall& call);

/// Tiles of one element type: at(rows, vectors) computes `rows` x `vectors * lanes` elements.
struct MicroKernels {
  int lanes = 0;                       ///< elements of a vector
  int vectors = 0;                     ///< widest tile, in vectors
  int rows[kMaxTileVectors + 1] = {};  ///< tallest tile of each width
  TileKernel tiles[kMaxTileRows + 1][kMaxTileVectors + 1] = {};

  TileKernel at(std::int64_t row_count, std::int64_t vector_count) const { return tiles[row_count][vector_count]; }
};

/// `diagonal_kernels` are those in which column j of the left operand meets column j of the right one: left[... + j] instead of left[...].
/// There are none for integers.
KILN_DECLARE_PER_ISA(const MicroKernels& micro_kernels(ComputeType type); const MicroKernels& diagonal_kernels(ComputeType type))

namespace avx512bf16 {
const MicroKernels& pair_kernels();
}
/// Tiles whose terms are pairs of bfloat16, neighbours along the depth, and whose sums are floats; null if the target has no instruction
/// for that.
const MicroKernels* bfloat16_pair_kernels();

}  // namespace kiln::ops
