// From the captured graph to fused IR: the order of the passes.
#pragma once
#include <mlir/IR/BuiltinOps.h>

#include "passes/dump.h"
#include "passes/passes.h"
#include "runtime/compile.h"

namespace kiln::passes {

struct PipelineOptions {
  PassOptions passes;
  Dump* dump = nullptr;  ///< gets the IR after each pass; may be null
  bool texts = true;     ///< fill CompileResult::text
  bool verify = false;   ///< run MLIR's verifier after each pass: InternalError naming the pass
};

/// Runs every pass up to and including fuse. Fills result.text of captured, optimized and fused if asked to, and appends one StageTime a
/// pass.
void run_pipeline(mlir::ModuleOp module, const PipelineOptions& options, runtime::CompileResult& result);

}  // namespace kiln::passes
