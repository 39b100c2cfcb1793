// Back from the dialect to the graph: what lets the interpreter check every pass.
#pragma once
#include <mlir/Dialect/Func/IR/FuncOps.h>

#include <string>

#include "graph/graph.h"

namespace kiln::ir {

/// The function as a graph; bodies of kiln.fusion are put in line. Parameter ids are 0: they belong to the process, not to the program.
graph::Graph export_graph(mlir::func::FuncOp function);

/// The only function of a module made by import_graph.
mlir::func::FuncOp only_function(mlir::ModuleOp module);

/// The text of an op as the stages show it: with the user's lines, parsable by kiln-opt.
std::string text(mlir::Operation* op);

}  // namespace kiln::ir
