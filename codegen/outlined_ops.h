// OutlinedOps: elementwise functions that the functions of a kernel call, where a long body would contain them many times.
#pragma once
#include <set>
#include <string>

#include "codegen/builder.h"
#include "runtime/kernel_spec.h"

namespace kiln::codegen {

/// Code for an op is written once for each type of operands, and called: a long chain compiles faster, and fits into the caches.
/// Every vector register is lost over a call, so it pays for functions of many instructions only.
class OutlinedOps {
 public:
  /// Chooses among the ops of a body.
  void choose(const runtime::KernelSpec& spec);
  bool empty() const { return ops_.empty(); }
  bool contains(const std::string& op) const { return ops_.contains(op); }
  /// What emit_elementwise() answers, by a call.
  Value call(Builder& b, const std::string& op, DType dtype, const Values& operands);

 private:
  std::set<std::string> ops_;
};

}  // namespace kiln::codegen
