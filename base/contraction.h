// A contraction on memory, reduced to loops and strides: what the blocked driver runs for eager and compiled code alike.
#pragma once
#include <kiln/dtype.h>

#include <array>
#include <cstdint>

namespace kiln {

/// One loop of a contraction. Strides are in elements; 0 where the operand does not have the axis.
struct ContractionLoop {
  std::int64_t extent = 1;
  std::int64_t lhs_stride = 0;
  std::int64_t rhs_stride = 0;
  std::int64_t out_stride = 0;
};

/// A sliding window: row loop `row` (the output position) and depth loop `depth` (the kernel position) together index one lhs axis:
/// position = o * stride + k * rhs_dilation - padding_low, in an lhs axis of (extent - 1) * lhs_dilation + 1 dilated elements.
/// Positions outside (padding) and holes of lhs_dilation add nothing; see ops/numeric_order.h.
struct ContractionWindow {
  int row = 0;
  int depth = 0;
  std::int64_t extent = 0;      ///< of the lhs axis
  std::int64_t lhs_stride = 0;  ///< elements between neighbours on the lhs axis
  std::int64_t stride = 1;
  std::int64_t rhs_dilation = 1;
  std::int64_t lhs_dilation = 1;
  std::int64_t padding_low = 0;
  bool reverse = false;  ///< the kernel is read backwards: rhs index = depth extent - 1 - k
};

inline constexpr int kMaxContractionLoops = 8;

/// out[batch, row, col] = sum over depth of lhs[batch, row, depth] * rhs[batch, depth, col], one fma each, in the order of the depth loops.
struct Contraction {
  DType dtype = DType::float32;
  /// Whether terms of bfloat16 may be taken in pairs, with the order and the rounding of the processor's instruction for them.
  bool relaxed = false;
  std::array<ContractionLoop, kMaxContractionLoops> batch, row, col, depth;  ///< outermost first
  int num_batch = 0, num_row = 0, num_col = 0, num_depth = 0;
  std::array<ContractionWindow, 4> windows;
  int num_windows = 0;
};

}  // namespace kiln
