// The on-disk cache: plans by graph hash, kernels by spec key. Files are checksummed, written atomically, and treated as hostile when read.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace kiln::runtime {

/// One cache directory. Any failure to use it is a warning, once, and the process goes on without.
class DiskCache {
 public:
  /// KILN_CACHE_DIR, else $XDG_CACHE_HOME/kiln, else ~/.cache/kiln. KILN_CACHE_DIR="" turns the disk off. Created 0700; refused if owned by another user or writable by others.
  static DiskCache& instance();

  /// The payload stored under (kind, key), or nothing if absent, damaged (then deleted, with a warning) or of another build.
  std::optional<std::string> load(std::string_view kind, std::string_view key);
  void store(std::string_view kind, std::string_view key, std::string_view payload);
  bool contains(std::string_view kind, std::string_view key);
  /// Where a kernel's shared object can be opened by dlopen, or nothing: absent, or the directory is noexec.
  std::optional<std::string> kernel_path(std::string_view key);

 private:
  DiskCache();
};

}  // namespace kiln::runtime
