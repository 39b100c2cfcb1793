// Arithmetic on indices.
#include "codegen/index.h"

namespace kiln::codegen {

namespace arith = mlir::arith;

namespace {
bool is_by_fours(const Index& a) {
  std::int64_t known = 0;
  return a.by_fours || (Builder::is_constant(a.base, known) && known % 4 == 0);
}
}  // namespace

Value Indexing::vector(const Index& a) {
  if (a.lanes) return a.lanes;
  if (b_.lanes() == 1) return a.base;
  Value base = b_.splat(a.base);
  if (a.step == 0) return base;
  Value iota = b_.iota(b_.i64(), b_.lanes());
  if (a.step != 1) iota = b_.mul(iota, b_.integer(a.step));
  return b_.add(base, iota);
}

Index Indexing::add(const Index& a, const Index& b) {
  if (a.lanes || b.lanes) return {{}, 0, b_.add(a.lanes ? a.lanes : vector(a), b.lanes ? b.lanes : vector(b))};
  return {b_.add(a.base, b.base), a.step + b.step, {}, is_by_fours(a) && is_by_fours(b)};
}

Index Indexing::multiply(const Index& a, Value uniform) {
  if (Builder::is_constant_equal(uniform, 1)) return a;
  if (a.lanes) return {{}, 0, b_.mul(a.lanes, uniform)};
  std::int64_t factor = 0;
  const bool known = Builder::is_constant(uniform, factor);
  const bool by_fours = a.by_fours || (known && factor % 4 == 0);
  if (a.step == 0) return {b_.mul(a.base, uniform), 0, {}, by_fours};
  if (known) return {b_.mul(a.base, uniform), a.step * factor, {}, by_fours};
  return {{}, 0, b_.mul(vector(a), uniform)};
}

// Indices are below 2^52: converted by the bits of 2^52 + n, which every target does in two instructions.
Value Indexing::to_float(Value v) {
  Value magic = b_.integer(0x4330000000000000);
  return b_.sub(b_.bitcast(b_.bit_or(v, magic), b_.mlir().getF64Type()), b_.constant(b_.mlir().getF64Type(), 0x1p52));
}

Value Indexing::to_integer(Value v) {
  Value shifted = b_.add(v, b_.constant(b_.mlir().getF64Type(), 0x1p52));
  return b_.bit_xor(b_.bitcast(shifted, b_.i64()), b_.integer(0x4330000000000000));
}

std::pair<Index, Index> Indexing::divide(const Index& a, Value divisor) {
  if (Builder::is_constant_equal(divisor, 1)) return {a, constant(0)};
  divisor = b_.max_signed(divisor, b_.integer(1));  // lengths of empty tensors: the result is not used, but must not trap
  if (a.uniform()) {
    Value quotient = b_.binary<arith::DivUIOp>(a.base, divisor);
    return {{quotient}, {b_.sub(a.base, b_.mul(quotient, divisor))}};
  }
  std::int64_t d = 0;
  if (!a.lanes && Builder::is_constant(divisor, d) && a.step % d == 0) {
    Value quotient = b_.binary<arith::DivUIOp>(a.base, divisor);
    return {{quotient, a.step / d, {}}, {b_.sub(a.base, b_.mul(quotient, divisor))}};
  }
  // The quotient of integers below 2^52, correctly rounded, never reaches the next integer. Rounding to the nearest integer is corrected by
  // the remainder.
  Value n = vector(a);
  Value numerator = to_float(n);
  Value by = to_float(divisor);
  Value rounded = to_integer(b_.binary<arith::DivFOp>(numerator, by));
  Value remainder = b_.sub(n, b_.mul(rounded, divisor));
  Value over = b_.less(remainder, b_.integer(0));
  Value quotient = b_.select(over, b_.sub(rounded, b_.integer(1)), rounded);
  Value rest = b_.select(over, b_.add(remainder, divisor), remainder);
  return {{{}, 0, quotient}, {{}, 0, rest}};
}

Value Indexing::below(const Index& a, Value limit) { return a.uniform() ? b_.less(a.base, limit) : b_.less(vector(a), limit); }

Value Indexing::at_least(const Index& a, Value limit) {
  using P = arith::CmpIPredicate;
  return b_.compare(P::sge, a.uniform() ? a.base : vector(a), limit);
}

Value Indexing::equal(const Index& a, Value to) { return b_.equal(a.uniform() ? a.base : vector(a), to); }

}  // namespace kiln::codegen
