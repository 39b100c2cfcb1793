// simplify-algebra: every rewrite rule that the numerics allow, in strict mode the exact ones only; products of a matrix and a vector.
//
//   %1 = kiln.constant {value = dense<2.0>}
//   %2 = kiln.broadcast %1                        =>   %3 = kiln.map "square" %0
//   %3 = kiln.map "pow" %0, %2
#include "passes/narrow_contractions.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace kiln::passes {

void simplify_algebra(mlir::func::FuncOp function, const PassOptions& options) {
  const RuleTag tag = allowed_tag(options.numerics);
  rewrite_ops(function, [tag](mlir::Operation* op, mlir::OpBuilder& builder) {
    const mlir::Value narrow = simplify_narrow_contraction(op, builder, tag);
    return narrow ? narrow : apply_rules(op, builder, tag);
  });
}

}  // namespace kiln::passes
