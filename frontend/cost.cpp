// Costs and memory of a plan, with its lengths evaluated for the call that was traced.
#include "frontend/cost.h"

#include <algorithm>

#include "base/require.h"
#include "frontend/function_core.h"
#include "frontend/plan_cost.h"

namespace kiln::detail {

namespace {

std::vector<Shape> input_shapes(const Entry& entry) {
  const graph::Graph& graph = *entry.captured.graph;
  std::vector<Shape> shapes;
  for (int i = 0; i < graph.num_parameters(); ++i) shapes.push_back(graph.node(i).type.shape);
  std::copy_n(entry.example.begin(), std::min(entry.example.size(), shapes.size()), shapes.begin());
  return shapes;
}

PlanCost plan_cost(const Entry& entry) { return {*entry.captured.graph, entry.code().plan(), input_shapes(entry)}; }

/// The optimized graph has one op a line.
int count_ops(const std::string& text) {
  int count = 0;
  for (std::size_t at = text.find(" = kiln."); at != std::string::npos; at = text.find(" = kiln.", at + 1)) ++count;
  return count;
}

}  // namespace

Cost cost_of(const Entry& entry) {
  const graph::Graph& graph = *entry.captured.graph;
  const PlanCost plan = plan_cost(entry);
  Cost cost;
  cost.captured_ops = static_cast<int>(graph.nodes().size()) - graph.num_parameters();
  cost.optimized_ops = count_ops(stage_text(graph, entry.numerics, runtime::StageId::optimized));
  cost.kernels = static_cast<int>(entry.code().plan().kernels.size());
  cost.launches = static_cast<int>(entry.code().plan().launches.size());
  cost.flops = plan.flops();
  cost.bytes_moved = plan.bytes_moved();
  cost.arena_bytes = plan.arena_bytes();
  cost.output_bytes = plan.output_bytes();
  cost.constant_bytes = plan.constant_bytes();
  cost.peak_bytes = cost.arena_bytes + cost.output_bytes + cost.constant_bytes;
  return cost;
}

MemoryPlan memory_plan_of(const Entry& entry) { return plan_cost(entry).memory(); }

}  // namespace kiln::detail

namespace kiln {

std::string MemoryPlan::str() const {
  std::string text = fmt::format("{:>10} {:>10}  {:<11} {}\n", "offset", "bytes", "launches", "made by");
  for (const MemoryBlock& b : blocks) {
    text += fmt::format("{:>10} {:>10}  {:<11} {}", b.offset, b.bytes, fmt::format("{} to {}", b.first_launch, b.last_launch), b.op);
    text += b.where.known() ? fmt::format("  {}:{}\n", b.where.file, b.where.line) : "\n";
  }
  return text + fmt::format("{} bytes in all; no plan needs fewer than {}\n", total_bytes, lower_bound);
}

}  // namespace kiln
