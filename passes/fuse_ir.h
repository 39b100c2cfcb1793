// Fused graphs as IR: kiln.fusion ops, and back.
#pragma once
#include <mlir/Dialect/Func/IR/FuncOps.h>

#include "passes/fuse.h"

namespace kiln::passes {

/// Replaces the function's body by one of kiln.fusion ops, views and constants.
void write_fused(mlir::func::FuncOp function, const FusedGraph& fused);

/// The fused graph of a function that `fuse` has run on. An op computed in several fusions is several nodes.
FusedGraph read_fused(mlir::func::FuncOp function);

}  // namespace kiln::passes
