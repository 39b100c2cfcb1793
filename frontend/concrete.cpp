// Inspection of a function with one signature.
#include <kiln/function.h>

#include "base/require.h"
#include "frontend/cost.h"
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

Cost Concrete::cost() const { return detail::cost_of(*entry_); }

void Concrete::compile() const { (void)entry_->code(); }

MemoryPlan Concrete::memory_plan() const { return detail::memory_plan_of(*entry_); }

}  // namespace kiln
