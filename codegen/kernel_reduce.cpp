// Reduce kernels.
#include "base/require.h"
#include "codegen/kernel_emitter.h"

namespace kiln::codegen {
void emit_reduce_kernel(KernelModule&) { throw CompileError("code generation: no emitter for reductions", {}); }
}  // namespace kiln::codegen
