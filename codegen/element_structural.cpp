// The element emitter's structural ops: each one says at which position, under which guard, it reads its operands.
#include <cmath>
#include <limits>

#include "base/require.h"
#include "codegen/element_emitter.h"
#include "codegen/half.h"
#include "ops/build.h"

namespace kiln::codegen {

namespace arith = mlir::arith;
namespace LLVM = mlir::LLVM;

const std::map<std::string_view, ElementEmitter::Emit>& ElementEmitter::structural() {
  static const std::map<std::string_view, Emit> emitters = {
      {"broadcast", &ElementEmitter::broadcast},
      {"transpose", &ElementEmitter::transpose},
      {"reshape", &ElementEmitter::reshape},
      {"slice", &ElementEmitter::slice},
      {"pad", &ElementEmitter::pad},
      {"concat", &ElementEmitter::concat},
      {"gather", &ElementEmitter::gather},
      {"cast", &ElementEmitter::cast},
      {"iota", &ElementEmitter::iota},
      {"constant", &ElementEmitter::constant},
      {"random", &ElementEmitter::random},
      {"window_reduce", &ElementEmitter::window_reduce},
      {"window_max_grad", &ElementEmitter::window_max_grad},
  };
  return emitters;
}

Value ElementEmitter::broadcast(int node, const Position& at, const Mask& mask) {
  const int x = this->node(node).operands[0];
  Position from;
  if (shapes_.is_single(x)) {
    from.at.assign(static_cast<std::size_t>(shapes_.rank(x)), indexing_.constant(0));
    return value(x, from, mask);
  }
  const Ints& dims = this->node(node).attrs.get<Ints>("dims");
  const Position to = by_axes(node, at);
  for (int axis = 0; axis < shapes_.rank(x); ++axis) {
    const int result_axis = static_cast<int>(dims[static_cast<std::size_t>(axis)]);
    Index index = to.at[static_cast<std::size_t>(result_axis)];
    std::int64_t known = 0;
    const bool both_known =
        Builder::is_constant(shapes_.length(x, axis), known) && Builder::is_constant(shapes_.length(node, result_axis), known);
    if (shapes_.is_length(x, axis, 1)) {
      index = indexing_.constant(0);
    } else if (!both_known && !shapes_.same_length(x, axis, node, result_axis)) {
      Value stretched = b_.equal(shapes_.length(x, axis), b_.integer(1));
      index = indexing_.multiply(index, b_.select(stretched, b_.integer(0), b_.integer(1)));
    }
    from.at.push_back(index);
  }
  return value(x, from, mask);
}

Value ElementEmitter::transpose(int node, const Position& at, const Mask& mask) {
  const int x = this->node(node).operands[0];
  const Ints& perm = this->node(node).attrs.get<Ints>("perm");
  const Position to = by_axes(node, at);
  Position from;
  from.at.resize(perm.size());
  for (std::size_t axis = 0; axis < perm.size(); ++axis) from.at[static_cast<std::size_t>(perm[axis])] = to.at[axis];
  return value(x, from, mask);
}

Value ElementEmitter::reshape(int node, const Position& at, const Mask& mask) {
  const int x = this->node(node).operands[0];
  if (at.linear) return value(x, at, mask);
  const auto long_axes = [&](int n) {
    llvm::SmallVector<std::size_t> axes;
    for (int axis = 0; axis < shapes_.rank(n); ++axis) {
      if (!shapes_.is_length(n, axis, 1)) axes.push_back(static_cast<std::size_t>(axis));
    }
    return axes;
  };
  const llvm::SmallVector<std::size_t> own = long_axes(node), other = long_axes(x);
  const std::size_t most = std::min(own.size(), other.size());
  const auto same = [&](std::size_t a, std::size_t b) {
    return shapes_.same_length(node, static_cast<int>(own[a]), x, static_cast<int>(other[b]));
  };
  // The first and the last axes that are the same keep their indices.
  std::size_t first = 0, last = 0;
  while (first < most && same(first, first)) ++first;
  while (last < most - first && same(own.size() - 1 - last, other.size() - 1 - last)) ++last;
  // One axis for several needs no division; several for one do, in every lane if they are the last.
  const bool divides = first + last + 1 < other.size();
  if (divides && last == 0) return value(x, {{row_major(node, at)}, true}, mask);
  Position from;
  from.at.assign(static_cast<std::size_t>(shapes_.rank(x)), indexing_.constant(0));
  for (std::size_t i = 0; i < first; ++i) from.at[other[i]] = at.at[own[i]];
  for (std::size_t i = 1; i <= last; ++i) from.at[other[other.size() - i]] = at.at[own[own.size() - i]];
  // What lies between is numbered in row-major order.
  Index rest = indexing_.constant(0);
  for (std::size_t i = first; i < own.size() - last; ++i) {
    rest = indexing_.add(indexing_.multiply(rest, shapes_.length(node, static_cast<int>(own[i]))), at.at[own[i]]);
  }
  for (std::size_t i = other.size() - last; i-- > first;) {
    if (i == first) {
      from.at[other[i]] = rest;
      break;
    }
    auto [quotient, remainder] = indexing_.divide(rest, shapes_.length(x, static_cast<int>(other[i])));
    from.at[other[i]] = remainder;
    rest = quotient;
  }
  return value(x, from, mask);
}

Value ElementEmitter::slice(int node, const Position& at, const Mask& mask) {
  const int x = this->node(node).operands[0];
  const Ints& start = this->node(node).attrs.get<Ints>("start");
  const Ints& step = this->node(node).attrs.get<Ints>("step");
  Position from = by_axes(node, at);
  for (std::size_t axis = 0; axis < start.size(); ++axis) {
    Index scaled = indexing_.multiply(from.at[axis], step[axis]);
    if (start[axis] == ops::kSliceEnd) {
      Value last = b_.sub(shapes_.length(x, static_cast<int>(axis)), b_.integer(1));
      from.at[axis] = indexing_.add(scaled, Index{last});
    } else {
      from.at[axis] = indexing_.add(scaled, start[axis]);
    }
  }
  return value(x, from, mask);
}

Value ElementEmitter::pad(int node, const Position& at, const Mask& mask) {
  const int x = this->node(node).operands[0];
  const Attrs& attrs = this->node(node).attrs;
  const Ints &low = attrs.get<Ints>("low"), &high = attrs.get<Ints>("high"), &interior = attrs.get<Ints>("interior");
  Position from = by_axes(node, at);
  Mask inside = mask;
  Value all;
  const auto require = [&](Value condition) {
    inside = guarded(inside, condition);
    all = all ? b_.bit_and(all, condition) : condition;
  };
  for (std::size_t axis = 0; axis < low.size(); ++axis) {
    Index index = indexing_.add(from.at[axis], -low[axis]);
    if (low[axis] > 0) require(indexing_.at_least(index, b_.integer(0)));
    if (interior[axis] > 0) {
      auto [quotient, remainder] = indexing_.divide(index, b_.integer(interior[axis] + 1));
      require(indexing_.equal(remainder, b_.integer(0)));
      index = quotient;
    }
    if (high[axis] > 0 || interior[axis] > 0) require(indexing_.below(index, shapes_.length(x, static_cast<int>(axis))));
    from.at[axis] = index;
  }
  Value inner = value(x, from, inside);
  if (!all) return inner;
  return b_.select(all, inner, value(this->node(node).operands[1], {}, mask));
}

Value ElementEmitter::concat(int node, const Position& at, const Mask& mask) {
  const auto axis = static_cast<std::size_t>(this->node(node).attrs.get<std::int64_t>("axis"));
  const Position to = by_axes(node, at);
  const Index& index = to.at[axis];
  Value first = b_.integer(0);
  Value result;
  for (std::int32_t part : this->node(node).operands) {
    Value length = shapes_.length(part, static_cast<int>(axis));
    Position from = to;
    from.at[axis] = indexing_.add(index, Index{b_.sub(b_.integer(0), first)});
    Value reached = indexing_.at_least(index, first);
    const Mask inside = guarded(guarded(mask, reached), indexing_.below(from.at[axis], length));
    Value v = value(part, from, inside);
    result = result ? b_.select(reached, v, result) : v;
    first = b_.add(first, length);
  }
  return result;
}

Value ElementEmitter::gather(int node, const Position& at, const Mask& mask) {
  const int x = this->node(node).operands[0];
  const int indices = this->node(node).operands[1];
  const auto axis = static_cast<int>(this->node(node).attrs.get<std::int64_t>("axis"));
  const Position to = by_axes(node, at);
  const auto* first = to.at.begin() + axis;
  Position of_index;
  of_index.at.append(first, first + shapes_.rank(indices));
  Value index = b_.integer_cast(value(indices, of_index, mask), b_.i64(), true);
  Value length = shapes_.length(x, axis);
  Value negative = b_.less(index, b_.integer(0));
  Value beyond = b_.compare(arith::CmpIPredicate::sge, index, length);
  report(node, b_.bit_or(negative, beyond), index, static_cast<int>(KernelError::index_out_of_range), mask);
  Value safe = b_.max_signed(b_.min_signed(index, b_.sub(length, b_.integer(1))), b_.integer(0));
  Position from;
  from.at.append(to.at.begin(), first);
  from.at.push_back(indexing_.from(safe));
  from.at.append(first + shapes_.rank(indices), to.at.end());
  std::int64_t known = 0;
  if (Builder::is_constant(length, known) && known > 0) return value(x, from, mask);
  return value(x, from, guarded(mask, b_.less(b_.integer(0), length)));
}

Value ElementEmitter::cast(int node, const Position& at, const Mask& mask) {
  const int x = this->node(node).operands[0];
  return convert(value(x, at, mask), this->node(x).dtype, this->node(node).dtype);
}

Value ElementEmitter::iota(int node, const Position& at, const Mask&) {
  const auto axis = static_cast<std::size_t>(this->node(node).attrs.get<std::int64_t>("axis"));
  const Position to = by_axes(node, at);
  const Index& index = to.at[axis];
  return convert(index.uniform() ? index.base : indexing_.vector(index), DType::int64, this->node(node).dtype);
}

Value ElementEmitter::constant(int node, const Position& at, const Mask& mask) {
  const Literal& literal = this->node(node).attrs.get<Literal>("value");
  const DType dtype = this->node(node).dtype;
  const Type memory = b_.memory_type(dtype);
  const std::size_t bytes = size_of(dtype);
  const auto element = [&](std::size_t i) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, literal.bytes->data() + i * bytes, bytes);
    return llvm::APInt(static_cast<unsigned>(bytes * 8), bits);
  };
  const Type integer = b_.mlir().getIntegerType(static_cast<unsigned>(bytes * 8));
  if (literal.splat || literal.bytes->size() == bytes) {
    Value bits = b_.pure<arith::ConstantOp>({}, b_.mlir().getIntegerAttr(integer, element(0)));
    return from_memory(b_.bitcast(bits, memory), dtype);
  }
  const std::size_t count = literal.bytes->size() / bytes;
  llvm::SmallVector<llvm::APInt> elements;
  for (std::size_t i = 0; i < count; ++i) elements.push_back(element(i));
  auto data = mlir::DenseElementsAttr::get(mlir::RankedTensorType::get({static_cast<std::int64_t>(count)}, integer), elements);
  mlir::Block* entry = b_.entry();
  mlir::Operation* function = entry->getParentOp();
  const std::string name = fmt::format("constant_{}_{}", node, mlir::cast<LLVM::LLVMFuncOp>(function).getSymName().str());
  Value& pointer = pointers_[-1 - node];
  if (!pointer) {
    mlir::OpBuilder::InsertionGuard guard(b_.mlir());
    b_.mlir().setInsertionPointToStart(function->getParentOfType<mlir::ModuleOp>().getBody());
    LLVM::GlobalOp::create(b_.mlir(), b_.location(), LLVM::LLVMArrayType::get(integer, count), true, LLVM::Linkage::Internal, name, data,
                           64);
    b_.mlir().setInsertionPointToStart(entry);
    pointer = LLVM::AddressOfOp::create(b_.mlir(), b_.location(), b_.ptr(), name);
  }
  return read(pointer, node, at, mask, true);
}

