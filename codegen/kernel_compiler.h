// From KernelSpecs to shared objects.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "base/target.h"
#include "codegen/stages.h"
#include "runtime/kernel_spec.h"

namespace kiln::codegen {

/// The shared object of one kernel. `text` may be null. Throws CompileError.
std::string compile_kernel(const runtime::KernelSpec& spec, const Target& target, LowLevelText* text = nullptr,
                           StageClock* clock = nullptr);

/// Those of several, on as many threads as pay; in the order of `specs`. `texts` is empty or has one entry a spec.
std::vector<std::string> compile_kernels(std::span<const runtime::KernelSpec* const> specs, const Target& target,
                                         std::span<LowLevelText> texts, StageClock& clock);

/// For people: the MLIR that the emitter makes of a kernel.
std::string emitted_text(const runtime::KernelSpec& spec, const Target& target);

}  // namespace kiln::codegen
