// Arithmetic on indices.
#include "codegen/index.h"

#include <mlir/IR/Matchers.h>

#include <optional>

namespace kiln::codegen {

namespace arith = mlir::arith;

namespace {
bool is_by_fours(const Index& a) {
  std::int64_t known = 0;
  return a.by_fours || (Builder::is_constant(a.base, known) && known % 4 == 0);
}
}  // namespace

/// What the lanes add to the base; null for nothing.
Value Indexing::lanes_of(const Index& a) {
  if (a.lanes || a.step == 0 || b_.lanes() == 1) return a.lanes;
  Value iota = b_.iota(b_.i64(), b_.lanes());
  return a.step == 1 ? iota : b_.mul(iota, b_.integer(a.step));
}

Value Indexing::vector(const Index& a) {
  Value lanes = lanes_of(a);
  if (!lanes) return b_.lanes() == 1 ? a.base : b_.splat(a.base);
  return a.base ? b_.add(b_.splat(a.base), lanes) : lanes;
}

namespace {
/// The step between neighbours of a constant vector that starts at 0, if it is one.
std::optional<std::int64_t> constant_step(Value lanes) {
  mlir::DenseIntElementsAttr numbers;
  if (!mlir::matchPattern(lanes, mlir::m_Constant(&numbers))) return {};
  std::int64_t step = 0, place = 0;
  for (const llvm::APInt& number : numbers.getValues<llvm::APInt>()) {
    if (place == 1) step = number.getSExtValue();
    if (number.getSExtValue() != place++ * step) return {};
  }
  return step;
}

/// With lanes that are evenly spaced told by their step.
Index simplified(Builder& b, Value base, Value lanes) {
  const std::optional<std::int64_t> step = constant_step(lanes);
  if (!step) return {base, 0, lanes};
  return {base ? base : b.integer(0), *step, {}};
}
}  // namespace

Index Indexing::add(const Index& a, const Index& b) {
  Value base = a.base && b.base ? b_.add(a.base, b.base) : a.base ? a.base : b.base;
  if (!a.lanes && !b.lanes) return {base, a.step + b.step, {}, is_by_fours(a) && is_by_fours(b)};
  Value first = lanes_of(a), second = lanes_of(b);
  return simplified(b_, base, first && second ? b_.add(first, second) : first ? first : second);
}

Index Indexing::multiply(const Index& a, Value uniform) {
  if (Builder::is_constant_equal(uniform, 1)) return a;
  if (a.lanes) return simplified(b_, a.base ? b_.mul(a.base, uniform) : Value(), b_.mul(a.lanes, uniform));
  std::int64_t factor = 0;
  const bool known = Builder::is_constant(uniform, factor);
  const bool by_fours = a.by_fours || (known && factor % 4 == 0);
  if (a.step == 0) return {b_.mul(a.base, uniform), 0, {}, by_fours};
  if (known) return {b_.mul(a.base, uniform), a.step * factor, {}, by_fours};
  return {b_.mul(a.base, uniform), 0, b_.mul(lanes_of(a), uniform)};
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
