// Choosing the build of an eager kernel that fits the target. What is built per ISA level lives in kernels/isa/, in namespace KILN_ISA.
#pragma once
#include "base/target.h"

/// Declares `declaration` in the namespace of every ISA level.
#define KILN_DECLARE_PER_ISA(...) \
  namespace baseline {            \
  __VA_ARGS__;                    \
  }                               \
  namespace avx2 {                \
  __VA_ARGS__;                    \
  }                               \
  namespace avx512 {              \
  __VA_ARGS__;                    \
  }

/// The function of that name for the current target.
#define KILN_FOR_TARGET(NAME) ::kiln::ops::for_target(baseline::NAME, avx2::NAME, avx512::NAME)

namespace kiln::ops {

template <class F>
F for_target(F baseline, F avx2, F avx512) {
  switch (current_target().isa) {
    case Isa::avx512:
      return avx512;
    case Isa::avx2:
      return avx2;
    default:
      break;
  }
  return baseline;
}

}  // namespace kiln::ops
