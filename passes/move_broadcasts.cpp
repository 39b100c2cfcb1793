// move-broadcasts: computes before broadcasting, not after; reduces before broadcasting where the combiner is order-free.
//
//   %1 = kiln.broadcast %0 : (tensor<10xf32>) -> tensor<32x10xf32>        %1 = kiln.map "exp" %0 : tensor<10xf32>
//   %2 = kiln.map "exp" %1                                           =>   %2 = kiln.broadcast %1 : (tensor<10xf32>) -> tensor<32x10xf32>
#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/types.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace kiln::passes {
namespace {

/// map(broadcast(x), broadcast(y), broadcast(number)) -> broadcast(map(x, y, number)), if x, y ... have one shape and are broadcast alike.
mlir::Value sink_below_map(mlir::Operation* op, mlir::OpBuilder& b) {
  if (!is_elementwise(op)) return {};
  ir::BroadcastOp widest;
  for (const mlir::Value operand : op->getOperands()) {
    auto broadcast = operand.getDefiningOp<ir::BroadcastOp>();
    if (!broadcast) return {};
    const Shape from = ir::tensor_type(broadcast.getInput()).shape;
    if (from.empty() && widest) continue;
    if (!widest || ir::tensor_type(widest.getInput()).shape.empty()) {
      widest = broadcast;
      continue;
    }
    if (!(from == ir::tensor_type(widest.getInput()).shape) || broadcast.getDims() != widest.getDims()) return {};
  }
  auto before = llvm::cast<mlir::RankedTensorType>(widest.getInput().getType());
  llvm::SmallVector<mlir::Value, 3> operands;
  for (const mlir::Value operand : op->getOperands()) {
    const mlir::Value x = operand.getDefiningOp<ir::BroadcastOp>().getInput();
    const auto type = before.clone(llvm::cast<mlir::RankedTensorType>(x.getType()).getElementType());
    operands.push_back(broadcast_scalar(b, op->getLoc(), x, type));
  }
  const mlir::Value moved = ir::create(b, op->getLoc(), *ir::op_def(op), operands, ir::attrs_of(op));
  const Shape shape = ir::tensor_type(op->getResult(0)).shape;
  return ir::create(b, op->getLoc(), "broadcast", moved,
                    {{"dims", Ints(widest.getDims().begin(), widest.getDims().end())}, {"shape", shape}});
}

/// What is left of reduce(broadcast(x)) when the axes that the broadcast made are gone.
struct RemainingAxes {
  Ints reduced;            ///< axes of x still to reduce
  Ints kept_dims;          ///< for each other axis of x, its axis in the result
  bool drops_any = false;  ///< some reduced axis was made by the broadcast
};

RemainingAxes remaining_axes(ir::ReduceOp op, ir::BroadcastOp broadcast) {
  RemainingAxes left;
  const Shape from = ir::tensor_type(broadcast.getInput()).shape;
  const Shape to = ir::tensor_type(broadcast.getResult()).shape;
  for (int axis = 0; axis < from.rank(); ++axis) {
    const std::int64_t dim = broadcast.getDims()[static_cast<std::size_t>(axis)];
    if (llvm::is_contained(op.getAxes(), dim)) {
      left.reduced.push_back(axis);
      left.drops_any |= !(from[axis] == to[dim]);
    } else {
      left.kept_dims.push_back(dim - llvm::count_if(op.getAxes(), [&](std::int64_t a) { return a < dim; }));
    }
  }
  left.drops_any |= left.reduced.size() < op.getAxes().size();
  return left;
}

/// max, min, and, or of equal elements is that element. An axis that may be empty has none.
mlir::Value reduce_before(ir::ReduceOp op, mlir::OpBuilder& b) {
  auto broadcast = op.getInput().getDefiningOp<ir::BroadcastOp>();
  if (!broadcast || op.getKind() == "add" || op.getKind() == "mul") return {};
  const Shape to = ir::tensor_type(broadcast.getResult()).shape;
  if (llvm::any_of(op.getAxes(), [&](std::int64_t axis) { return to[axis].value_or(0) < 1; })) return {};
  const RemainingAxes left = remaining_axes(op, broadcast);
  if (!left.drops_any) return {};
  mlir::Value value = broadcast.getInput();
  if (!left.reduced.empty()) value = ir::create(b, op.getLoc(), "reduce", value, {{"kind", op.getKind().str()}, {"axes", left.reduced}});
  return ir::create(b, op.getLoc(), "broadcast", value, {{"dims", left.kept_dims}, {"shape", ir::tensor_type(op.getResult()).shape}});
}

}  // namespace

void move_broadcasts(mlir::func::FuncOp function, const PassOptions&) {
  rewrite_ops(function, [](mlir::Operation* op, mlir::OpBuilder& builder) {
    if (auto reduce = llvm::dyn_cast<ir::ReduceOp>(op)) return reduce_before(reduce, builder);
    return sink_below_map(op, builder);
  });
}

}  // namespace kiln::passes