Value ElementEmitter::convert(Value v, DType from, DType to) {
  if (from == to) return v;
  const Type source = b_.value_type(from);
  const Type result = b_.value_type(to);
  if (to == DType::boolean) {
    if (is_floating(from)) return b_.compare(arith::CmpFPredicate::UNE, v, b_.constant(source, 0));
    return b_.compare(arith::CmpIPredicate::ne, v, b_.integer(source, 0));
  }
  if (from == DType::boolean) return b_.select(v, b_.constant(result, 1), b_.constant(result, 0));
  const bool is_signed = from != DType::uint8;
  const bool to_half = to == DType::float16 || to == DType::bfloat16;
  if (is_integer(from) && is_integer(to)) return b_.integer_cast(v, result, is_signed);
  if (is_integer(from)) {
    const Type wide = to_half ? b_.mlir().getF64Type() : result;
    if (to_half && from == DType::int64) v = round_int64_to_odd(v);
    Value x =
        is_signed ? b_.pure<arith::SIToFPOp>({v}, Builder::like(v, wide), v) : b_.pure<arith::UIToFPOp>({v}, Builder::like(v, wide), v);
    return to_half ? round_half(emit_round_to_odd(b_, x), to) : x;
  }
  if (is_floating(to)) {
    if (to == DType::float64) return b_.pure<arith::ExtFOp>({v}, Builder::like(v, result), v);
    if (from == DType::float64) v = to_half ? emit_round_to_odd(b_, v) : b_.pure<arith::TruncFOp>({v}, Builder::like(v, result), v);
    return round_half(v, to);
  }
  return float_to_integer(v, to);
}

