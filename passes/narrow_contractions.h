// Products of a matrix and a vector, in a form that runs at the speed of memory.
#pragma once
#include <mlir/IR/Builders.h>

#include "passes/rules.h"

namespace kiln::passes {

/// A replacement of a contraction in which one operand has no axis of its own (but for axes of length 1): a sum of products along the rows
/// of the other operand, which rounds differently, or the same contraction with its operands exchanged; null if neither helps.
mlir::Value simplify_narrow_contraction(mlir::Operation* op, mlir::OpBuilder& builder, RuleTag most_permissive);

}  // namespace kiln::passes
