// Which of LLVM's code generation passes run.
#pragma once
#include <llvm/IR/LegacyPassManager.h>

namespace kiln::codegen {

/// Hands the passes of a target's code generator on to another manager, but for those that find nothing to do in kernels.
class PassFilter : public llvm::legacy::PassManagerBase {
 public:
  explicit PassFilter(llvm::legacy::PassManagerBase& to) : to_(to) {}
  void add(llvm::Pass* pass) override;

 private:
  llvm::legacy::PassManagerBase& to_;
};

}  // namespace kiln::codegen
