// float16 and bfloat16 in emitted code: values are float32, memory holds 16 bits. Bit for bit what base/half.h does.
#pragma once
#include "codegen/builder.h"

namespace kiln::codegen {

/// i16 bits to float32; exact.
Value emit_half_to_float(Builder& b, Value bits, DType half);
/// float32 to i16 bits, rounded to nearest, ties to even.
Value emit_float_to_half(Builder& b, Value x, DType half);
/// float64 to a float32 that rounds to a half as the float64 would: to odd.
Value emit_round_to_odd(Builder& b, Value x);

}  // namespace kiln::codegen
