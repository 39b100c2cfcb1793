// float16 and bfloat16 in emitted code.
#include "codegen/half.h"

namespace kiln::codegen {
namespace {

namespace arith = mlir::arith;
using P = arith::CmpIPredicate;

Value shift_left(Builder& b, Value v, int n) { return b.binary<arith::ShLIOp>(v, b.integer(Builder::element_type(v), n)); }
Value shift_right(Builder& b, Value v, int n) { return b.binary<arith::ShRUIOp>(v, b.integer(Builder::element_type(v), n)); }

Value float16_to_float(Builder& b, Value bits) {
  if (b.hooks().has_half_conversion()) {
    Value half = b.bitcast(bits, b.mlir().getF16Type());
    return b.pure<arith::ExtFOp>({half}, Builder::like(half, b.f32()), half);
  }
  Value wide = b.integer_cast(bits, b.i32(), false);
  Value magnitude = b.bit_and(wide, b.integer(b.i32(), 0x7fff));
  Value sign = shift_left(b, b.bit_and(wide, b.integer(b.i32(), 0x8000)), 16);
  Value shifted = shift_left(b, magnitude, 13);
  Value normal = b.add(shifted, b.integer(b.i32(), 0x38000000));
  Value special = b.add(shifted, b.integer(b.i32(), 0x70000000));
  Value as_float = b.pure<arith::SIToFPOp>({magnitude}, Builder::like(magnitude, b.f32()), magnitude);
  Value subnormal = b.bitcast(b.mul(as_float, b.constant(b.f32(), 0x1p-24)), b.i32());
  Value finite = b.select(b.compare(P::uge, magnitude, b.integer(b.i32(), 0x400)), normal, subnormal);
  Value result = b.select(b.compare(P::uge, magnitude, b.integer(b.i32(), 0x7c00)), special, finite);
  return b.bitcast(b.bit_or(result, sign), b.f32());
}

Value float_to_float16(Builder& b, Value x) {
  if (b.hooks().has_half_conversion()) {
    Value half = b.pure<arith::TruncFOp>({x}, Builder::like(x, b.mlir().getF16Type()), x);
    return b.bitcast(half, b.mlir().getIntegerType(16));
  }
  Value bits = b.bitcast(x, b.i32());
  Value sign = b.bit_and(shift_right(b, bits, 16), b.integer(b.i32(), 0x8000));
  Value magnitude = b.bit_and(bits, b.integer(b.i32(), 0x7fffffff));
  Value lowered = b.add(b.bitcast(magnitude, b.f32()), b.constant(b.f32(), 0.5));
  Value subnormal = b.sub(b.bitcast(lowered, b.i32()), b.integer(b.i32(), 0x3f000000));
  Value odd = b.bit_and(shift_right(b, magnitude, 13), b.integer(b.i32(), 1));
  Value rounded = b.add(magnitude, b.add(odd, b.integer(b.i32(), 0xfff)));
  Value normal = shift_right(b, b.sub(rounded, b.integer(b.i32(), 0x38000000)), 13);
  Value result = b.select(b.compare(P::ult, magnitude, b.integer(b.i32(), 0x38800000)), subnormal, normal);
  result = b.select(b.compare(P::uge, magnitude, b.integer(b.i32(), 0x477ff000)), b.integer(b.i32(), 0x7c00), result);
  result = b.select(b.compare(P::ugt, magnitude, b.integer(b.i32(), 0x7f800000)), b.integer(b.i32(), 0x7e00), result);
  return b.integer_cast(b.bit_or(result, sign), b.mlir().getIntegerType(16), false);
}

Value float_to_bfloat16(Builder& b, Value x) {
  // By integers: the instruction for it flushes denormals.
  Value bits = b.bitcast(x, b.i32());
  Value odd = b.bit_and(shift_right(b, bits, 16), b.integer(b.i32(), 1));
  Value rounded = b.add(bits, b.add(odd, b.integer(b.i32(), 0x7fff)));
  Value is_nan = b.compare(arith::CmpFPredicate::UNO, x, x);
  Value quiet = b.bit_or(bits, b.integer(b.i32(), 0x400000));
  return b.integer_cast(shift_right(b, b.select(is_nan, quiet, rounded), 16), b.mlir().getIntegerType(16), false);
}

}  // namespace

Value emit_half_to_float(Builder& b, Value bits, DType half) {
  if (half == DType::float16) return float16_to_float(b, bits);
  return b.bitcast(shift_left(b, b.integer_cast(bits, b.i32(), false), 16), b.f32());
}

Value emit_float_to_half(Builder& b, Value x, DType half) {
  return half == DType::float16 ? float_to_float16(b, x) : float_to_bfloat16(b, x);
}

Value emit_round_to_odd(Builder& b, Value x) {
  using F = arith::CmpFPredicate;
  Value nearest = b.pure<arith::TruncFOp>({x}, Builder::like(x, b.f32()), x);
  Value back = b.pure<arith::ExtFOp>({nearest}, x.getType(), nearest);
  Value inexact = b.compare(F::ONE, back, x);
  Value sign = b.integer(b.i64(), INT64_MAX);
  Value rounded = b.bitcast(b.bit_and(b.bitcast(back, b.i64()), sign), b.mlir().getF64Type());
  Value magnitude = b.bitcast(b.bit_and(b.bitcast(x, b.i64()), sign), b.mlir().getF64Type());
  Value bits = b.bitcast(nearest, b.i32());
  Value towards_zero = b.select(b.compare(F::OGT, rounded, magnitude), b.sub(bits, b.integer(b.i32(), 1)), bits);
  Value odd = b.bitcast(b.bit_or(towards_zero, b.integer(b.i32(), 1)), b.f32());
  return b.select(inexact, odd, nearest);
}

}  // namespace kiln::codegen
