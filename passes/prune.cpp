// prune: drops ops whose results nobody reads. Parameters stay: they are the function's signature.
//
//   %1 = kiln.map "exp" %0
//   kiln.return %0               =>   kiln.return %0
#include "ir/dialect.h"
#include "passes/passes.h"
#include "passes/visits.h"

namespace kiln::passes {

void prune(mlir::func::FuncOp function, const PassOptions&) {
  mlir::Block& block = function.getBody().front();
  mlir::Operation* op = block.getTerminator()->getPrevNode();
  while (op != nullptr) {
    count_visits();
    mlir::Operation* previous = op->getPrevNode();
    if (op->use_empty()) op->erase();
    op = previous;
  }
}

}  // namespace kiln::passes
