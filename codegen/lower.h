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
class LLVMContext;
class Linker;
class Module;
class TargetMachine;
enum class CodeGenFileType;
}  // namespace llvm

namespace kiln::codegen {

/// Turns scf, arith, vector and cf operations into those of the llvm dialect, for modules of one context.
class ConversionToLlvm {
 public:
  explicit ConversionToLlvm(mlir::MLIRContext& context);
  ~ConversionToLlvm();
  /// Throws CompileError.
  void run(mlir::ModuleOp module) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Everything that one thread needs to compile. Expensive to make (some milliseconds), so kept across compilations.
class CompileWorker {
 public:
  CompileWorker();
  ~CompileWorker();
  CompileWorker(const CompileWorker&) = delete;
  CompileWorker& operator=(const CompileWorker&) = delete;

  mlir::MLIRContext& context() { return *context_; }
  /// False once its context, which never forgets a constant or a type, has served many compilations, and while an object is half made.
  bool is_fresh() const;
  /// Adds a kernel's module to the object being made; its entry kKernelEntry becomes `entry`. `text` may be null. Throws CompileError.
  void add(mlir::ModuleOp module, const std::string& entry, const Target& target, LowLevelText* text, StageClock& clock);
  /// The relocatable object of all kernels added since the last one. Throws CompileError.
  std::string object(const Target& target, StageClock& clock);

 private:
  llvm::TargetMachine& machine(const Target& target);

  std::unique_ptr<mlir::MLIRContext> context_;
  std::unique_ptr<ConversionToLlvm> conversion_;
  int compilations_ = 0;
  std::unique_ptr<llvm::LLVMContext> llvm_context_;
  std::unique_ptr<llvm::Module> kernels_;  ///< those added
  std::unique_ptr<llvm::Linker> linker_;   ///< into kernels_
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

/// The optimizations that hand-vectorized code needs.
void optimize(llvm::Module& module, llvm::TargetMachine& machine);

/// Code generation: an object or assembly text. Throws CompileError.
std::string generate(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType kind);

/// Links one object into a shared object that has no undefined symbols. One link at a time in the process. Throws CompileError.
std::string link_shared(const std::string& object);

}  // namespace kiln::codegen
