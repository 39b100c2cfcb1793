// Packing of a contraction's operands into panels for the micro-kernels, and unpacking of finished blocks.
#pragma once
#include <cstdint>
#include <span>

#include "ops/kernels/contraction_plan.h"
#include "ops/kernels/dispatch.h"

namespace kiln::ops {

/// How stored elements become elements to compute with.
enum class Widening : std::uint8_t { raw32, raw64, float16, bfloat16, int8, uint8 };

/// to[o * to_outer + i * to_inner] = from[outer offset + inner offset], or 0 where a window leaves the operand, for every index o of the
/// outer runs and i of the inner runs. Offsets and strides are in elements.
struct PackJob {
  Widening widening = Widening::raw32;
  const void* from = nullptr;
  void* to = nullptr;
  std::span<const Run> outer, inner;
  std::int64_t to_outer = 0, to_inner = 1;
  std::span<const WindowCheck> windows;
};

/// Pairs of 16-bit elements: to[o * to_outer + i * to_inner] = from[outer offset + inner offset] in the low half, the element `second`
/// further in the high half. The depth index `alone` of the inner runs (of the outer ones with `depth_outside`) has no second element, if
/// not negative.
struct PackPairsJob {
  const void* from = nullptr;
  void* to = nullptr;
  std::span<const Run> outer, inner;
  std::int64_t to_outer = 0, to_inner = 1;
  std::int64_t second = 0, alone = -1;
  bool depth_outside = false;
};

/// to[row offset + col offset] = from[row * from_row + col], narrowed to the stored type. Offsets in elements.
struct UnpackJob {
  Widening widening = Widening::raw32;
  const void* from = nullptr;
  void* to = nullptr;
  std::int64_t from_row = 0;
  std::span<const std::int64_t> rows, cols;
};

/// Rows of a matrix cut into panels of `width` columns, [row][width] each, with zeros beyond the last column. Offsets in elements, which
/// have 4 or 8 bytes.
struct PanelJob {
  const void* from = nullptr;
  void* to = nullptr;
  std::int64_t from_row = 0;
  std::int64_t rows = 0, cols = 0, width = 0;
  bool wide = false;  ///< elements of 8 bytes
};

KILN_DECLARE_PER_ISA(void pack(const PackJob& job); void pack_pairs(const PackPairsJob& job); void pack_panels(const PanelJob& job);
                     void unpack(const UnpackJob& job))

}  // namespace kiln::ops
