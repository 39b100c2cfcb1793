// The machine that code is made for. KILN_TARGET selects it; eager kernels and compiled code obey the same choice.
#pragma once
#include <cstdint>
#include <string>

namespace kiln {

/// Instruction-set levels that eager kernels are built for. baseline is SSE2 without FMA.
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

struct Target {
  Isa isa = Isa::baseline;
  std::string cpu;       ///< LLVM's name of the CPU, e.g. "znver5"; "x86-64" for baseline
  std::string features;  ///< LLVM's feature string; part of every cache key

  /// Float lanes of the widest vector register: 4, 8, 16.
  int float_lanes() const { return isa == Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 4; }
  bool has_fma() const { return isa != Isa::baseline; }
  friend bool operator==(const Target&, const Target&) = default;
};

/// The target of this process: the host's best, or KILN_TARGET = baseline | avx2 | avx512.
/// Throws ValueError if KILN_TARGET is unknown or the CPU lacks it.
const Target& current_target();

}  // namespace kiln
