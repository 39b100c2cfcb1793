// The identities of structural ops: each drops an op, or turns one into a cheaper one, and keeps every bit.
#include <llvm/ADT/TypeSwitch.h>

#include <algorithm>

#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/types.h"
#include "passes/rewrite.h"

namespace kiln::passes {
namespace {

using IntsRef = llvm::ArrayRef<std::int64_t>;

Shape shape_of(mlir::Value value) { return ir::tensor_type(value).shape; }
DType dtype_of(mlir::Value value) { return ir::tensor_type(value).dtype; }
bool is_unit(Dim d) { return d == 1; }

Shape without_units(const Shape& shape) {
  Shape result;
  for (const Dim d : shape) {
    if (!is_unit(d)) result.push_back(d);
  }
  return result;
}

bool all_equal_to(IntsRef values, std::int64_t value) {
  return llvm::all_of(values, [&](std::int64_t v) { return v == value; });
}

mlir::Value reshape(mlir::OpBuilder& b, mlir::Location loc, mlir::Value x, const Shape& shape) {
  return ir::create(b, loc, "reshape", x, {{"shape", shape}});
}

mlir::Value broadcast(mlir::OpBuilder& b, mlir::Location loc, mlir::Value x, Ints dims, const Shape& shape) {
  return ir::create(b, loc, "broadcast", x, {{"dims", std::move(dims)}, {"shape", shape}});
}

mlir::RankedTensorType result_type(mlir::Operation* op) { return llvm::cast<mlir::RankedTensorType>(op->getResult(0).getType()); }

/// The one number that every element of a broadcast (or of a constant) holds, as a value of rank 0; null if there is none.
mlir::Value uniform_scalar(mlir::Value x) {
  auto source = x.getDefiningOp<ir::BroadcastOp>();
  return source && shape_of(source.getInput()).empty() ? source.getInput() : mlir::Value();
}

mlir::Value simplify(ir::ConstantOp op, mlir::OpBuilder& b) {
  const auto elements = llvm::dyn_cast<mlir::DenseElementsAttr>(op.getValue());
  if (!elements || elements.getNumElements() < 2 || !elements.isSplat()) return {};
  const auto scalar = mlir::RankedTensorType::get({}, elements.getElementType());
  const mlir::Value constant =
      ir::ConstantOp::create(b, op.getLoc(), scalar, mlir::DenseElementsAttr::get(scalar, elements.getSplatValue<mlir::Attribute>()))
          .getResult();
  return broadcast_scalar(b, op.getLoc(), constant, result_type(op));
}

mlir::Value simplify(ir::ReshapeOp op, mlir::OpBuilder& b) {
  const mlir::Value x = op.getInput();
  if (x.getType() == op.getType()) return x;
  if (auto inner = x.getDefiningOp<ir::ReshapeOp>()) return reshape(b, op.getLoc(), inner.getInput(), shape_of(op));
  if (const mlir::Value scalar = uniform_scalar(x)) return broadcast_scalar(b, op.getLoc(), scalar, result_type(op));
  return {};
}

/// transpose(broadcast(y)) -> broadcast(y) to the permuted axes, if these still ascend.
mlir::Value transpose_of_broadcast(ir::TransposeOp op, ir::BroadcastOp inner, mlir::OpBuilder& b) {
  const IntsRef perm = op.getPerm();
  Ints dims;
  for (const std::int64_t dim : inner.getDims()) dims.push_back(llvm::find(perm, dim) - perm.begin());
  if (!std::is_sorted(dims.begin(), dims.end())) return {};
  return broadcast(b, op.getLoc(), inner.getInput(), std::move(dims), shape_of(op));
}

mlir::Value simplify(ir::TransposeOp op, mlir::OpBuilder& b) {
  const mlir::Value x = op.getInput();
  const IntsRef perm = op.getPerm();
  if (std::is_sorted(perm.begin(), perm.end())) return x;
  if (auto inner = x.getDefiningOp<ir::TransposeOp>()) {
    Ints composed;
    for (const std::int64_t axis : perm) composed.push_back(inner.getPerm()[static_cast<std::size_t>(axis)]);
    return ir::create(b, op.getLoc(), "transpose", inner.getInput(), {{"perm", std::move(composed)}});
  }
  if (auto inner = x.getDefiningOp<ir::BroadcastOp>()) {
    if (mlir::Value result = transpose_of_broadcast(op, inner, b)) return result;
  }
  const Shape shape = shape_of(x);
  Ints moved(perm.begin(), perm.end());
  std::erase_if(moved, [&](std::int64_t axis) { return is_unit(shape[axis]); });
  if (std::is_sorted(moved.begin(), moved.end())) return reshape(b, op.getLoc(), x, shape_of(op));
  return {};
}

/// broadcast(reshape(y)), where the reshape only adds axes of length 1 -> broadcast(y).
mlir::Value broadcast_of_added_axes(ir::BroadcastOp op, ir::ReshapeOp inner, mlir::OpBuilder& b) {
  const mlir::Value y = inner.getInput();
  const Shape from = shape_of(inner);
  if (!(without_units(from) == shape_of(y))) return {};
  Ints dims;
  for (int axis = 0; axis < from.rank(); ++axis) {
    if (!is_unit(from[axis])) dims.push_back(op.getDims()[static_cast<std::size_t>(axis)]);
  }
  return broadcast(b, op.getLoc(), y, std::move(dims), shape_of(op));
}

mlir::Value simplify(ir::BroadcastOp op, mlir::OpBuilder& b) {
  const mlir::Value x = op.getInput();
  const Shape from = shape_of(x);
  const Shape to = shape_of(op);
  if (from == to) return x;
  if (auto inner = x.getDefiningOp<ir::BroadcastOp>()) {
    Ints dims;
    for (const std::int64_t dim : inner.getDims()) dims.push_back(op.getDims()[static_cast<std::size_t>(dim)]);
    return broadcast(b, op.getLoc(), inner.getInput(), std::move(dims), to);
  }
  if (auto inner = x.getDefiningOp<ir::ReshapeOp>()) {
    if (mlir::Value result = broadcast_of_added_axes(op, inner, b)) return result;
  }
  if (without_units(from) == without_units(to)) return reshape(b, op.getLoc(), x, to);
  if (!from.empty() && without_units(from).empty()) return broadcast(b, op.getLoc(), reshape(b, op.getLoc(), x, Shape()), Ints(), to);
  return {};
}

bool is_whole(ir::SliceOp op) {
  const Shape from = shape_of(op.getInput());
  if (!(from == shape_of(op))) return false;
  return all_equal_to(op.getStart(), 0) && all_equal_to(op.getStep(), 1);
}

/// slice(slice(y)) -> one slice of y. Lengths must be known and not zero.
mlir::Value slice_of_slice(ir::SliceOp op, ir::SliceOp inner, mlir::OpBuilder& b) {
  const Shape shape = shape_of(op);
  Ints start, limit, step;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    const std::int64_t length = shape[axis].value_or(0);
    if (length < 1) return {};
    start.push_back(inner.getStart()[i] + op.getStart()[i] * inner.getStep()[i]);
    step.push_back(inner.getStep()[i] * op.getStep()[i]);
    limit.push_back(start[i] + (length - 1) * step[i] + (step[i] > 0 ? 1 : -1));
  }
  return ir::create(b, op.getLoc(), "slice", inner.getInput(), {{"start", start}, {"limit", limit}, {"step", step}});
}

/// A slice that lies inside one operand of a concat.
mlir::Value slice_of_concat(ir::SliceOp op, ir::ConcatOp concat, mlir::OpBuilder& b) {
  const auto axis = static_cast<std::size_t>(concat.getAxis());
  const Dim length = shape_of(op)[axis];
  if (!length.is_constant() || length < 1) return {};
  const std::int64_t first = op.getStart()[axis];
  const std::int64_t last = first + (static_cast<std::int64_t>(length) - 1) * op.getStep()[axis];
  std::int64_t begin = 0;
  for (const mlir::Value part : concat.getInputs()) {
    const Dim part_length = shape_of(part)[axis];
    if (!part_length.is_constant()) return {};
    const std::int64_t end = begin + static_cast<std::int64_t>(part_length);
    if (std::min(first, last) >= begin && std::max(first, last) < end) {
      Attrs attrs = ir::attrs_of(op);
      Ints start = attrs.get<Ints>("start");
      Ints limit = attrs.get<Ints>("limit");
      start[axis] -= begin;
      limit[axis] = last - begin + (op.getStep()[axis] > 0 ? 1 : -1);
      attrs.set("start", start);
      attrs.set("limit", limit);
      return ir::create(b, op.getLoc(), "slice", part, attrs);
    }
    begin = end;
  }
  return {};
}

mlir::Value simplify(ir::SliceOp op, mlir::OpBuilder& b) {
  if (is_whole(op)) return op.getInput();
  if (auto inner = op.getInput().getDefiningOp<ir::SliceOp>()) return slice_of_slice(op, inner, b);
  if (auto inner = op.getInput().getDefiningOp<ir::ConcatOp>()) return slice_of_concat(op, inner, b);
  if (const mlir::Value scalar = uniform_scalar(op.getInput())) return broadcast_scalar(b, op.getLoc(), scalar, result_type(op));
  return {};
}

/// Operands of a concat without empty ones, and with those of inner concats along the same axis in their place.
mlir::Value simplify(ir::ConcatOp op, mlir::OpBuilder& b) {
  const auto axis = op.getAxis();
  llvm::SmallVector<mlir::Value> parts;
  bool changed = false;
  for (const mlir::Value part : op.getInputs()) {
    auto inner = part.getDefiningOp<ir::ConcatOp>();
    if (inner && inner.getAxis() == axis && part.hasOneUse()) {
      llvm::append_range(parts, inner.getInputs());
      changed = true;
    } else if (shape_of(part)[axis] == 0) {
      changed = true;
    } else {
      parts.push_back(part);
    }
  }
  if (parts.empty()) return {};
  if (parts.size() == 1) return parts.front();
  return changed ? ir::create(b, op.getLoc(), "concat", parts, {{"axis", static_cast<std::int64_t>(axis)}}) : mlir::Value();
}

mlir::Value simplify(ir::PadOp op, mlir::OpBuilder&) {
  const bool nothing = all_equal_to(op.getLow(), 0) && all_equal_to(op.getHigh(), 0) && all_equal_to(op.getInterior(), 0);
  return nothing ? op.getInput() : mlir::Value();
}

/// True for combiners that give the same bits in any order: max, min, and, or.
bool is_order_free(llvm::StringRef kind) { return kind != "add" && kind != "mul"; }

mlir::Value reduce_of_reduce(ir::ReduceOp op, ir::ReduceOp inner, mlir::OpBuilder& b) {
  if (inner.getKind() != op.getKind() || !is_order_free(op.getKind()) || !inner->hasOneUse()) return {};
  const int rank = shape_of(inner.getInput()).rank();
  Ints kept;
  for (int axis = 0; axis < rank; ++axis) {
    if (!llvm::is_contained(inner.getAxes(), axis)) kept.push_back(axis);
  }
  Ints axes(inner.getAxes().begin(), inner.getAxes().end());
  for (const std::int64_t axis : op.getAxes()) axes.push_back(kept[static_cast<std::size_t>(axis)]);
  std::sort(axes.begin(), axes.end());
  return ir::create(b, op.getLoc(), "reduce", inner.getInput(), {{"kind", op.getKind().str()}, {"axes", std::move(axes)}});
}

mlir::Value simplify(ir::ReduceOp op, mlir::OpBuilder& b) {
  const Shape from = shape_of(op.getInput());
  const bool one_element = llvm::all_of(op.getAxes(), [&](std::int64_t axis) { return is_unit(from[axis]); });
  if (one_element) return reshape(b, op.getLoc(), op.getInput(), shape_of(op));
  if (auto inner = op.getInput().getDefiningOp<ir::ReduceOp>()) return reduce_of_reduce(op, inner, b);
  return {};
}

mlir::Value simplify(ir::WindowReduceOp op, mlir::OpBuilder&) {
  const bool nothing = all_equal_to(op.getWindow(), 1) && all_equal_to(op.getStrides(), 1) && all_equal_to(op.getPaddingLow(), 0) &&
                       all_equal_to(op.getPaddingHigh(), 0);
  return nothing ? op.getInput() : mlir::Value();
}

/// Bits of significand, and exponent range, enough to say which type holds every value of which.
bool holds_every_value(DType wide, DType narrow) {
  struct Range {
    int digits;
    int exponent;
  };
  constexpr auto range = [](DType t) -> Range {
    switch (t) {
      case DType::boolean:
        return {1, 1};
      case DType::uint8:
        return {8, 8};
      case DType::int8:
        return {7, 7};
      case DType::int32:
        return {31, 31};
      case DType::int64:
        return {63, 63};
      case DType::float16:
        return {11, 15};
      case DType::bfloat16:
        return {8, 127};
      case DType::float32:
        return {24, 127};
      case DType::float64:
        break;
    }
    return {53, 1023};
  };
  if (is_floating(narrow) && !is_floating(wide)) return false;
  if (wide == DType::uint8) return narrow == DType::uint8 || narrow == DType::boolean;
  return range(wide).digits >= range(narrow).digits && range(wide).exponent >= range(narrow).exponent;
}

mlir::Value simplify(ir::CastOp op, mlir::OpBuilder& b) {
  const mlir::Value x = op.getInput();
  if (x.getType() == op.getType()) return x;
  auto inner = x.getDefiningOp<ir::CastOp>();
  if (!inner) return {};
  const DType from = dtype_of(inner.getInput());
  const DType middle = dtype_of(x);
  const DType to = dtype_of(op);
  if (!holds_every_value(middle, from)) return {};
  // Integers wrap, floats saturate: an integer that goes through a float must not come out as another integer type.
  if (is_integer(from) && is_floating(middle) && is_integer(to) && from != to) return {};
  if (from == to) return inner.getInput();
  return ir::create(b, op.getLoc(), "cast", inner.getInput(), {{"dtype", to}});
}

}  // namespace

mlir::Value simplify_structure(mlir::Operation* op, mlir::OpBuilder& builder) {
  return llvm::TypeSwitch<mlir::Operation*, mlir::Value>(op)
      .Case<ir::ConstantOp, ir::ReshapeOp, ir::TransposeOp, ir::BroadcastOp, ir::SliceOp, ir::ConcatOp, ir::PadOp, ir::ReduceOp,
            ir::WindowReduceOp, ir::CastOp>([&](auto structural) { return simplify(structural, builder); })
      .Default([](mlir::Operation*) { return mlir::Value(); });
}

}  // namespace kiln::passes
