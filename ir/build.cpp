// Makes ops of the dialect.
#include "ir/build.h"

#include "ir/attributes.h"
#include "ir/types.h"

namespace kiln::ir {

mlir::Value create(mlir::OpBuilder& builder, mlir::Location loc, const ops::OpDef& op, mlir::ValueRange operands, const Attrs& attrs,
                   mlir::RankedTensorType type) {
  if (op.kind == ops::OpKind::elementwise) {
    return MapOp::create(builder, loc, type, llvm::StringRef(op.name), operands).getResult();
  }
  llvm::SmallString<32> name("kiln.");
  name += op.name;
  mlir::OperationState state(loc, name);
  state.addOperands(operands);
  state.addTypes(type);
  llvm::SmallVector<mlir::NamedAttribute> entries;
  for (const auto& [key, value] : attrs) {
    if (const mlir::Attribute converted = attribute(builder.getContext(), value)) entries.push_back(builder.getNamedAttr(key, converted));
  }
  if (!entries.empty()) state.propertiesAttr = builder.getDictionaryAttr(entries);
  return builder.create(state)->getResult(0);
}

mlir::Value create(mlir::OpBuilder& builder, mlir::Location loc, const ops::OpDef& op, mlir::ValueRange operands, const Attrs& attrs) {
  llvm::SmallVector<TensorType, 4> types;
  for (const mlir::Value operand : operands) types.push_back(tensor_type(operand));
  const TensorType inferred = op.infer(op, {types.data(), types.size()}, attrs);
  return create(builder, loc, op, operands, attrs, tensor_type(builder.getContext(), inferred));
}

mlir::Value create(mlir::OpBuilder& builder, mlir::Location loc, std::string_view op, mlir::ValueRange operands, const Attrs& attrs) {
  return create(builder, loc, ops::op(op), operands, attrs);
}

mlir::Value create_constant(mlir::OpBuilder& builder, mlir::Location loc, const Literal& value) {
  const mlir::RankedTensorType type = tensor_type(builder.getContext(), value.type);
  return ConstantOp::create(builder, loc, type, elements(builder.getContext(), value)).getResult();
}

}  // namespace kiln::ir
