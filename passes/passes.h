// Every pass: a function from a func.func to the same func.func, in a file of its own name; kiln-opt runs it as --kiln-NAME.
#pragma once
#include <mlir/Dialect/Func/IR/FuncOps.h>

#include <span>
#include <string_view>

#include "base/numerics.h"
#include "base/target.h"

namespace kiln::passes {

/// What a pass may know besides the graph.
struct PassOptions {
  Numerics numerics = Numerics::standard;
  Target target;
};

/// A pass leaves a valid function that computes the same results and writes (within the rules of `numerics`).
/// It throws InternalError on a bug, never on a user's program.
using PassFunction = void (*)(mlir::func::FuncOp function, const PassOptions& options);

void canonicalize(mlir::func::FuncOp function, const PassOptions& options);
void cse(mlir::func::FuncOp function, const PassOptions& options);
void prune(mlir::func::FuncOp function, const PassOptions& options);
void fold(mlir::func::FuncOp function, const PassOptions& options);
void simplify_algebra(mlir::func::FuncOp function, const PassOptions& options);
void merge_unrolled(mlir::func::FuncOp function, const PassOptions& options);
void move_transposes(mlir::func::FuncOp function, const PassOptions& options);
void move_broadcasts(mlir::func::FuncOp function, const PassOptions& options);
void fuse(mlir::func::FuncOp function, const PassOptions& options);

/// A pass by its flag: "canonicalize" is --kiln-canonicalize.
struct PassInfo {
  std::string_view name;
  std::string_view doc;
  PassFunction run;
};

/// Every pass, in the order in which the pipeline first runs it.
std::span<const PassInfo> all_passes();

}  // namespace kiln::passes
