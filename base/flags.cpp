// Reads the environment; writes the log.
#include "base/flags.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "base/require.h"

namespace kiln {
namespace {

/// All that read_flags() reads.
constexpr std::string_view kNames[] = {"KILN_CACHE_DIR",   "KILN_CACHE_MB", "KILN_COMPILER", "KILN_DUMP",    "KILN_LOG",
                                       "KILN_NUM_THREADS", "KILN_POISON",   "KILN_POOL_MB",  "KILN_PROFILE", "KILN_TARGET"};
/// Those of the build, the tests and the benchmarks.
constexpr std::string_view kToolPrefixes[] = {"KILN_BUILD_", "KILN_FUZZ_", "KILN_JOBS", "KILN_LIT_", "KILN_PEERS_", "KILN_TEST_"};

/// A misspelt name would be ignored in silence.
void warn_of_unknown() {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry, name = text.substr(0, text.find('='));
    auto is_prefix = [&](std::string_view prefix) { return name.starts_with(prefix); };
    if (!name.starts_with("KILN_") || std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames)) continue;
    if (std::any_of(std::begin(kToolPrefixes), std::end(kToolPrefixes), is_prefix)) continue;
    warn(fmt::format("environment variable {} is unknown; there are {}", name, fmt::join(kNames, ", ")));
  }
}

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::optional<long> number(const char* name, long least, long most) {
  std::optional<std::string> text = variable(name);
  if (!text || text->empty()) return std::nullopt;
  long value = 0;
  const char* end = text->data() + text->size();
  auto [stopped, error] = std::from_chars(text->data(), end, value);
  bool good = error == std::errc() && stopped == end && value >= least && value <= most;
  KILN_REQUIRE(good, ValueError, "environment variable {}: \"{}\" is not an integer from {} to {}", name, *text, least, most);
  return value;
}

bool boolean(const char* name) {
  std::optional<std::string> text = variable(name);
  if (!text || text->empty() || *text == "0") return false;
  KILN_REQUIRE(*text == "1", ValueError, "environment variable {}: \"{}\" is neither 0 nor 1", name, *text);
  return true;
}

std::optional<Isa> isa(const char* name) {
  std::optional<std::string> text = variable(name);
  if (!text || text->empty()) return std::nullopt;
  return isa_named(*text);
}

unsigned topic(const char* name, std::string_view word) {
  if (word == "trace") return static_cast<unsigned>(LogTopic::trace);
  if (word == "compile") return static_cast<unsigned>(LogTopic::compile);
  if (word == "cache") return static_cast<unsigned>(LogTopic::cache);
  KILN_REQUIRE(word == "all", ValueError, "environment variable {}: \"{}\" is not trace, compile, cache or all", name, word);
  return ~0u;
}

unsigned topics(const char* name) {
  std::string text = variable(name).value_or("");
  unsigned found = 0;
  for (std::string_view rest = text; !rest.empty();) {
    std::size_t comma = rest.find(',');
    found |= topic(name, rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return found;
}

std::size_t megabytes(const char* name, long otherwise) {
  return static_cast<std::size_t>(number(name, 0, 1L << 30).value_or(otherwise)) << 20;
}

void write_line(const std::string& line) {
  // One write, so that lines of several threads and processes stay whole.
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

Flags read_flags() {
  Flags f;
  f.target = isa("KILN_TARGET");
  if (auto n = number("KILN_NUM_THREADS", 1, 1024)) f.num_threads = static_cast<int>(*n);
  f.pool_bytes = megabytes("KILN_POOL_MB", 1024);
  f.poison = boolean("KILN_POISON");
  f.log_topics = topics("KILN_LOG");
  f.cache_dir = variable("KILN_CACHE_DIR");
  f.cache_bytes = megabytes("KILN_CACHE_MB", 1024);
  f.compiler = variable("KILN_COMPILER").value_or("");
  f.dump_dir = variable("KILN_DUMP").value_or("");
  f.profile = variable("KILN_PROFILE").value_or("");
  f.home = variable("HOME").value_or("");
  f.xdg_cache_home = variable("XDG_CACHE_HOME").value_or("");
  return f;
}

const Flags& flags() {
  static const Flags* read = [] {
    auto* flags = new Flags(read_flags());
    warn_of_unknown();
    return flags;
  }();
  return *read;
}

bool log_enabled(LogTopic topic) { return (flags().log_topics & static_cast<unsigned>(topic)) != 0; }

void log(LogTopic topic, const std::string& message) {
  if (!log_enabled(topic)) return;
  const char* word = topic == LogTopic::trace ? "trace" : topic == LogTopic::compile ? "compile" : "cache";
  write_line(fmt::format("kiln: {}: {}\n", word, message));
}

void warn(const std::string& message) { write_line("kiln: warning: " + message + "\n"); }

}  // namespace kiln
