// The interface between the shape-level driver of elementwise ops and the inner loops built for each ISA level. Plain data only.
#pragma once
#include <cstdint>

namespace kiln::ops {

/// Rows of an elementwise kernel: result[r, i] = op(operand[r, i] ...), elements of a row contiguous, or one element for the whole row.
struct ElementwiseRun {
  const void* operand[3] = {};
  std::int64_t row_stride[3] = {};  ///< bytes from one row to the next; 0: the same row again
  bool single[3] = {};              ///< the row is one element, repeated
  void* result = nullptr;
  std::int64_t result_stride = 0;  ///< bytes
  std::int64_t rows = 0;
  std::int64_t length = 0;  ///< elements of a row
};

using ElementwiseLoop = void (*)(const ElementwiseRun& run);

/// One op's loops by dtype (of its last operand), null where the op does not take it.
struct ElementwiseLoops {
  ElementwiseLoop by_dtype[9] = {};
};

/// The ops are split among this many source files to bound their compile time: op i of AllElementwise is in part i mod kElementwiseParts.
inline constexpr int kElementwiseParts = 8;

// elementwise_part(n) gives the loops of part n's ops, in order.
namespace baseline {
const ElementwiseLoops* elementwise_part(int part);
}
namespace avx2 {
const ElementwiseLoops* elementwise_part(int part);
}
namespace avx512 {
const ElementwiseLoops* elementwise_part(int part);
}

}  // namespace kiln::ops
