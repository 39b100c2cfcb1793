// Register tiles over pairs of bfloat16, for processors with AVX512-BF16.
#include "ops/kernels/microkernel.h"

#include <immintrin.h>

#include "ops/kernels/isa/tile.h"

namespace kiln::ops::KILN_ISA {
namespace {

/// A term is two neighbours along the depth, the first in the low half. Both products are added in float, subnormal numbers taken and given
/// as zeros (Intel SDM, VDPBF16PS).
struct Bfloat16Pair {
  using Term = std::uint32_t;
  using Sum = float;
  [[gnu::always_inline]] static Vector<float> add(Vector<std::uint32_t> x, Vector<std::uint32_t> y, Vector<float> sum) {
    return (Vector<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
  }
};

}  // namespace

const MicroKernels& pair_kernels() {
  static const MicroKernels kernels = [] {
    MicroKernels k;
    add_widths_of_32_registers<Bfloat16Pair, Left::broadcast>(k);
    return k;
  }();
  return kernels;
}

}  // namespace kiln::ops::KILN_ISA
