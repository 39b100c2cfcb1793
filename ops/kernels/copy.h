// Copies between strided views: the one kernel behind transpose, broadcast, slice, concat and pad.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/kernels/dispatch.h"
#include "ops/op.h"

namespace kiln::ops {

/// One axis of a copy; strides in elements, which may be 0 or negative in the source.
struct CopyAxis {
  std::int64_t size = 1;
  std::int64_t from = 0;
  std::int64_t to = 0;
};

/// Copies elements of `element` bytes (1, 2, 4 or 8) for every index of `axes` (outermost first). Destinations are distinct. In parallel.
void strided_copy(std::size_t element, std::span<const CopyAxis> axes, const void* from, void* to);

/// Writes `count` copies of one element.
void fill(std::size_t element, const void* value, void* to, std::int64_t count);

/// Strides of a contiguous row-major tensor, in elements.
std::array<std::int64_t, kMaxRank> row_major(const Shape& shape);

/// to[j * to_row + i] = from[i * from_row + j], i < rows, j < cols; strides in elements of `element` bytes.
KILN_DECLARE_PER_ISA(void transpose(std::size_t element, const void* from, std::int64_t from_row, void* to, std::int64_t to_row,
                                    std::int64_t rows, std::int64_t cols))

}  // namespace kiln::ops
