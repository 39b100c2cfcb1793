// The register tiles of contractions that every ISA level has.
#include "ops/kernels/microkernel.h"

#include "ops/kernels/isa/tile.h"

namespace kiln::ops::KILN_ISA {
namespace {

template <class T, Left kind>
MicroKernels floating_tiles() {
  MicroKernels kernels;
#if defined(KILN_ISA_avx512) || defined(__aarch64__)
  add_widths_of_32_registers<Single<T>, kind>(kernels);
#else
  add_width<Single<T>, kind, 1, 8>(kernels);
  add_width<Single<T>, kind, 2, 6>(kernels);
  add_width<Single<T>, kind, 3, 4>(kernels);
#endif
  return kernels;
}

template <class T>
MicroKernels integer_tiles() {
  MicroKernels kernels;
  add_width<Single<T>, Left::broadcast, 1, 4>(kernels);
  add_width<Single<T>, Left::broadcast, 2, 4>(kernels);
  return kernels;
}

}  // namespace

const MicroKernels& micro_kernels(ComputeType type) {
  static const MicroKernels f32 = floating_tiles<float, Left::broadcast>();
  static const MicroKernels f64 = floating_tiles<double, Left::broadcast>();
  static const MicroKernels u32 = integer_tiles<std::uint32_t>();
  static const MicroKernels u64 = integer_tiles<std::uint64_t>();
  switch (type) {
    case ComputeType::f32:
      return f32;
    case ComputeType::f64:
      return f64;
    case ComputeType::u32:
      return u32;
    case ComputeType::u64:
      break;
  }
  return u64;
}

const MicroKernels& diagonal_kernels(ComputeType type) {
  static const MicroKernels f32 = floating_tiles<float, Left::diagonal>();
  static const MicroKernels f64 = floating_tiles<double, Left::diagonal>();
  return type == ComputeType::f32 ? f32 : f64;
}

}  // namespace kiln::ops::KILN_ISA
