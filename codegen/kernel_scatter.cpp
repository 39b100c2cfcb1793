// Scatter kernels.
#include "base/require.h"
#include "codegen/kernel_emitter.h"

namespace kiln::codegen {
void emit_scatter_kernel(KernelModule&) { throw CompileError("code generation: no emitter for scatters", {}); }
}  // namespace kiln::codegen
