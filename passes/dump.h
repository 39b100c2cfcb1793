// KILN_DUMP: the IR after each pass as numbered files.
#pragma once
#include <string>
#include <string_view>

namespace kiln::passes {

/// Writes 01_captured.mlir, 02_canonicalize.mlir ... into a directory of its own for each compilation; "(unchanged)" instead of the same
/// text again.
class Dump {
 public:
  /// Makes `directory`/NNN, where NNN numbers this process's compilations. An empty directory disables the dump.
  explicit Dump(const std::string& directory);
  bool enabled() const { return !directory_.empty(); }
  void write(std::string_view name, const std::string& text);

 private:
  std::string directory_;
  std::string last_;
  int count_ = 0;
};

}  // namespace kiln::passes
