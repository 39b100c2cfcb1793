// The list of passes left out. Kernels are vector loops without calls into libraries, exceptions, collectors, debuggers' values or x87.
#include "codegen/pass_filter.h"

#include <llvm/ADT/StringSet.h>
#include <llvm/Pass.h>

namespace kiln::codegen {
namespace {

const llvm::StringSet<>& unneeded() {
  static const llvm::StringSet<> names = {
      // A third of the code generator's time; addresses come as pointer and induction already (Builder::offset).
      "Loop Strength Reduction",
      // CPUs that reorder instructions by themselves gain nothing from it.
      "Post RA top-down list latency scheduler",
      // The rest has nothing to do, but would compute dominators, frequencies and traces to find out.
      "Merge contiguous icmps into a memcmp",
      "Expand memcmp() to load/stores",
      "Lower Garbage Collection Instructions",
      "Shadow Stack GC Lowering",
      "Constant Hoisting",
      "Replace intrinsics with calls to vector library",
      "Partially inline calls to library functions",
      "Instrument function entry/exit with calls to e.g. mcount() (post inlining)",
      "Interleaved Access Pass",
      "X86 Partial Reduction",
      "Expand indirectbr instructions",
      "Exception handling preparation",
      "ObjC ARC contraction",
      "Prepare callbr",
      "Safe Stack instrumentation pass",
      "Insert stack protectors",
      "Lower AMX intrinsics",
      "Lower AMX type for load/store",
      "Expand Atomic instructions",
      "Local Dynamic TLS Access Clean-up",
      "X86 PIC Global Base Reg Initialization",
      "Argument Stack Rebase",
      "X86 Domain Reassignment Pass",
      "Early If-Conversion",
      "Machine InstCombiner",
      "X86 cmov Conversion",
      "Live Range Shrink",
      "X86 Fixup SetCC",
      "X86 Optimize Call Frame",
      "X86 Avoid Store Forwarding Blocks",
      "X86 Suppress APX features for relocation",
      "X86 speculative load hardening",
      "X86 DynAlloca Expander",
      "Tile Register Pre-configure",
      "Tile Register Configure",
      "Register Allocation Pass Scoring",
      "X86 Lower Tile Copy",
      "X86 FP Stackifier",
      "X86 Load Value Injection (LVI) Load Hardening",
      "Remove Redundant DEBUG_VALUE analysis",
      "Fixup Statepoint Caller Saved",
      "Shrink Wrapping analysis",
      "Insert KCFI indirect call checks",
      "Analyze Machine Code For Garbage Collection",
      "Insert fentry calls",
      "Insert XRay ops",
      "Implement the 'patchable-function' attribute",
      "X86 Indirect Branch Tracking",
      "X86 Atom pad short functions",
      "X86 insert wait instruction",
      "Contiguously Lay Out Funclets",
      "Remove Loads Into Fake Uses",
      "StackMap Liveness Analysis",
      "Live DEBUG_VALUE analysis",
      "Machine Sanitizer Binary Metadata",
      "Stack Frame Layout Analysis",
      "X86 Speculative Execution Side Effect Suppression",
      "X86 Indirect Thunks",
      "X86 Return Thunks",
      "Check CFA info and insert CFI instructions if needed",
      "X86 Load Value Injection (LVI) Ret-Hardening",
      "Pseudo Probe Inserter",
      "Early Tail Duplication",
      "Tail Duplication",
      "PostRA Machine Sink",
  };
  return names;
}

}  // namespace

void PassFilter::add(llvm::Pass* pass) {
  if (unneeded().contains(pass->getPassName()))
    delete pass;
  else
    to_.add(pass);
}

}  // namespace kiln::codegen
