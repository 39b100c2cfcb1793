// Times and texts of the stages of code generation.
#pragma once
#include <string>
#include <vector>

#include "runtime/compile.h"

namespace kiln::codegen {

/// Texts of the last two stages, filled on request.
struct LowLevelText {
  std::string llvm;
  std::string assembly;
};

/// Adds up the time of named stages.
class StageClock {
 public:
  void add(const char* stage, double milliseconds);
  void merge(const StageClock& other);
  const std::vector<runtime::StageTime>& times() const { return times_; }

 private:
  std::vector<runtime::StageTime> times_;
};

/// Milliseconds since some fixed point.
double milliseconds_now();

}  // namespace kiln::codegen
