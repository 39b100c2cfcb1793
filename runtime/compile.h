// The one door to the compiler: a graph and a target in, a plan and objects out. libkiln_compiler.so is opened at the first miss.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/kernel_abi.h"
#include "base/numerics.h"
#include "base/target.h"
#include "runtime/plan.h"

namespace kiln::graph {
class Graph;
}

namespace kiln::runtime {

/// Stages whose text can be asked for, in pipeline order.
enum class StageId : int { captured, optimized, fused, kernels, llvm, assembly };
inline constexpr int kStageCount = 6;

/// Which stages a compilation writes down. Those of the kernels (llvm, assembly) compile all of them, known or not.
enum class StageTexts : std::uint8_t { none, graph, all };

struct CompileRequest {
  const graph::Graph* graph = nullptr;
  Target target;
  Numerics numerics = Numerics::standard;
  /// True if the kernel of that key is cached already: it is then not compiled again.
  std::function<bool(const std::string& key)> has_kernel;
  std::string dump_directory;  ///< KILN_DUMP: numbered IR after each pass; empty for none
  StageTexts texts = StageTexts::none;
};

struct KernelObject {
  std::vector<std::string> keys;  ///< of the kernels that it holds
  std::string bytes;              ///< an ELF shared object exporting kernel_symbol(i) for each
};

struct StageTime {
  std::string stage;  ///< "import", a pass's name, "emit", "llvm-opt", "codegen", "link"
  double milliseconds = 0;
};

struct CompileResult {
  Plan plan;
  std::vector<KernelObject> objects;  ///< with the kernels that were not cached
  std::array<std::string, kStageCount> text;
  std::vector<StageTime> times;
};

/// Compiles. Opens the compiler library on the first call: KILN_COMPILER, else beside libkiln.
/// Throws CompileError if it is missing, of another build, or if compiling fails.
CompileResult compile(const CompileRequest& request);

/// True once the compiler library has been opened by this process.
bool compiler_loaded();
/// Build id of the compiler library, read from its ELF note without mapping it; empty if there is no library.
std::string compiler_build_id();

/// What libkiln_compiler.so exports under kCompilerEntry. Exceptions cross: both libraries share one C++ runtime.
using CompilerEntry = void (*)(const CompileRequest& request, CompileResult& result);
inline constexpr const char* kCompilerEntry = "kiln_compile";

/// The layouts that cross the door, as one number: libkiln_compiler.so exports its own under kCompilerInterfaceSymbol, and libkiln
/// compares.
constexpr std::uint64_t compiler_interface() {
  std::uint64_t hash = kKernelAbiVersion;
  for (std::size_t size :
       {sizeof(CompileRequest), sizeof(CompileResult), sizeof(Plan), sizeof(PlanOutput), sizeof(Launch), sizeof(KernelSpec),
        sizeof(BodyNode), sizeof(AttrValue), sizeof(Shape), sizeof(std::string), sizeof(std::function<void()>)}) {
    hash = hash * 1099511628211u + size;
  }
  return hash;
}
inline constexpr std::uint64_t kCompilerInterface = compiler_interface();
inline constexpr const char* kCompilerInterfaceSymbol = "kiln_compiler_interface";

}  // namespace kiln::runtime
