// canonicalize: the exact rewrite rules of elementwise ops and the identities of structural ops.
//
//   %1 = kiln.transpose %0 {perm = array<i64: 1, 0>}         %3 = kiln.map "square" %0
//   %2 = kiln.transpose %1 {perm = array<i64: 1, 0>}    =>
//   %3 = kiln.map "mul" %2, %0
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace kiln::passes {

void canonicalize(mlir::func::FuncOp function, const PassOptions&) {
  rewrite_ops(function, [](mlir::Operation* op, mlir::OpBuilder& builder) {
    const mlir::Value result = simplify_structure(op, builder);
    return result ? result : apply_rules(op, builder, RuleTag::exact);
  });
}

}  // namespace kiln::passes
