// fold: computes ops on constants with the eager kernels, so that the bits are eager's. Never a random op, never more than 64 KB of result;
// an op that fails (index out of range, division by zero) stays and fails when it runs.
//
//   %1 = kiln.constant {value = dense<2.0>}
//   %2 = kiln.map "sqrt" %1                       =>   %2 = kiln.constant {value = dense<1.41421354>}
#include <kiln/error.h>

#include <cstring>
#include <vector>

#include "base/require.h"
#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/types.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace kiln::passes {
namespace {

constexpr std::size_t kMaxFoldedBytes = 64 << 10;

std::size_t bytes_of(const TensorType& type) { return static_cast<std::size_t>(type.shape.count()) * size_of(type.dtype); }

bool is_foldable(const TensorType& type) {
  if (!type.shape.is_static()) return false;
  std::int64_t elements = 1;
  for (const Dim d : type.shape) {
    if (__builtin_mul_overflow(elements, static_cast<std::int64_t>(d), &elements)) return false;
  }
  return elements >= 0 && static_cast<std::uint64_t>(elements) <= kMaxFoldedBytes / size_of(type.dtype);
}

/// All elements of a constant, row-major.
std::vector<std::byte> materialize(const Literal& value) {
  const std::size_t size = bytes_of(value.type);
  std::vector<std::byte> bytes(size);
  const std::size_t stored = value.bytes->size();
  if (stored == 0) return bytes;
  for (std::size_t at = 0; at + stored <= size; at += stored) std::memcpy(bytes.data() + at, value.bytes->data(), stored);
  return bytes;
}

/// Runs the op's eager kernel on constants; throws what the kernel throws.
Literal evaluate(const ops::OpDef& def, const Attrs& attrs, std::span<const Literal> operands, const TensorType& type) {
  std::vector<std::vector<std::byte>> storage;
  std::vector<ops::View> views;
  for (const Literal& operand : operands) storage.push_back(materialize(operand));
  for (std::size_t i = 0; i < operands.size(); ++i) views.push_back({storage[i].data(), operands[i].type.dtype, operands[i].type.shape});
  std::vector<std::byte> bytes(bytes_of(type));
  def.kernel(def, views, {bytes.data(), type.dtype, type.shape}, attrs);
  return {type, false, std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
}

Literal splat_literal(const Splat& splat) {
  return ir::literal(llvm::cast<mlir::DenseElementsAttr>(splat.scalar.getDefiningOp<ir::ConstantOp>().getValue()));
}

/// An elementwise op whose operands are one number each: computed once, whatever the shape.
mlir::Value fold_splats(mlir::Operation* op, const ops::OpDef& def, mlir::OpBuilder& builder) {
  std::vector<Literal> operands;
  for (const mlir::Value operand : op->getOperands()) {
    const std::optional<Splat> splat = find_splat(operand);
    if (!splat) return {};
    Literal number = splat_literal(*splat);
    number.type.shape = Shape();
    operands.push_back(std::move(number));
  }
  const auto type = llvm::cast<mlir::RankedTensorType>(op->getResult(0).getType());
  const Literal result = evaluate(def, ir::attrs_of(op), operands, {ir::tensor_type(type).dtype, Shape()});
  return broadcast_scalar(builder, op->getLoc(), ir::create_constant(builder, op->getLoc(), result), type);
}

/// Any other op whose operands are all constants.
mlir::Value fold_constants(mlir::Operation* op, const ops::OpDef& def, mlir::OpBuilder& builder) {
  const TensorType type = ir::tensor_type(op->getResult(0));
  if (op->getNumOperands() == 0 || !is_foldable(type)) return {};
  std::vector<Literal> operands;
  for (const mlir::Value operand : op->getOperands()) {
    const std::optional<Splat> splat = find_splat(operand);
    auto constant = operand.getDefiningOp<ir::ConstantOp>();
    if (!constant && !splat) return {};
    Literal value = constant ? ir::literal(llvm::cast<mlir::DenseElementsAttr>(constant.getValue())) : splat_literal(*splat);
    value.type = ir::tensor_type(operand);
    if (!is_foldable(value.type)) return {};
    operands.push_back(std::move(value));
  }
  const Literal result = evaluate(def, ir::attrs_of(op), operands, type);
  const mlir::DenseElementsAttr elements = ir::elements(builder.getContext(), result);
  if (!elements.isSplat() || elements.getNumElements() < 2) return ir::create_constant(builder, op->getLoc(), result);
  const auto scalar = mlir::RankedTensorType::get({}, elements.getElementType());
  const auto number = mlir::DenseElementsAttr::get(scalar, elements.getSplatValue<mlir::Attribute>());
  const mlir::Value constant = ir::ConstantOp::create(builder, op->getLoc(), scalar, number).getResult();
  return broadcast_scalar(builder, op->getLoc(), constant, llvm::cast<mlir::RankedTensorType>(op->getResult(0).getType()));
}

mlir::Value fold_op(mlir::Operation* op, mlir::OpBuilder& builder) {
  const ops::OpDef* def = ir::op_def(op);
  if (def == nullptr || def->traits.random || llvm::isa<ir::ConstantOp>(op)) return {};
  // A broadcast number is the cheapest form that it has.
  if (llvm::isa<ir::BroadcastOp>(op) && find_splat(op->getOperand(0))) return {};
  try {
    const mlir::Value splat = is_elementwise(op) ? fold_splats(op, *def, builder) : mlir::Value();
    return splat ? splat : fold_constants(op, *def, builder);
  } catch (const RuntimeError&) {
    return {};
  }
}

}  // namespace

void fold(mlir::func::FuncOp function, const PassOptions&) { rewrite_ops(function, fold_op); }

}  // namespace kiln::passes
