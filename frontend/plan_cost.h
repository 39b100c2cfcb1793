// What each launch of a plan does and costs, with the plan's lengths evaluated for one call. Internal to frontend/.
#pragma once
#include <kiln/function.h>

#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "runtime/plan.h"

namespace kiln::detail {

/// Reads the costs of a plan for inputs of these shapes. The graph and the plan must outlive it.
class PlanCost {
 public:
  PlanCost(const graph::Graph& graph, const runtime::Plan& plan, std::span<const Shape> inputs);

  /// Floating-point operations and bytes of one launch or of all; see Cost.
  std::int64_t flops(const runtime::Launch& launch) const;
  std::int64_t bytes(const runtime::Launch& launch) const;
  /// Bytes of distinct memory that a launch touches: a variable written in place counts once.
  std::int64_t footprint(const runtime::Launch& launch) const;
  std::int64_t flops() const;
  std::int64_t bytes_moved() const;

  std::int64_t arena_bytes() const;
  std::int64_t output_bytes() const;
  std::int64_t constant_bytes() const;
  MemoryPlan memory() const;

  /// What a launch computes, in a line: "contract 32x128x784; add maximum", "row [32, 10] exp log sub".
  std::string describe(const runtime::Launch& launch) const;
  /// The user's line of its main op: the contraction, else the last one.
  Loc where(std::size_t launch) const;

 private:
  std::int64_t value(runtime::DimId id) const { return values_[static_cast<std::size_t>(id)]; }
  std::pair<std::int64_t, std::int64_t> slot(const runtime::ArgRef& ref) const;
  std::int64_t tensor_bytes(const runtime::PlanTensor& t) const;
  std::int64_t bytes(const runtime::ArgRef& ref) const;
  std::int64_t contraction_flops(const runtime::PlanContraction& c) const;
  std::int64_t elements(const runtime::BodyNode& node, const runtime::Launch& l) const;
  std::int64_t kernel_flops(const runtime::KernelSpec& spec, const runtime::Launch& l) const;
  std::string describe_contraction(const runtime::PlanContraction& c) const;
  std::string shape_text(const runtime::BodyNode& node, const runtime::Launch& l) const;
  MemoryBlock block(int index, std::int64_t offset, std::int64_t size) const;
  void name_maker(std::size_t launch, MemoryBlock& b) const;
  std::pair<std::size_t, std::size_t> ops_of(std::size_t launch) const;

  const graph::Graph& graph_;
  const runtime::Plan& plan_;
  std::vector<std::int64_t> values_;
};

}  // namespace kiln::detail
