// cse: merges ops that compute the same: same op, attributes and operands (in either order if commutative). Random ops are never merged;
// of two fallible ones the first stays, and reports the error at its line.
//
//   %1 = kiln.map "exp" %0
//   %2 = kiln.map "exp" %0           =>   %1 = kiln.map "exp" %0
//   %3 = kiln.map "add" %1, %2            %3 = kiln.map "add" %1, %1
#include <llvm/ADT/DenseSet.h>
#include <llvm/ADT/Hashing.h>

#include <utility>

#include "ir/dialect.h"
#include "passes/passes.h"
#include "passes/visits.h"

namespace kiln::passes {
namespace {

/// Operands in an order that does not depend on how a commutative op was written.
std::pair<mlir::Value, mlir::Value> ordered_pair(mlir::Operation* op) {
  const mlir::Value a = op->getOperand(0);
  const mlir::Value b = op->getOperand(1);
  return a.getAsOpaquePointer() < b.getAsOpaquePointer() ? std::pair(a, b) : std::pair(b, a);
}

bool is_commutative(mlir::Operation* op) {
  const ops::OpDef* def = ir::op_def(op);
  return def != nullptr && def->traits.commutative && op->getNumOperands() == 2;
}

struct SameComputation : llvm::DenseMapInfo<mlir::Operation*> {
  static unsigned getHashValue(mlir::Operation* op) {
    llvm::hash_code hash = llvm::hash_combine(op->getName(), op->hashProperties(), op->getResultTypes());
    if (is_commutative(op)) {
      const auto [a, b] = ordered_pair(op);
      return static_cast<unsigned>(llvm::hash_combine(hash, a, b));
    }
    for (const mlir::Value operand : op->getOperands()) hash = llvm::hash_combine(hash, operand);
    return static_cast<unsigned>(hash);
  }

  static bool isEqual(mlir::Operation* a, mlir::Operation* b) {
    if (a == b) return true;
    if (a == getEmptyKey() || a == getTombstoneKey() || b == getEmptyKey() || b == getTombstoneKey()) return false;
    if (a->getName() != b->getName() || a->getResultTypes() != b->getResultTypes()) return false;
    if (!a->getName().compareOpProperties(a->getPropertiesStorage(), b->getPropertiesStorage())) return false;
    if (is_commutative(a)) return ordered_pair(a) == ordered_pair(b);
    return a->getOperands() == b->getOperands();
  }
};

}  // namespace

void cse(mlir::func::FuncOp function, const PassOptions&) {
  llvm::DenseSet<mlir::Operation*, SameComputation> seen;
  for (mlir::Operation& op : llvm::make_early_inc_range(function.getBody().front().without_terminator())) {
    count_visits();
    const ops::OpDef* def = ir::op_def(&op);
    if (def == nullptr || def->traits.random) continue;
    const auto [first, inserted] = seen.insert(&op);
    if (inserted) continue;
    op.replaceAllUsesWith(*first);
    op.erase();
  }
}

}  // namespace kiln::passes
