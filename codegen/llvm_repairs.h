// Rewrites of LLVM IR around errors of LLVM's code generators.
#pragma once

namespace llvm {
class Module;
}

namespace kiln::codegen {

/// AVX-512, LLVM 22.1: `select c, x, (x & m) | y` of integer vectors becomes one masked vpternlog whose table belongs to another order of
/// its operands. Such selects are written as y ^ (c ? x ^ y : 0) instead.
void repair_masked_logic(llvm::Module& module);

}  // namespace kiln::codegen
