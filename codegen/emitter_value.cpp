// Rounding to integral floats, and the current builder.
#include "codegen/emitter_value.h"

#include "ops/vmath.h"

namespace kiln::codegen {

namespace LLVM = mlir::LLVM;

thread_local Builder* BuilderScope::current_ = nullptr;

namespace {

struct FloatFormat {
  Type integer;
  double magic;  ///< adding it to a smaller magnitude rounds to an integral value
  std::int64_t sign;
};

FloatFormat format_of(Builder& b, Value x) {
  if (Builder::element_type(x).isF64()) return {b.i64(), 0x1p52, INT64_MIN};
  return {b.i32(), 0x1p23, INT32_MIN};
}

/// Rounds to nearest even by adding and taking away 2^23 (2^52); magnitudes above are integral already. Keeps the sign of zero.
Value round_even_by_addition(Builder& b, Value x) {
  const FloatFormat format = format_of(b, x);
  const Type element = Builder::element_type(x);
  Value bits = b.bitcast(x, format.integer);
  Value sign = b.bit_and(bits, b.integer(format.integer, format.sign));
  Value magnitude = b.bitcast(b.bit_xor(bits, sign), element);
  Value magic = b.constant(element, format.magic);
  Value rounded = b.sub(b.add(magnitude, magic), magic);
  Value small = b.compare(mlir::arith::CmpFPredicate::OLT, magnitude, magic);
  Value signed_result = b.bitcast(b.bit_or(b.bitcast(rounded, format.integer), sign), element);
  return b.select(small, signed_result, x);
}

}  // namespace

Value emit_round_even(Builder& b, Value x) {
  if (b.hooks().has_round()) return b.pure<LLVM::RoundEvenOp>({x}, x.getType(), x);
  return round_even_by_addition(b, x);
}

Value emit_floor(Builder& b, Value x) {
  if (b.hooks().has_round()) return b.pure<LLVM::FFloorOp>({x}, x.getType(), x);
  const FloatFormat format = format_of(b, x);
  const Type element = Builder::element_type(x);
  Value rounded = round_even_by_addition(b, x);
  Value above = b.compare(mlir::arith::CmpFPredicate::OGT, rounded, x);
  Value lowered = b.select(above, b.sub(rounded, b.constant(element, 1.0)), rounded);
  // floor keeps -0: subtracting never yields a zero of the wrong sign except 1 - 1, which is +0 and cannot come from a negative x.
  Value sign = b.bit_and(b.bitcast(x, format.integer), b.integer(format.integer, format.sign));
  return b.bitcast(b.bit_or(b.bitcast(lowered, format.integer), sign), element);
}

Emitted<float> scale(Emitted<float> p, Emitted<std::int32_t> n, Emitted<float> whole) {
  Builder& b = BuilderScope::current();
  if (Value v = b.hooks().scale(b, p.v, whole.v)) return {v};
  return ops::vmath::f32::scale<Emitted<float>>(p, n);
}

Emitted<double> scale(Emitted<double> p, Emitted<std::int64_t> n, Emitted<double> whole) {
  Builder& b = BuilderScope::current();
  if (Value v = b.hooks().scale(b, p.v, whole.v)) return {v};
  return ops::vmath::f64::scale<Emitted<double>>(p, n);
}

Emitted<double> product_error(Emitted<double> a, Emitted<double> b, Emitted<double> product) {
  Builder& builder = BuilderScope::current();
  if (!builder.hooks().has_fma()) return ops::vmath::f64::product_error<Emitted<double>>(a, b, product);
  return Emitted<double>::fma(a, b, {builder.unary<mlir::arith::NegFOp>(product.v)});
}

Emitted<std::int32_t> join_maximum(Emitted<std::int32_t> a, Emitted<std::int32_t> b) {
  Builder& builder = BuilderScope::current();
  if (Value v = builder.hooks().join_maximum(builder, a.v, b.v)) return {v};
  return ops::vmath::join_maximum<Emitted<std::int32_t>>(a, b);
}

Emitted<float> log_specials(Emitted<float> x, Emitted<float> result) {
  Builder& b = BuilderScope::current();
  if (Value v = b.hooks().log_specials(b, x.v, result.v)) return {v};
  return ops::vmath::f32::log_specials<Emitted<float>>(x, result);
}

Emitted<double> log_specials(Emitted<double> x, Emitted<double> result) {
  Builder& b = BuilderScope::current();
  if (Value v = b.hooks().log_specials(b, x.v, result.v)) return {v};
  return ops::vmath::f64::log_specials<Emitted<double>>(x, result);
}

}  // namespace kiln::codegen
