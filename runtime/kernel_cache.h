// The process's kernels: loaded once, by key, and kept mapped until it ends.
#pragma once
#include <span>
#include <string>

#include "runtime/compile.h"

namespace kiln::runtime {

struct LoadedKernel {
  void* entry = nullptr;  ///< of the type that its KernelKind says
  bool fresh = false;     ///< was not in memory before
};

/// The kernel of that key: from memory, else from disk, else from `objects` (then also stored on disk).
/// Throws FileError if it is nowhere, CompileError if the system does not load it.
LoadedKernel load_kernel(const std::string& key, std::span<const KernelObject> objects);

/// True if load_kernel needs no object: what CompileRequest::has_kernel answers.
bool has_kernel(const std::string& key);

}  // namespace kiln::runtime
