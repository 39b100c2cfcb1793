// The built-in micro-kernels of contractions: one function for each tile size and element type of an ISA level.
#pragma once
#include "base/kernel_abi.h"
#include "ops/kernels/dispatch.h"

namespace kiln::ops {

/// What a tile computes with: float16 and bfloat16 are widened to float, narrow integers to 32 bits (the low bits are the same).
enum class ComputeType : std::uint8_t { f32, f64, u32, u64 };

inline constexpr int kMaxTileRows = 8;
inline constexpr int kMaxTileVectors = 4;

/// Tiles of one element type: at(rows, vectors) computes `rows` x `vectors * lanes` elements.
struct MicroKernels {
  int lanes = 0;                       ///< elements of a vector
  int vectors = 0;                     ///< widest tile, in vectors
  int rows[kMaxTileVectors + 1] = {};  ///< tallest tile of each width
  MicroKernelFn tiles[kMaxTileRows + 1][kMaxTileVectors + 1] = {};

  MicroKernelFn at(std::int64_t row_count, std::int64_t vector_count) const { return tiles[row_count][vector_count]; }
};

KILN_DECLARE_PER_ISA(const MicroKernels& micro_kernels(ComputeType type))

}  // namespace kiln::ops
