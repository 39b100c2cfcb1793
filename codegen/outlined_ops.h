// OutlinedOps: elementwise functions that the functions of a kernel call, where a long body would contain them many times.
#pragma once
#include <map>
#include <string>

#include "codegen/builder.h"
#include "runtime/kernel_spec.h"

namespace kiln::codegen {

/// Code for an op is written once for each type of operands, and called: a long chain compiles faster, and fits into the caches.
/// Every vector register is lost over a call, so it pays for functions of many instructions only.
class OutlinedOps {
 public:
  explicit OutlinedOps(mlir::ModuleOp module) : module_(module) {}

  /// Chooses among the ops of a body.
  void choose(const runtime::KernelSpec& spec);
  bool empty() const { return ops_.empty(); }
  bool contains(const std::string& op) const { return ops_.contains(op); }
  /// What emit_elementwise() answers, by a call.
  Value call(Builder& b, const std::string& op, DType dtype, const Values& operands);

 private:
  mlir::LLVM::LLVMFuncOp function(Builder& b, const std::string& op, DType dtype, const Values& operands);
  mlir::ModuleOp module_;
  std::map<std::string, std::map<std::string, mlir::LLVM::LLVMFuncOp>> ops_;  ///< by op, by types of operands
};

}  // namespace kiln::codegen
