// The on-disk cache: plans by graph hash, kernels by spec key, in shared objects. Files are checksummed, written atomically, and treated as
// hostile when read.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::runtime {

/// One cache directory. Any failure to use it is a warning, once, and the process goes on without. Safe to use from several threads and
/// processes.
class DiskCache {
 public:
  struct Options {
    std::string directory;  ///< empty: no disk cache
    std::size_t bound = 0;  ///< bytes; beyond it the files least recently used are deleted
    std::string identity;   ///< part of every key: the CPU features and the build ids of both libraries
  };

  /// KILN_CACHE_DIR, else $XDG_CACHE_HOME/kiln, else ~/.cache/kiln. KILN_CACHE_DIR="" turns the disk off.
  static DiskCache& instance();

  /// Creates the directory with mode 0700 if need be; refuses it if owned by another user or writable by others.
  explicit DiskCache(Options options);
  ~DiskCache();
  DiskCache(const DiskCache&) = delete;
  DiskCache& operator=(const DiskCache&) = delete;

  /// The payload stored under (kind, key), or nothing if absent, damaged (then deleted, with a warning) or of another build.
  std::optional<std::string> load(std::string_view kind, std::string_view key);
  void store(std::string_view kind, std::string_view key, std::string_view payload);
  /// True if load would find it.
  bool contains(std::string_view kind, std::string_view key);
  /// Where a kernel's shared object can be opened by dlopen, or nothing: absent, damaged, or the directory is noexec.
  std::optional<std::string> kernel_path(std::string_view key);
  /// The directory, or empty if there is none.
  const std::string& directory() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kiln::runtime
