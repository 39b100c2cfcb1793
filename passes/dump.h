// KILN_DUMP: the IR after each pass, and what becomes of it, as numbered files.
#pragma once
#include <string>
#include <string_view>

namespace kiln::passes {

/// Writes 01_captured.mlir, 02_canonicalize.mlir ... into a directory of its own for each compilation; a pass that changes nothing leaves
/// "(unchanged)".
class Dump {
 public:
  /// Makes `directory`/NNN, where NNN numbers this process's compilations. An empty directory disables the dump.
  explicit Dump(const std::string& directory);
  bool enabled() const { return !directory_.empty(); }
  /// The IR after a pass: NN_name.mlir.
  void pass(std::string_view name, const std::string& text);
  /// What a stage ends with, always whole: NN_name.extension.
  void stage(std::string_view name, const std::string& text, std::string_view extension = "mlir");

 private:
  std::string directory_;
  std::string last_;
  int count_ = 0;
};

}  // namespace kiln::passes
