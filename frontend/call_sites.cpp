// Describes compiled functions to profiles.
#include "frontend/call_sites.h"

#include <algorithm>

#include "base/require.h"
#include "frontend/plan_cost.h"

namespace kiln::detail {

namespace {

CallSite make_site(const graph::Graph& graph, const runtime::Plan& plan, std::vector<Shape> shapes) {
  const PlanCost cost(graph, plan, shapes);
  CallSite site;
  const std::int64_t bytes = cost.bytes_moved();
  site.call = keep_span_site({SpanSite::Kind::call, graph.name(), user_location(), cost.flops(), bytes, bytes});
  for (std::size_t i = 0; i < plan.launches.size(); ++i) {
    const runtime::Launch& l = plan.launches[i];
    site.launches.push_back(keep_span_site({SpanSite::Kind::launch, cost.describe(l), cost.where(i), cost.flops(l), cost.bytes(l),
                                            cost.footprint(l), site.call, static_cast<int>(i)}));
  }
  site.shapes = std::move(shapes);
  return site;
}

bool fits(const CallSite& site, std::span<const runtime::Argument> inputs) {
  return std::equal(site.shapes.begin(), site.shapes.end(), inputs.begin(), inputs.end(),
                    [](const Shape& shape, const runtime::Argument& input) { return shape == input.shape; });
}

}  // namespace

const CallSite& CallSites::of(const graph::Graph& graph, const runtime::Plan& plan, std::span<const runtime::Argument> inputs) {
  const std::lock_guard lock(word_);
  for (const CallSite& known : sites_) {
    if (fits(known, inputs)) return known;
  }
  std::vector<Shape> shapes;
  for (const runtime::Argument& input : inputs) shapes.push_back(input.shape);
  return sites_.emplace_back(make_site(graph, plan, std::move(shapes)));
}

const SpanSite* compile_site(const char* work, const std::string& function, Loc where) {
  if (!spans_wanted()) return nullptr;
  const std::string text = fmt::format("{} {}", work, function);
  return span_site(fmt::format("{}|{}:{}", text, where.file, where.line), [&] { return SpanSite{SpanSite::Kind::compile, text, where}; });
}

}  // namespace kiln::detail
