// Finds out what the CPU can do and how LLVM calls it.
#include "base/target.h"

#include <array>
#include <string_view>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#include <sys/prctl.h>
#endif

#include "base/flags.h"
#include "base/require.h"

namespace kiln {
namespace {

constexpr std::pair<std::string_view, Isa> kIsaNames[] = {
    {"baseline", Isa::baseline}, {"avx2", Isa::avx2}, {"avx512", Isa::avx512}, {"neon", Isa::neon}, {"sve256", Isa::sve256}};

std::string_view isa_name(Isa isa) { return kIsaNames[static_cast<std::size_t>(isa)].first; }

bool is_aarch64(Isa isa) { return Target{isa, "", ""}.is_aarch64(); }

/// LLVM's name of a CPU that has that level and no more.
std::string_view generic_name(Isa isa) {
  if (is_aarch64(isa)) return "generic";
  return isa == Isa::avx512 ? "x86-64-v4" : isa == Isa::avx2 ? "x86-64-v3" : "x86-64";
}

std::string_view aarch64_features(Isa isa) { return isa == Isa::sve256 ? "+neon,+fullfp16,+sve" : "+neon"; }

#if defined(__x86_64__)

enum class Register : std::uint8_t { eax, ebx, ecx, edx };

/// A feature as LLVM spells it, where CPUID shows it, and the lowest level of code that may use it.
struct Feature {
  std::string_view name;
  std::uint32_t leaf, subleaf;
  Register reg;
  int bit;
  Isa least;
};

constexpr Feature kFeatures[] = {
    {"sse3", 1, 0, Register::ecx, 0, Isa::avx2},
    {"pclmul", 1, 0, Register::ecx, 1, Isa::avx2},
    {"ssse3", 1, 0, Register::ecx, 9, Isa::avx2},
    {"fma", 1, 0, Register::ecx, 12, Isa::avx2},
    {"cx16", 1, 0, Register::ecx, 13, Isa::avx2},
    {"sse4.1", 1, 0, Register::ecx, 19, Isa::avx2},
    {"sse4.2", 1, 0, Register::ecx, 20, Isa::avx2},
    {"movbe", 1, 0, Register::ecx, 22, Isa::avx2},
    {"popcnt", 1, 0, Register::ecx, 23, Isa::avx2},
    {"aes", 1, 0, Register::ecx, 25, Isa::avx2},
    {"avx", 1, 0, Register::ecx, 28, Isa::avx2},
    {"f16c", 1, 0, Register::ecx, 29, Isa::avx2},
    {"lzcnt", 0x80000001, 0, Register::ecx, 5, Isa::avx2},
    {"sahf", 0x80000001, 0, Register::ecx, 0, Isa::avx2},
    {"bmi", 7, 0, Register::ebx, 3, Isa::avx2},
    {"avx2", 7, 0, Register::ebx, 5, Isa::avx2},
    {"bmi2", 7, 0, Register::ebx, 8, Isa::avx2},
    {"avx512f", 7, 0, Register::ebx, 16, Isa::avx512},
    {"avx512dq", 7, 0, Register::ebx, 17, Isa::avx512},
    {"adx", 7, 0, Register::ebx, 19, Isa::avx512},
    {"avx512ifma", 7, 0, Register::ebx, 21, Isa::avx512},
    {"avx512cd", 7, 0, Register::ebx, 28, Isa::avx512},
    {"avx512bw", 7, 0, Register::ebx, 30, Isa::avx512},
    {"avx512vl", 7, 0, Register::ebx, 31, Isa::avx512},
    {"avx512vbmi", 7, 0, Register::ecx, 1, Isa::avx512},
    {"avx512vbmi2", 7, 0, Register::ecx, 6, Isa::avx512},
    {"gfni", 7, 0, Register::ecx, 8, Isa::avx512},
    {"vaes", 7, 0, Register::ecx, 9, Isa::avx512},
    {"vpclmulqdq", 7, 0, Register::ecx, 10, Isa::avx512},
    {"avx512vnni", 7, 0, Register::ecx, 11, Isa::avx512},
    {"avx512bitalg", 7, 0, Register::ecx, 12, Isa::avx512},
    {"avx512vpopcntdq", 7, 0, Register::ecx, 14, Isa::avx512},
    {"avx512bf16", 7, 1, Register::eax, 5, Isa::avx512},
    {"avx512fp16", 7, 0, Register::edx, 23, Isa::avx512},
};

/// What code of a level takes for granted.
constexpr std::string_view kNeededByAvx2[] = {"avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe"};
constexpr std::string_view kNeededByAvx512[] = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"};

bool cpuid_bit(const Feature& f) {
  std::array<unsigned, 4> registers{};
  if (__get_cpuid_count(f.leaf, f.subleaf, &registers[0], &registers[1], &registers[2], &registers[3]) == 0) return false;
  return ((registers[static_cast<std::size_t>(f.reg)] >> f.bit) & 1u) != 0;
}

/// The register sets that the operating system saves: bits of XCR0.
std::uint64_t saved_registers() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  bool osxsave = __get_cpuid(1, &a, &b, &c, &d) != 0 && ((c >> 27) & 1u) != 0;
  if (!osxsave) return 0;
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

bool has(std::string_view name) {
  for (const Feature& f : kFeatures) {
    if (f.name == name) return cpuid_bit(f);
  }
  return false;
}

template <std::size_t N>
bool has_all(const std::string_view (&names)[N]) {
  for (std::string_view name : names) {
    if (!has(name)) return false;
  }
  return true;
}

Isa best_isa() {
  std::uint64_t saved = saved_registers();
  if ((saved & 0x6) != 0x6 || !has_all(kNeededByAvx2)) return Isa::baseline;
  if ((saved & 0xe6) != 0xe6 || !has_all(kNeededByAvx512)) return Isa::avx2;
  return Isa::avx512;
}

struct Model {
  char vendor;  ///< 'I'ntel or 'A'MD
  unsigned family, first_model, last_model;
  std::string_view name;
};

/// LLVM's names of the CPUs whose scheduling differs from the generic levels.
constexpr Model kModels[] = {
    {'A', 0x17, 0x00, 0x2f, "znver1"},     {'A', 0x17, 0x30, 0xff, "znver2"},      {'A', 0x19, 0x00, 0x0f, "znver3"},
    {'A', 0x19, 0x10, 0x1f, "znver4"},     {'A', 0x19, 0x20, 0x5f, "znver3"},      {'A', 0x19, 0x60, 0xaf, "znver4"},
    {'A', 0x1a, 0x00, 0x7f, "znver5"},     {'I', 6, 0x3c, 0x3f, "haswell"},        {'I', 6, 0x45, 0x46, "haswell"},
    {'I', 6, 0x3d, 0x3d, "broadwell"},     {'I', 6, 0x47, 0x4f, "broadwell"},      {'I', 6, 0x55, 0x55, "skylake-avx512"},
    {'I', 6, 0x4e, 0x4e, "skylake"},       {'I', 6, 0x5e, 0x5e, "skylake"},        {'I', 6, 0x8e, 0x8e, "skylake"},
    {'I', 6, 0x9e, 0x9e, "skylake"},       {'I', 6, 0x6a, 0x6c, "icelake-server"}, {'I', 6, 0x7d, 0x7e, "icelake-client"},
    {'I', 6, 0x8c, 0x8d, "tigerlake"},     {'I', 6, 0x97, 0x9a, "alderlake"},      {'I', 6, 0x8f, 0x8f, "sapphirerapids"},
    {'I', 6, 0xcf, 0xcf, "emeraldrapids"}, {'I', 6, 0xad, 0xae, "graniterapids"},
};

std::string_view host_name(Isa isa) {
  unsigned most = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &most, &b, &c, &d) == 0) return generic_name(isa);
  char vendor = b == signature_AMD_ebx ? 'A' : b == signature_INTEL_ebx ? 'I' : '?';
  unsigned version = 0;
  __get_cpuid(1, &version, &b, &c, &d);
  unsigned family = (version >> 8) & 0xf;
  unsigned model = (version >> 4) & 0xf;
  if (family == 0xf || family == 6) model += ((version >> 16) & 0xf) << 4;
  if (family == 0xf) family += (version >> 20) & 0xff;
  for (const Model& m : kModels) {
    if (m.vendor == vendor && m.family == family && model >= m.first_model && model <= m.last_model) return m.name;
  }
  return generic_name(isa);
}

