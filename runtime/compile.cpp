// Opens the compiler library and calls it.
#include "runtime/compile.h"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include "base/flags.h"
#include "base/require.h"
#include "runtime/build_id.h"

namespace kiln::runtime {
namespace {

constexpr const char* kLibrary = "libkiln_compiler.so";

std::atomic<bool> loaded{false};

/// KILN_COMPILER, else beside libkiln.
std::string compiler_path() {
  if (!flags().compiler.empty()) return flags().compiler;
  std::string own = own_path();
  std::size_t slash = own.rfind('/');
  std::string directory = slash == std::string::npos ? "." : own.substr(0, slash);
  return directory + "/" + kLibrary;
}

[[noreturn]] void fail_missing(const std::string& path) {
  if (!flags().compiler.empty()) {
    throw CompileError(fmt::format("KILN_COMPILER names {}, which does not exist: set it to the path of {}, or unset it", path, kLibrary),
                       user_location());
  }
  throw CompileError(fmt::format("the compiler library {} does not exist: build the target kiln_compiler, set KILN_COMPILER to its path, "
                                 "or run without it by kiln::run_eagerly(true)",
                                 path),
                     user_location());
}

CompilerEntry open_compiler() {
  std::string path = compiler_path();
  if (access(path.c_str(), F_OK) != 0) fail_missing(path);
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw CompileError(fmt::format("the compiler library {} cannot be opened: {}", path, dlerror()), user_location());
  auto* interface = static_cast<const std::uint64_t*>(dlsym(handle, kCompilerInterfaceSymbol));
  void* entry = dlsym(handle, kCompilerEntry);
  bool fits = interface != nullptr && *interface == kCompilerInterface && entry != nullptr;
  KILN_REQUIRE(fits, CompileError, "the compiler library {} is of another build than {}: build the targets kiln and kiln_compiler together",
               path, own_path());
  loaded = true;
  return reinterpret_cast<CompilerEntry>(entry);
}

CompilerEntry compiler() {
  static std::mutex mutex;
  static CompilerEntry entry = nullptr;
  std::lock_guard lock(mutex);
  if (entry == nullptr) entry = open_compiler();
  return entry;
}

}  // namespace

CompileResult compile(const CompileRequest& request) {
  CompilerEntry entry = compiler();
  CompileResult result;
  try {
    entry(request, result);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw CompileError(fmt::format("compiling failed: {}", e.what()), user_location());
  }
  return result;
}

bool compiler_loaded() { return loaded; }

std::string compiler_build_id() {
  static const std::string id = file_build_id(compiler_path());
  return id;
}

}  // namespace kiln::runtime
