// The pipeline, one page, read top to bottom.
#include "passes/pipeline.h"

#include <mlir/IR/Verifier.h>

#include <array>
#include <chrono>

#include "base/require.h"
#include "ir/export.h"
#include "passes/dump.h"

namespace kiln::passes {
namespace {

constexpr std::array kPasses = {
    PassInfo{"prune", "Drop ops whose results nobody reads", prune},
    PassInfo{"canonicalize", "Exact rewrite rules and identities of structural ops", canonicalize},
    PassInfo{"cse", "Merge ops that compute the same", cse},
    PassInfo{"fold", "Compute ops on constants", fold},
    PassInfo{"merge-unrolled", "Join the small products and long sums that unrolled loops leave behind", merge_unrolled},
    PassInfo{"move-transposes", "Fold transposes into contractions and cancel them", move_transposes},
    PassInfo{"move-broadcasts", "Compute before broadcasting, not after", move_broadcasts},
    PassInfo{"simplify-algebra", "Cheaper elementwise ops, within the numerics", simplify_algebra},
    PassInfo{"fuse", "Group ops into kernels", fuse},
};

/// Runs passes on one function: times, dumps and verifies each.
class Runner {
 public:
  Runner(mlir::ModuleOp module, const PipelineOptions& options, runtime::CompileResult& result)
      : module_(module), function_(ir::only_function(module)), options_(options), result_(result) {}

  void operator()(std::string_view name) {
    for (const PassInfo& pass : kPasses) {
      if (pass.name == name) return run(pass);
    }
    KILN_ASSERT(false, "no pass is called {}", name);
  }

  void stage(runtime::StageId id, std::string_view name) {
    if (!options_.texts && (options_.dump == nullptr || !options_.dump->enabled())) return;
    std::string& text = result_.text[static_cast<std::size_t>(id)];
    const auto start = std::chrono::steady_clock::now();
    text = ir::text(function_);
    add_time("print", start);
    if (options_.dump != nullptr) options_.dump->stage(name, text);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void run(const PassInfo& pass) {
    const auto start = Clock::now();
    pass.run(function_, options_.passes);
    add_time(pass.name, start);
    if (options_.verify) KILN_ASSERT(mlir::succeeded(mlir::verify(module_)), "invalid IR after {}:\n{}", pass.name, ir::text(function_));
    if (options_.dump != nullptr && options_.dump->enabled()) options_.dump->pass(pass.name, ir::text(function_));
  }

  void add_time(std::string_view name, Clock::time_point start) {
    result_.times.push_back({std::string(name), std::chrono::duration<double, std::milli>(Clock::now() - start).count()});
  }

  mlir::ModuleOp module_;
  mlir::func::FuncOp function_;
  const PipelineOptions& options_;
  runtime::CompileResult& result_;
};

}  // namespace

std::span<const PassInfo> all_passes() { return kPasses; }

void run_pipeline(mlir::ModuleOp module, const PipelineOptions& options, runtime::CompileResult& result) {
  Runner run(module, options, result);
  run.stage(runtime::StageId::captured, "captured");
  run("prune");
  run("canonicalize");
  run("cse");
  run("fold");
  run("merge-unrolled");
  run("move-transposes");
  run("move-broadcasts");
  run("simplify-algebra");
  run("cse");  // from here on: what motion and algebra uncovered
  run("canonicalize");
  run("fold");
  run("cse");
  run("prune");
  run.stage(runtime::StageId::optimized, "optimized");
  run("fuse");
  run.stage(runtime::StageId::fused, "fused");
}

}  // namespace kiln::passes
