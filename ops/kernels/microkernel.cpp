// Which tiles a target has beyond those of its ISA level.
#include "ops/kernels/microkernel.h"

#include "base/target.h"

namespace kiln::ops {

const MicroKernels* bfloat16_pair_kernels() {
#if defined(__x86_64__)
  static const bool supported = current_target().isa == Isa::avx512 && current_target().features.find("+avx512bf16") != std::string::npos;
  if (supported) return &avx512bf16::pair_kernels();
#endif
  return nullptr;
}

}  // namespace kiln::ops
