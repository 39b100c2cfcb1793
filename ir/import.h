// The captured graph as a function of the kiln dialect.
#pragma once
#include <mlir/IR/BuiltinOps.h>
#include <mlir/IR/OwningOpRef.h>

#include "graph/graph.h"

namespace kiln::ir {

/// A module with one func.func, named after the graph: a parameter is an argument with kiln.kind and kiln.name, a node one op with its
/// user's line, and the results and state writes are the operands of kiln.return. The context must have the dialect (make_context).
mlir::OwningOpRef<mlir::ModuleOp> import_graph(mlir::MLIRContext& context, const graph::Graph& graph);

/// The same text that graph::Graph::text() prints, or that a pass printed. Throws CompileError with MLIR's diagnostics.
mlir::OwningOpRef<mlir::ModuleOp> parse_module(mlir::MLIRContext& context, std::string_view text);

}  // namespace kiln::ir
