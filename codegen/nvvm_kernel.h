// Kernels for NVIDIA GPUs: from a KernelSpec to a module with the NVVM kernel kiln_kernel, to LLVM IR, to PTX.
//
// A kernel's parameters: the inputs' and outputs' memory (global, aligned to 16 bytes), the run-time lengths (i64), the KernelContext.
// Any grid of one dimension will do: each thread takes every n-th element of n threads.
#pragma once
#include <mlir/IR/BuiltinOps.h>
#include <mlir/IR/OwningOpRef.h>

#include <string>

#include "codegen/nvvm_hooks.h"
#include "runtime/kernel_spec.h"

namespace kiln::codegen {

/// The module of a loop kernel in the scf, arith, vector, llvm and nvvm dialects. Throws CompileError for any other kind.
mlir::OwningOpRef<mlir::ModuleOp> emit_nvvm_kernel(mlir::MLIRContext& context, const runtime::KernelSpec& spec, const NvvmHooks& hooks);

/// What a module lowers to, as text.
struct NvvmText {
  std::string llvm;  ///< LLVM IR for nvptx64, before optimization
  std::string ptx;   ///< empty where this LLVM has no NVPTX target
};
NvvmText nvvm_text(mlir::ModuleOp module, const NvvmTarget& target);

/// Both steps on a worker of the process's pool.
NvvmText compile_nvvm(const runtime::KernelSpec& spec, const NvvmTarget& target);

}  // namespace kiln::codegen
