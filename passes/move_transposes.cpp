// move-transposes: folds transposes into the labels of contractions, whose summation order is an attribute and stays, and moves them behind
// elementwise ops where they then meet another transpose or a contraction.
//
//   %2 = kiln.transpose %1 {perm = array<i64: 1, 0>}
//   %3 = kiln.contract %0, %2 {equation = "mk,kn->mn", ...}   =>   %3 = kiln.contract %0, %1 {equation = "mk,nk->mn", ...}
#include <algorithm>
#include <string>

#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/types.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace kiln::passes {
namespace {

/// The labels of lhs, rhs and result.
struct Equation {
  std::string lhs, rhs, out;

  explicit Equation(llvm::StringRef text) {
    const auto [operands, result] = text.split("->");
    const auto [left, right] = operands.split(",");
    lhs = left.str();
    rhs = right.str();
    out = result.str();
  }
  std::string str() const { return lhs + "," + rhs + "->" + out; }
};

mlir::Value create_contract(mlir::OpBuilder& b, ir::ContractOp op, mlir::Location loc, mlir::Value lhs, mlir::Value rhs,
                            const Equation& equation) {
  Attrs attrs = ir::attrs_of(op);
  attrs.set("equation", equation.str());
  return ir::create(b, loc, "contract", {lhs, rhs}, attrs);
}

/// The labels of x, given those of transpose(x).
std::string labels_before(const std::string& labels, llvm::ArrayRef<std::int64_t> perm) {
  std::string result(labels.size(), ' ');
  for (std::size_t i = 0; i < perm.size(); ++i) result[static_cast<std::size_t>(perm[i])] = labels[i];
  return result;
}

mlir::Value absorb_operands(ir::ContractOp op, mlir::OpBuilder& b) {
  auto lhs = op.getLhs().getDefiningOp<ir::TransposeOp>();
  auto rhs = op.getRhs().getDefiningOp<ir::TransposeOp>();
  if (!lhs && !rhs) return {};
  Equation equation(op.getEquation());
  if (lhs) equation.lhs = labels_before(equation.lhs, lhs.getPerm());
  if (rhs) equation.rhs = labels_before(equation.rhs, rhs.getPerm());
  return create_contract(b, op, op.getLoc(), lhs ? lhs.getInput() : op.getLhs(), rhs ? rhs.getInput() : op.getRhs(), equation);
}

/// transpose(contract) -> contract with permuted result labels, if nobody else reads the contraction.
mlir::Value absorb_result(ir::TransposeOp op, mlir::OpBuilder& b) {
  auto contract = op.getInput().getDefiningOp<ir::ContractOp>();
  if (!contract || !contract->hasOneUse()) return {};
  Equation equation(contract.getEquation());
  const std::string labels = equation.out;
  for (std::size_t i = 0; i < labels.size(); ++i) equation.out[i] = labels[static_cast<std::size_t>(op.getPerm()[i])];
  return create_contract(b, contract, contract.getLoc(), contract.getLhs(), contract.getRhs(), equation);
}

bool absorbs_transposes(mlir::Operation* op) { return llvm::isa<ir::TransposeOp, ir::ContractOp>(op); }

bool is_uniform(mlir::Value value) {
  auto source = value.getDefiningOp<ir::BroadcastOp>();
  return source && ir::tensor_type(source.getInput()).shape.empty();
}

/// map(transpose(x), transpose(y)) -> transpose(map(x, y)), if all operands but numbers are transposed alike and the transpose then meets
/// an op that absorbs it.
mlir::Value sink_below_map(mlir::Operation* op, mlir::OpBuilder& b) {
  if (!is_elementwise(op)) return {};
  ir::TransposeOp first;
  int transposed = 0;
  for (const mlir::Value operand : op->getOperands()) {
    auto transpose = operand.getDefiningOp<ir::TransposeOp>();
    if (!transpose && is_uniform(operand)) continue;
    if (!transpose || (first && first.getPerm() != transpose.getPerm())) return {};
    first = first ? first : transpose;
    ++transposed;
  }
  if (!first || (transposed == 1 && !llvm::all_of(op->getUsers(), absorbs_transposes))) return {};
  auto before = llvm::cast<mlir::RankedTensorType>(first.getInput().getType());
  llvm::SmallVector<mlir::Value, 3> operands;
  for (const mlir::Value operand : op->getOperands()) {
    auto transpose = operand.getDefiningOp<ir::TransposeOp>();
    if (transpose) {
      operands.push_back(transpose.getInput());
      continue;
    }
    const auto type = before.clone(llvm::cast<mlir::RankedTensorType>(operand.getType()).getElementType());
    operands.push_back(broadcast_scalar(b, op->getLoc(), operand.getDefiningOp<ir::BroadcastOp>().getInput(), type));
  }
  const mlir::Value moved = ir::create(b, op->getLoc(), *ir::op_def(op), operands, ir::attrs_of(op));
  return ir::create(b, op->getLoc(), "transpose", moved, {{"perm", Ints(first.getPerm().begin(), first.getPerm().end())}});
}

}  // namespace

void move_transposes(mlir::func::FuncOp function, const PassOptions&) {
  rewrite_ops(function, [](mlir::Operation* op, mlir::OpBuilder& builder) -> mlir::Value {
    if (auto contract = llvm::dyn_cast<ir::ContractOp>(op)) return absorb_operands(contract, builder);
    if (auto transpose = llvm::dyn_cast<ir::TransposeOp>(op)) {
      const mlir::Value absorbed = absorb_result(transpose, builder);
      return absorbed ? absorbed : simplify_structure(op, builder);
    }
    return sink_below_map(op, builder);
  });
}

}  // namespace kiln::passes
