// From a module of emitted functions to an ELF shared object: MLIR to LLVM IR, a short list of optimizations, code generation, link.
#pragma once
#include <mlir/IR/BuiltinOps.h>
#include <mlir/IR/MLIRContext.h>

#include <map>
#include <memory>
#include <string>

#include "base/target.h"
#include "codegen/stages.h"

namespace llvm {
class Module;
class TargetMachine;
enum class CodeGenFileType;
}  // namespace llvm

namespace kiln::codegen {

/// Everything that one thread needs to compile. Expensive to make (some milliseconds), so kept across compilations.
class CompileWorker {
 public:
  CompileWorker();
  ~CompileWorker();
  CompileWorker(const CompileWorker&) = delete;
  CompileWorker& operator=(const CompileWorker&) = delete;

  mlir::MLIRContext& context() { return *context_; }
  /// False once its context, which never forgets a constant or a type, has served many compilations.
  bool is_fresh() const;
  /// The relocatable object of `module`. `text` may be null. Throws CompileError.
  std::string object(mlir::ModuleOp module, const Target& target, LowLevelText* text, StageClock& clock);

 private:
  llvm::TargetMachine& machine(const Target& target);

  std::unique_ptr<mlir::MLIRContext> context_;
  int compilations_ = 0;
  std::map<std::string, std::unique_ptr<llvm::TargetMachine>> machines_;
};

/// Borrows a worker from the process's pool, making one if all are in use.
class WorkerLease {
 public:
  WorkerLease();
  ~WorkerLease();
  WorkerLease(const WorkerLease&) = delete;
  WorkerLease& operator=(const WorkerLease&) = delete;
  CompileWorker& operator*() { return *worker_; }
  CompileWorker* operator->() { return worker_.get(); }

 private:
  std::unique_ptr<CompileWorker> worker_;
};

/// The scf, arith, vector and cf operations of `module` as operations of the llvm dialect. Throws CompileError.
void convert_to_llvm_dialect(mlir::ModuleOp module);

/// The optimizations that hand-vectorized code needs.
void optimize(llvm::Module& module, llvm::TargetMachine& machine);

/// Code generation: an object or assembly text. Throws CompileError.
std::string generate(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType kind);

/// Links one object into a shared object that has no undefined symbols. One link at a time in the process. Throws CompileError.
std::string link_shared(const std::string& object);

}  // namespace kiln::codegen
