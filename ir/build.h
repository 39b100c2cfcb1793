// The one way to make an op of the dialect from an op of the vocabulary.
#pragma once
#include <initializer_list>
#include <span>
#include <string_view>

#include "ir/dialect.h"

namespace kiln::ir {

/// Creates the op with that result type, unchecked: kiln.map for an elementwise one, else the structural op of its name.
mlir::Value create(mlir::OpBuilder& builder, mlir::Location loc, const ops::OpDef& op, mlir::ValueRange operands, const Attrs& attrs,
                   mlir::RankedTensorType type);
/// The same; the vocabulary infers the type, and throws what infer throws.
mlir::Value create(mlir::OpBuilder& builder, mlir::Location loc, const ops::OpDef& op, mlir::ValueRange operands, const Attrs& attrs = {});
mlir::Value create(mlir::OpBuilder& builder, mlir::Location loc, std::string_view op, mlir::ValueRange operands, const Attrs& attrs = {});

/// A constant of that value.
mlir::Value create_constant(mlir::OpBuilder& builder, mlir::Location loc, const Literal& value);

}  // namespace kiln::ir
