// The number by which libkiln recognizes a compiler library of its own build.
#include "runtime/compile.h"

extern "C" {
extern const std::uint64_t kiln_compiler_interface;
const std::uint64_t kiln_compiler_interface = kiln::runtime::kCompilerInterface;
}
