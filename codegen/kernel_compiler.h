// From KernelSpecs to shared objects.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "base/target.h"
#include "codegen/stages.h"
#include "runtime/kernel_spec.h"

namespace kiln::codegen {

/// The shared object of one kernel; fills `text` unless it is null. Throws CompileError.
std::string compile_kernel(const runtime::KernelSpec& spec, const Target& target, LowLevelText* text = nullptr);

/// Kernels of several specs: an object for each thread that helped, whatever their number. A kernel's place is (object, ordinal in it).
struct CompiledKernels {
  struct Place {
    std::size_t object = 0;
    std::int32_t ordinal = 0;
  };
  std::vector<std::string> objects;
  std::vector<Place> places;  ///< in the order of the specs
};

/// Compiles kernels on as many threads as there are. `texts` is empty or has one entry a spec.
CompiledKernels compile_kernels(std::span<const runtime::KernelSpec* const> specs, const Target& target, std::span<LowLevelText> texts,
                                StageClock& clock);

/// For people: the MLIR that the emitter makes of a kernel.
std::string emitted_text(const runtime::KernelSpec& spec, const Target& target);

}  // namespace kiln::codegen
