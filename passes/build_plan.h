// From a fused graph to the plan that the runtime executes.
#pragma once
#include <string>

#include "base/numerics.h"
#include "passes/fuse.h"
#include "runtime/plan.h"

namespace kiln::passes {

/// The plan of a fused graph. `captured` is the graph as it was traced: op_nodes name its nodes, found by op and line (nullptr: the fused
/// graph's own nodes). Throws CompileError if a symbolic length appears in no parameter's shape by itself.
runtime::Plan build_plan(const FusedGraph& fused, Numerics numerics, const graph::Graph* captured = nullptr);

/// The stage `kernels`: each launch with its kernel, where its arguments live, and the user's lines.
std::string kernels_text(const FusedGraph& fused, const runtime::Plan& plan, const graph::Graph* captured = nullptr);

}  // namespace kiln::passes
