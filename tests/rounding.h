// The spacing of each floating-point dtype, for error bounds.
#pragma once
#include <kiln/dtype.h>

namespace kiln::testing {

/// Spacing of the numbers just above 1; half of it is the largest relative error of one rounding. 0 for other dtypes.
inline double epsilon(DType t) {
  switch (t) {
    case DType::float16:
      return 0x1p-10;
    case DType::bfloat16:
      return 0x1p-7;
    case DType::float32:
      return 0x1p-23;
    case DType::float64:
      return 0x1p-52;
    default:
      return 0;
  }
}

/// The smallest positive number, a denormal. 0 for other dtypes.
inline double smallest(DType t) {
  switch (t) {
    case DType::float16:
      return 0x1p-24;
    case DType::bfloat16:
      return 0x1p-133;
    case DType::float32:
      return 0x1p-149;
    case DType::float64:
      return 0x1p-1074;
    default:
      return 0;
  }
}

}  // namespace kiln::testing
