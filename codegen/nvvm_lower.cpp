// NVVM modules to LLVM IR and PTX.
#include <llvm/Config/Targets.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <mlir/Target/LLVMIR/Export.h>

#include <mutex>

#include "base/require.h"
#include "codegen/lower.h"
#include "codegen/nvvm_kernel.h"

#if LLVM_HAS_NVPTX_TARGET
extern "C" {
void LLVMInitializeNVPTXTargetInfo();
void LLVMInitializeNVPTXTarget();
void LLVMInitializeNVPTXTargetMC();
void LLVMInitializeNVPTXAsmPrinter();
}
#endif

namespace kiln::codegen {
namespace {

/// Null where this LLVM has no NVPTX target.
std::unique_ptr<llvm::TargetMachine> make_machine(const NvvmTarget& target) {
#if LLVM_HAS_NVPTX_TARGET
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
#endif
  const llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string message;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, message);
  if (found == nullptr) return nullptr;
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(found->createTargetMachine(triple, target.chip, target.features, options, llvm::Reloc::PIC_));
}

std::string print(const llvm::Module& module) {
  std::string text;
  llvm::raw_string_ostream out(text);
  module.print(out, nullptr);
  return text;
}

}  // namespace

NvvmText nvvm_text(mlir::ModuleOp module, const NvvmTarget& target) {
  ConversionToLlvm(*module.getContext()).run(module);
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> translated = mlir::translateModuleToLLVMIR(module, context, "kiln");
  if (!translated) throw CompileError("code generation: translation to LLVM IR failed", {});
  translated->setTargetTriple(llvm::Triple("nvptx64-nvidia-cuda"));
  const std::unique_ptr<llvm::TargetMachine> machine = make_machine(target);
  NvvmText text;
  if (machine) translated->setDataLayout(machine->createDataLayout());
  text.llvm = print(*translated);
  if (!machine) return text;
  optimize(*translated, *machine);
  text.ptx = generate(*translated, *machine, llvm::CodeGenFileType::AssemblyFile);
  return text;
}

NvvmText compile_nvvm(const runtime::KernelSpec& spec, const NvvmTarget& target) {
  WorkerLease worker;
  const NvvmHooks hooks;
  return nvvm_text(*emit_nvvm_kernel(worker->context(), spec, hooks), target);
}

}  // namespace kiln::codegen
