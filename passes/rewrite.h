// What passes that replace one op by others share: the walk, constants that are one number everywhere, and the engine of the rules.
#pragma once
#include <mlir/Dialect/Func/IR/FuncOps.h>
#include <mlir/IR/Builders.h>

#include <functional>
#include <optional>

#include "passes/rules.h"

namespace kiln::passes {

/// Gives a value that replaces the op's result, or null to leave the op; new ops go before the op.
using Rewrite = llvm::function_ref<mlir::Value(mlir::Operation* op, mlir::OpBuilder& builder)>;

/// Walks the function once, in order, and visits what a rewrite made before it goes on; erases what a rewrite leaves without a reader.
/// Every rewrite must make the graph simpler in some measure; the number of rewrites is bounded all the same.
void rewrite_ops(mlir::func::FuncOp function, Rewrite rewrite);

/// Erases the definitions of values that nobody reads any more, and what only they read.
void erase_dead(llvm::SmallVector<mlir::Value> values);

/// One number in every element: a constant of equal elements, seen through broadcast and reshape.
struct Splat {
  DType dtype = DType::float32;
  double number = 0;         ///< the number; exact for all types but int64
  std::int64_t integer = 0;  ///< the number of an integer or bool
  mlir::Value scalar;        ///< a value of rank 0 or more that holds it
};
std::optional<Splat> find_splat(mlir::Value value);

/// A constant number (rounded to the type's element type), broadcast to the type's shape.
mlir::Value create_splat(mlir::OpBuilder& builder, mlir::Location loc, double number, mlir::RankedTensorType type);

/// `scalar` (one element) broadcast to the type's shape; itself if it has that shape.
mlir::Value broadcast_scalar(mlir::OpBuilder& builder, mlir::Location loc, mlir::Value scalar, mlir::RankedTensorType type);

/// True for kiln.map and kiln.cast: each element of the result is a function of the operands' elements at its place.
bool is_elementwise(mlir::Operation* op);

/// The replacement of a kiln.map by the first rule up to that tag that matches; null if none does.
mlir::Value apply_rules(mlir::Operation* op, mlir::OpBuilder& builder, RuleTag most_permissive);

/// The identities of structural ops, all exact; null if none applies.
mlir::Value simplify_structure(mlir::Operation* op, mlir::OpBuilder& builder);

}  // namespace kiln::passes
