// The dialect's verifiers: every shape rule is the vocabulary's.
#include "ir/dialect.h"

#include <fmt/format.h>
#include <kiln/error.h>
#include <mlir/Dialect/Func/IR/FuncOps.h>
#include <mlir/IR/DialectImplementation.h>

#include "ir/attributes.h"
#include "ir/types.h"

#include "ir/KilnDialect.cpp.inc"
#define GET_OP_CLASSES
#include "ir/KilnOps.cpp.inc"

namespace kiln::ir {

void KilnDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "ir/KilnOps.cpp.inc"
      >();
}

std::unique_ptr<mlir::MLIRContext> make_context() {
  auto context = std::make_unique<mlir::MLIRContext>(mlir::MLIRContext::Threading::DISABLED);
  context->loadDialect<KilnDialect, mlir::func::FuncDialect>();
  return context;
}

const ops::OpDef* op_def(mlir::Operation* op) {
  if (auto map = llvm::dyn_cast<MapOp>(op)) return ops::find_op(std::string_view(map.getFunction()));
  if (!llvm::isa_and_nonnull<KilnDialect>(op->getDialect())) return nullptr;
  if (llvm::isa<FusionOp, YieldOp, ReturnOp>(op)) return nullptr;
  return ops::find_op(std::string_view(op->getName().stripDialect()));
}

bool is_map(mlir::Operation* op, std::string_view function) {
  auto map = llvm::dyn_cast_or_null<MapOp>(op);
  return map && std::string_view(map.getFunction()) == function;
}

namespace {

llvm::LogicalResult verify_operand_count(mlir::Operation* op, const ops::OpDef& def) {
  if (def.arity < 0 || op->getNumOperands() == static_cast<unsigned>(def.arity)) return mlir::success();
  return op->emitOpError(fmt::format("\"{}\" takes {} operands, got {}", def.name, def.arity, op->getNumOperands()));
}

/// In a graph all operands of an elementwise op have the result's shape: broadcasts are ops.
llvm::LogicalResult verify_equal_shapes(mlir::Operation* op, std::span<const TensorType> operands) {
  for (const TensorType& type : operands) {
    if (type.shape == operands.front().shape) continue;
    return op->emitOpError(fmt::format("operands must have one shape, got {} and {}", operands.front().shape.str(), type.shape.str()));
  }
  return mlir::success();
}

}  // namespace

llvm::LogicalResult verify_against_vocabulary(mlir::Operation* op) {
  const ops::OpDef* def = op_def(op);
  const bool is_map_op = llvm::isa<MapOp>(op);
  if (def == nullptr && is_map_op) return op->emitOpError("unknown function \"" + llvm::cast<MapOp>(op).getFunction() + "\"");
  if (def == nullptr) return op->emitOpError("is not in the vocabulary");
  if (is_map_op && def->kind != ops::OpKind::elementwise) return op->emitOpError(fmt::format("\"{}\" is not elementwise", def->name));
  if (mlir::failed(verify_operand_count(op, *def))) return mlir::failure();
  std::vector<TensorType> operands;
  for (mlir::Value operand : op->getOperands()) {
    const std::optional<TensorType> type = find_tensor_type(operand.getType());
    if (!type) return op->emitOpError("operand lengths need names: tensor<?xf32, \"batch\">");
    operands.push_back(*type);
  }
  const std::optional<TensorType> result = find_tensor_type(op->getResult(0).getType());
  if (!result) return op->emitOpError("result lengths need names: tensor<?xf32, \"batch\">");
  if (is_map_op && mlir::failed(verify_equal_shapes(op, operands))) return mlir::failure();
  try {
    const TensorType inferred = def->infer(*def, operands, attrs_of(op));
    if (inferred == *result) return mlir::success();
    return op->emitOpError(fmt::format("result type {} differs from the inferred {}", result->str(), inferred.str()));
  } catch (const Error& error) {
    return op->emitOpError(error.message());
  }
}

llvm::LogicalResult KilnDialect::verifyRegionArgAttribute(mlir::Operation* op, unsigned, unsigned argument,
                                                          mlir::NamedAttribute attribute) {
  const auto text = llvm::dyn_cast<mlir::StringAttr>(attribute.getValue());
  if (!text) return op->emitError() << "attribute " << attribute.getName() << " of argument " << argument << " must be text";
  if (attribute.getName() != "kiln.kind") return mlir::success();
  const bool known = llvm::is_contained({"argument", "variable", "capture", "random"}, text.getValue());
  if (!known) return op->emitError() << "unknown kiln.kind " << text << " of argument " << argument;
  return mlir::success();
}

llvm::LogicalResult FusionOp::verify() {
  if (!llvm::is_contained({"loop", "reduce", "row", "contract", "scatter"}, getKind()))
    return emitOpError("unknown kind \"") << getKind() << "\"";
  mlir::Block& block = getBody().front();
  if (block.getArgumentTypes() != getInputs().getTypes()) return emitOpError("its block's arguments must have its operands' types");
  auto yield = block.empty() ? YieldOp() : llvm::dyn_cast<YieldOp>(block.back());
  if (!yield) return emitOpError("must end in kiln.yield");
  if (yield.getValues().getTypes() != getOutputs().getTypes()) return emitOpError("must yield values of its results' types");
  return mlir::success();
}

llvm::LogicalResult ReturnOp::verify() {
  auto function = llvm::dyn_cast<mlir::func::FuncOp>((*this)->getParentOp());
  if (!function) return emitOpError("must end a func.func");
  if (getValues().getTypes() != mlir::TypeRange(function.getResultTypes()))
    return emitOpError("must return values of its function's result types");
  if (!getWrites()) return mlir::success();
  const llvm::ArrayRef<std::int64_t> writes = *getWrites();
  if (writes.size() > getValues().size()) return emitOpError("has more writes than values");
  const std::size_t first = getValues().size() - writes.size();
  llvm::SmallDenseSet<std::int64_t> seen;
  for (std::size_t i = 0; i < writes.size(); ++i) {
    const std::int64_t parameter = writes[i];
    if (parameter < 0 || parameter >= function.getNumArguments())
      return emitOpError("writes parameter ") << parameter << ", which does not exist";
    if (!seen.insert(parameter).second) return emitOpError("writes parameter ") << parameter << " twice";
    const mlir::Type expected = function.getArgument(static_cast<unsigned>(parameter)).getType();
    const mlir::Type got = getValues()[first + i].getType();
    if (expected != got) return emitOpError("writes ") << got << " to parameter " << parameter << " of type " << expected;
  }
  return mlir::success();
}

}  // namespace kiln::ir