/// An int64 that converts to double exactly and rounds to a half as `v` would.
Value ElementEmitter::round_int64_to_odd(Value v) {
  using P = arith::CmpIPredicate;
  Value limit = b_.integer(std::int64_t{1} << 52);
  Value exact = b_.bit_and(b_.less(v, limit), b_.compare(P::sgt, v, b_.integer(-(std::int64_t{1} << 52))));
  Value inexact = b_.compare(P::ne, b_.bit_and(v, b_.integer(0x7ff)), b_.integer(0));
  Value odd = b_.bit_or(b_.bit_and(v, b_.integer(~std::int64_t{0x7ff})), b_.select(inexact, b_.integer(0x400), b_.integer(0)));
  return b_.select(exact, v, odd);
}

Value ElementEmitter::float_to_integer(Value v, DType to) {
  const Type source = Builder::element_type(v);
  return visit_dtype(to, [&]<class T>(std::type_identity<T>) -> Value {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      using F = arith::CmpFPredicate;
      using Limits = std::numeric_limits<T>;
      const Type result = b_.value_type(to);
      Value low = b_.constant(source, static_cast<double>(Limits::min()));
      Value high = b_.constant(source, std::ldexp(1.0, Limits::digits));
      Value above = b_.compare(F::OGE, v, high);
      Value not_below = b_.compare(F::OGE, v, low);
      Value inside = b_.bit_and(not_below, b_.bit_not(above));
      Value safe = b_.select(inside, v, b_.constant(source, 0));
      const Type wide = sizeof(T) < 4 ? b_.i32() : result;
      Value number = b_.integer_cast(b_.pure<arith::FPToSIOp>({safe}, Builder::like(safe, wide), safe), result, true);
      Value saturated = b_.select(above, b_.integer(result, static_cast<std::int64_t>(Limits::max())), number);
      return b_.select(b_.compare(F::OLT, v, low), b_.integer(result, static_cast<std::int64_t>(Limits::min())), saturated);
    } else {
      return {};
    }
  });
}

}  // namespace kiln::codegen
