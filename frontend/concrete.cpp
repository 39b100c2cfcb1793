// Inspection of a function with one signature.
#include <kiln/function.h>

#include "base/require.h"
#include "frontend/function_core.h"

namespace kiln {

const std::string& Concrete::name() const { return entry_->name; }

std::string Concrete::ir(Stage stage) const {
  const graph::Graph& graph = *entry_->captured.graph;
  if (stage == Stage::captured) return graph.text();
  return detail::stage_text(graph, entry_->numerics, static_cast<runtime::StageId>(stage));
}

std::string Concrete::dot() const { return entry_->captured.graph->dot(); }

std::string Concrete::signature() const {
  std::string text;
  for (const detail::Field& f : entry_->fields) text += fmt::format("{}: {}\n", f.path, f.text);
  return text;
}

Cost Concrete::cost() const {
  const graph::Graph& graph = *entry_->captured.graph;
  const runtime::Plan& plan = entry_->code().plan();
  Cost cost;
  cost.captured_ops = static_cast<int>(graph.nodes().size()) - graph.num_parameters();
  cost.optimized_ops = static_cast<int>(plan.op_nodes.size());
  cost.launches = static_cast<int>(plan.launches.size());
  cost.kernels = static_cast<int>(plan.kernels.size());
  return cost;
}

}  // namespace kiln
