// Every environment variable that Kiln reads, parsed and checked in one place.
#pragma once
#include <cstddef>
#include <optional>
#include <string>

#include "base/target.h"

namespace kiln {

/// What KILN_LOG may name.
enum class LogTopic : unsigned { trace = 1, compile = 2, cache = 4 };

struct Flags {
  std::optional<Isa> target;             ///< KILN_TARGET = baseline | avx2 | avx512 | neon | sve256
  std::optional<int> num_threads;        ///< KILN_NUM_THREADS, 1 to 1024
  std::size_t pool_bytes = 0;            ///< KILN_POOL_MB: memory kept for reuse (default 1024)
  bool poison = false;                   ///< KILN_POISON = 0 | 1: fresh buffers hold NaN patterns
  unsigned log_topics = 0;               ///< KILN_LOG: comma-separated trace, compile, cache; or all
  std::optional<std::string> cache_dir;  ///< KILN_CACHE_DIR; "" turns the disk cache off
  std::size_t cache_bytes = 0;           ///< KILN_CACHE_MB: bound of the cache directory (default 1024)
  std::string compiler;                  ///< KILN_COMPILER: path of libkiln_compiler.so; empty: beside libkiln
  std::string dump_dir;                  ///< KILN_DUMP: numbered IR after each pass goes there
  std::string profile;                   ///< KILN_PROFILE: the trace of the whole program goes to this file
  std::string home;                      ///< HOME
  std::string xdg_cache_home;            ///< XDG_CACHE_HOME
};

/// The environment as it was at the first call. Throws ValueError, naming the variable, at every call if one is malformed.
const Flags& flags();
/// The same, read anew.
Flags read_flags();

/// True if KILN_LOG names the topic.
bool log_enabled(LogTopic topic);
/// Writes "kiln: TOPIC: message" to stderr in one piece if KILN_LOG names the topic.
void log(LogTopic topic, const std::string& message);
/// Writes "kiln: warning: message" to stderr.
void warn(const std::string& message);

}  // namespace kiln