/// Every feature of the table, said to be present or absent: a virtual machine may hide some of what the CPU's name promises.
std::string feature_string(Isa isa) {
  std::string text;
  for (const Feature& f : kFeatures) {
    bool present = f.least <= isa && cpuid_bit(f);
    text += fmt::format("{}{}{}", text.empty() ? "" : ",", present ? '+' : '-', f.name);
  }
  if (isa == Isa::avx512) text += ",-prefer-256-bit";
  return text;
}

Target make_target(Isa isa) {
  Isa best = best_isa();
  Target target;
  target.isa = isa;
  target.cpu = isa != Isa::baseline && isa == best ? host_name(isa) : generic_name(isa);
  target.features = feature_string(isa);
  return target;
}

#elif defined(__aarch64__)

Isa best_isa() {
  constexpr unsigned long kHasSve = 1ul << 22;  // HWCAP_SVE
  constexpr int kLengthMask = 0xffff, kBytes = 32;
  if ((getauxval(AT_HWCAP) & kHasSve) == 0) return Isa::neon;
  return (prctl(PR_SVE_GET_VL) & kLengthMask) == kBytes ? Isa::sve256 : Isa::neon;
}
Target make_target(Isa isa) { return generic_target(isa); }

#else

Isa best_isa() { return Isa::baseline; }
Target make_target(Isa isa) { return {isa, "generic", ""}; }

#endif

bool can_run(Isa wanted, Isa best) { return is_aarch64(wanted) == is_aarch64(best) && wanted <= best; }

Target detect() {
  Isa best = best_isa();
  Isa wanted = flags().target.value_or(best);
  KILN_REQUIRE(can_run(wanted, best), ValueError, "environment variable KILN_TARGET: this CPU lacks {}; it can run {}", isa_name(wanted),
               isa_name(best));
  return make_target(wanted);
}

}  // namespace

Isa isa_named(const std::string& name) {
  for (const auto& [known, isa] : kIsaNames) {
    if (name == known) return isa;
  }
  throw ValueError(fmt::format("environment variable KILN_TARGET: \"{}\" is not baseline, avx2, avx512, neon or sve256", name),
                   user_location());
}

Target generic_target(Isa isa) { return {isa, std::string(generic_name(isa)), is_aarch64(isa) ? std::string(aarch64_features(isa)) : ""}; }

const Target& current_target() {
  static const Target* target = new Target(detect());
  return *target;
}

}  // namespace kiln
