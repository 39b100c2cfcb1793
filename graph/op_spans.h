// Eager ops in profiles.
#pragma once
#include <span>

#include "base/span_log.h"
#include "graph/value.h"
#include "ops/op.h"

namespace kiln::graph {

/// The run of one op. Record it by finish(); an op that throws is not recorded.
class OpSpan {
 public:
  explicit OpSpan(const ops::OpDef& op);
  ~OpSpan();
  OpSpan(const OpSpan&) = delete;
  OpSpan& operator=(const OpSpan&) = delete;

  void finish(std::span<const Value> operands, const Attrs& attrs, const Value& result);

 private:
  const ops::OpDef& op_;
  const SpanSite* saved_;
  std::int64_t begin_;
};

/// Floating-point operations of an op on tensors of these static types, as Cost::flops counts them.
std::int64_t op_flops(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs, const Value& result);

}  // namespace kiln::graph
