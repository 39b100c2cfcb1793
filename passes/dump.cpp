// KILN_DUMP.
#include "passes/dump.h"

#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace kiln::passes {

Dump::Dump(const std::string& directory) {
  if (directory.empty()) return;
  static std::atomic<int> compilations{0};
  directory_ = fmt::format("{}/{:03}", directory, compilations.fetch_add(1));
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (!error) return;
  fmt::print(stderr, "kiln: warning: KILN_DUMP: cannot make {}: {}\n", directory_, error.message());
  directory_.clear();
}

void Dump::pass(std::string_view name, const std::string& text) {
  stage(name, text == last_ ? "// (unchanged)" : text);
  last_ = text;
}

void Dump::stage(std::string_view name, const std::string& text, std::string_view extension) {
  if (!enabled()) return;
  std::ofstream(fmt::format("{}/{:02}_{}.{}", directory_, ++count_, name, extension)) << text << "\n";
  last_ = text;
}

}  // namespace kiln::passes
