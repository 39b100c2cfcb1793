// Rewrites of LLVM IR around errors of LLVM's code generators.
#pragma once

namespace llvm {
class Module;
}

namespace kiln::codegen {

/// AVX-512, LLVM 22.1: `select c, x, (x & m) | y` of integer vectors becomes one masked vpternlog whose table belongs to another order of
/// its operands. Such selects are written as y ^ (c ? x ^ y : 0) instead.
void repair_masked_logic(llvm::Module& module);

/// LLVM 22.1 narrows the rounding of a float16 widened to float32 to one of float16, and then emits it lane by lane where the target has
/// none. Widens it again, which gives the same results.
void widen_half_rounding(llvm::Module& module);

}  // namespace kiln::codegen
