// Products of a matrix and a vector: too narrow for the blocked driver, whose time goes into packing the matrix. They read memory and
// little else, so that a reduction, or a product with the matrix on the right, does them at the speed of memory.
#include "passes/narrow_contractions.h"

#include <optional>
#include <string>

#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/types.h"

namespace kiln::passes {
namespace {

/// Shorter rows of the matrix stay with the driver.
constexpr std::int64_t kLeastRow = 32;

struct Operand {
  mlir::Value value;
  std::string labels;
};

bool has(const std::string& labels, char label) { return labels.find(label) != std::string::npos; }

Shape shape_of(const Operand& x) { return ir::tensor_type(x.value).shape; }

/// A contraction one operand of which has no axis of its own.
struct Narrow {
  Operand matrix, vector;
  std::string out;
  bool matrix_is_lhs = false;
};

/// `x` and the result without the labels of axes of length 1 that only x and the result have; nothing if x has longer ones.
std::optional<Operand> without_rows(const Operand& x, const Operand& other, std::string& out) {
  const Shape shape = shape_of(x);
  std::string labels, dropped;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const char label = x.labels[static_cast<std::size_t>(axis)];
    if (has(other.labels, label)) {
      labels += label;
    } else if (shape[axis] == 1) {
      dropped += label;
    } else {
      return std::nullopt;
    }
  }
  std::erase_if(out, [&](char label) { return has(dropped, label); });
  return Operand{x.value, labels};
}

/// The vector without the axes that have lost their labels, which have length 1.
mlir::Value vector_of(mlir::OpBuilder& b, ir::ContractOp op, const Narrow& n) {
  if (shape_of(n.vector).size() == n.vector.labels.size()) return n.vector.value;
  const Shape all = shape_of(n.matrix);
  Shape kept;
  for (const char label : n.vector.labels) kept.push_back(all[static_cast<int>(n.matrix.labels.find(label))]);
  return ir::create(b, op.getLoc(), "reshape", n.vector.value, {{"shape", kept}});
}

std::optional<Narrow> find_narrow(ir::ContractOp op) {
  const auto [operands, result] = op.getEquation().split("->");
  const auto [left, right] = operands.split(",");
  const Operand lhs{op.getLhs(), left.str()}, rhs{op.getRhs(), right.str()};
  Narrow n{lhs, rhs, result.str(), true};
  if (const auto vector = without_rows(rhs, lhs, n.out)) {
    n.vector = *vector;
    return n;
  }
  n = {rhs, lhs, result.str(), false};
  if (const auto vector = without_rows(lhs, rhs, n.out)) {
    n.vector = *vector;
    return n;
  }
  return std::nullopt;
}

mlir::Value with_shape_of(mlir::OpBuilder& b, ir::ContractOp op, mlir::Value result) {
  if (result.getType() == op.getType()) return result;
  return ir::create(b, op.getLoc(), "reshape", result, {{"shape", ir::tensor_type(op.getResult()).shape}});
}

/// sum(matrix * vector) along the rows of the matrix.
mlir::Value as_reduction(ir::ContractOp op, const Narrow& n, mlir::OpBuilder& b) {
  const Shape shape = shape_of(n.matrix);
  Ints dims, axes;
  std::string kept;
  for (const char label : n.vector.labels) dims.push_back(static_cast<std::int64_t>(n.matrix.labels.find(label)));
  if (!std::is_sorted(dims.begin(), dims.end())) return {};
  for (std::size_t axis = 0; axis < n.matrix.labels.size(); ++axis) {
    if (has(n.out, n.matrix.labels[axis]))
      kept += n.matrix.labels[axis];
    else
      axes.push_back(static_cast<std::int64_t>(axis));
  }
  if (kept != n.out) return {};
  const mlir::Value wide = ir::create(b, op.getLoc(), "broadcast", vector_of(b, op, n), {{"dims", dims}, {"shape", shape}});
  const mlir::Value product = ir::create(b, op.getLoc(), "mul", {n.matrix.value, wide});
  return with_shape_of(b, op, ir::create(b, op.getLoc(), "reduce", product, {{"kind", std::string("add")}, {"axes", axes}}));
}

/// The same product with the matrix on the right, in the same order.
mlir::Value swapped(ir::ContractOp op, const Narrow& n, mlir::OpBuilder& b) {
  Attrs attrs = ir::attrs_of(op);
  attrs.set("equation", n.vector.labels + "," + n.matrix.labels + "->" + n.out);
  return with_shape_of(b, op, ir::create(b, op.getLoc(), "contract", {vector_of(b, op, n), n.matrix.value}, attrs));
}

}  // namespace

mlir::Value simplify_narrow_contraction(mlir::Operation* operation, mlir::OpBuilder& b, RuleTag most_permissive) {
  auto op = llvm::dyn_cast<ir::ContractOp>(operation);
  const DType dtype = op ? ir::tensor_type(op.getResult()).dtype : DType::boolean;
  if (!op || !op.getWindow().empty() || (dtype != DType::float32 && dtype != DType::float64)) return {};
  const std::optional<Narrow> n = find_narrow(op);
  if (!n || n->matrix.labels.empty()) return {};
  const bool along_rows = !has(n->out, n->matrix.labels.back());
  if (!along_rows) return n->matrix_is_lhs ? swapped(op, *n, b) : mlir::Value();
  if (most_permissive < RuleTag::rounding) return {};
  const Shape shape = shape_of(n->matrix);
  if (shape[shape.rank() - 1].value_or(kLeastRow) < kLeastRow) return {};
  return as_reduction(op, *n, b);
}

}  // namespace kiln::passes
