// kiln-opt: runs passes on text. Every pass is a flag (--kiln-cse), --kiln-pipeline runs all of them, --kiln-round-trip goes through
// graph::Graph.
#include <kiln/error.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/FormatVariadic.h>
#include <mlir/Pass/Pass.h>
#include <mlir/Pass/PassRegistry.h>
#include <mlir/Tools/mlir-opt/MlirOptMain.h>

#include <functional>

#include "base/numerics.h"
#include "base/target.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "passes/pipeline.h"

namespace {

using namespace kiln;

llvm::cl::opt<Numerics> numerics_option("numerics", llvm::cl::desc("How faithful the result is to eager code"),
                                        llvm::cl::init(Numerics::standard),
                                        llvm::cl::values(clEnumValN(Numerics::strict, "strict", "eager's bits"),
                                                         clEnumValN(Numerics::standard, "standard", "rules tagged rounding"),
                                                         clEnumValN(Numerics::fast, "fast", "rules tagged finite_only")));
llvm::cl::opt<std::string> dump_option("kiln-dump", llvm::cl::desc("Directory for the IR after each pass of --kiln-pipeline"));
llvm::cl::opt<bool> times_option("kiln-times", llvm::cl::desc("Print the time of each pass of --kiln-pipeline to stderr"));

passes::PassOptions pass_options() { return {numerics_option, current_target()}; }

using Body = std::function<void(mlir::ModuleOp)>;

/// Wraps what kiln-opt can do as a pass of MLIR, under a name known only at run time.
class FlagPass : public mlir::PassWrapper<FlagPass, mlir::OperationPass<mlir::ModuleOp>> {
 public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FlagPass)

  FlagPass(std::string flag, std::string doc, Body body) : flag_(std::move(flag)), doc_(std::move(doc)), body_(std::move(body)) {}
  FlagPass(const FlagPass& other) : PassWrapper(other), flag_(other.flag_), doc_(other.doc_), body_(other.body_) {}

  llvm::StringRef getArgument() const final { return flag_; }
  llvm::StringRef getDescription() const final { return doc_; }

  void runOnOperation() final {
    try {
      body_(getOperation());
    } catch (const Error& error) {
      getOperation().emitError(error.what());
      signalPassFailure();
    }
  }

 private:
  std::string flag_;
  std::string doc_;
  Body body_;
};

void register_flag(std::string flag, std::string doc, Body body) {
  mlir::registerPass([flag, doc, body] { return std::make_unique<FlagPass>(flag, doc, body); });
}

void run_on_functions(mlir::ModuleOp module, passes::PassFunction pass) {
  for (auto function : module.getOps<mlir::func::FuncOp>()) pass(function, pass_options());
}

void run_whole_pipeline(mlir::ModuleOp module) {
  passes::PipelineOptions options;
  options.passes = pass_options();
  passes::Dump dump(dump_option);
  options.dump = &dump;
  options.verify = true;
  runtime::CompileResult result;
  passes::run_pipeline(module, options, result);
  if (!times_option) return;
  for (const runtime::StageTime& time : result.times) llvm::errs() << llvm::formatv("{0,-20} {1:f3} ms\n", time.stage, time.milliseconds);
}

/// Replaces each function by what comes back from the graph.
void round_trip(mlir::ModuleOp module) {
  for (auto function : llvm::make_early_inc_range(module.getOps<mlir::func::FuncOp>())) {
    auto imported = ir::import_graph(*module.getContext(), ir::export_graph(function));
    mlir::Operation* fresh = ir::only_function(*imported);
    fresh->moveBefore(function);
    function.erase();
  }
}

void register_flags() {
  for (const passes::PassInfo& pass : passes::all_passes()) {
    register_flag("kiln-" + std::string(pass.name), std::string(pass.doc),
                  [&pass](mlir::ModuleOp module) { run_on_functions(module, pass.run); });
  }
  register_flag("kiln-pipeline", "Every pass, in the compiler's order", run_whole_pipeline);
  register_flag("kiln-round-trip", "To the graph and back", round_trip);
}

}  // namespace

int main(int argc, char** argv) {
  register_flags();
  mlir::DialectRegistry registry;
  registry.insert<ir::KilnDialect, mlir::func::FuncDialect>();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Kiln's passes on text\n", registry));
}
