// The machine that code is made for. KILN_TARGET selects it; eager kernels and compiled code obey the same choice.
#pragma once
#include <cstdint>
#include <string>

namespace kiln {

/// Instruction-set levels, from low to high within a family.
enum class Isa : std::uint8_t {
  baseline,  ///< x86-64: SSE2 without FMA
  avx2,      ///< with FMA
  avx512,
  neon,    ///< AArch64
  sve256,  ///< AArch64 with SVE registers of 256 bits
};

struct Target {
  Isa isa = Isa::baseline;
  std::string cpu;       ///< LLVM's name of the CPU, e.g. "znver5"; "x86-64" for baseline
  std::string features;  ///< LLVM's feature string; part of every cache key

  /// Float lanes of the widest vector register: 4, 8, 16.
  int float_lanes() const { return isa == Isa::avx512 ? 16 : isa == Isa::avx2 || isa == Isa::sve256 ? 8 : 4; }
  bool is_aarch64() const { return isa == Isa::neon || isa == Isa::sve256; }
  bool has_fma() const { return isa != Isa::baseline; }
  friend bool operator==(const Target&, const Target&) = default;
};

/// The level that KILN_TARGET calls so; ValueError if there is none.
Isa isa_named(const std::string& name);

/// Any CPU of that level, for compiling code that runs on another machine.
Target generic_target(Isa isa);

/// The target of this process: the host's best, or KILN_TARGET = baseline | avx2 | avx512, on AArch64 neon | sve256.
/// Throws ValueError if KILN_TARGET is unknown or the CPU lacks it.
const Target& current_target();

}  // namespace kiln
