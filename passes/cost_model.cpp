// Costs of ops for fusion.
#include "passes/cost_model.h"

#include <algorithm>

#include "base/attrs.h"

namespace kiln::passes::cost {
namespace {

constexpr double kRandomCost = 30;  // ten rounds of Philox
constexpr double kMoveCost = 4;     // a load from another place

double window_taps(const graph::Node& node) {
  const AttrValue* window = node.attrs.find("window");
  if (window == nullptr || !std::holds_alternative<Ints>(*window)) return 1;
  double taps = 1;
  for (std::int64_t n : std::get<Ints>(*window)) taps *= static_cast<double>(n);
  return taps;
}

}  // namespace

double op_cost(const graph::Node& node) {
  if (node.op == nullptr || is_view(node)) return 0;
  if (node.op->traits.random) return std::max<double>(kRandomCost, node.op->traits.cost);
  if (same_index(node)) return node.op->traits.cost;
  return std::max<double>(kMoveCost, node.op->traits.cost) * window_taps(node);
}

double cut_cost(const TensorType& type) {
  constexpr double kLaunch = 500, kCached = 4, kMemory = 32, kCacheBytes = 1 << 20, kVectorBytes = 64;
  const double bytes = elements(type.shape) * static_cast<double>(size_of(type.dtype));
  return kLaunch / std::max(1.0, bytes / kVectorBytes) + (2 * bytes <= kCacheBytes ? kCached : kMemory);
}

bool is_view(const graph::Node& node) {
  if (node.op == nullptr || node.op->kind == ops::OpKind::elementwise) return false;
  const std::string_view name = node.op->name;
  return name == "broadcast" || name == "reshape" || name == "iota" || name == "constant";
}

double elements(const Shape& shape) {
  constexpr std::int64_t kGuess = 64;
  double n = 1;
  for (Dim d : shape) n *= static_cast<double>(d.value_or(kGuess));
  return n;
}

bool same_index(const graph::Node& consumer) {
  return consumer.op != nullptr && (consumer.op->kind == ops::OpKind::elementwise || consumer.op->name == "cast");
}

Shape squeezed(const Shape& shape) {
  Shape result;
  for (Dim d : shape) {
    if (d != 1) result.push_back(d);
  }
  return result;
}

bool keeps_index(const graph::Graph& graph, const graph::Node& consumer) {
  if (same_index(consumer)) return true;
  if (consumer.op == nullptr || consumer.op->name != "reshape") return false;
  return squeezed(consumer.type.shape) == squeezed(graph.node(consumer.operands[0]).type.shape);
}

double reads_per_element(const graph::Graph& graph, const graph::Node& consumer, int operand) {
  if (same_index(consumer)) return 1;
  const double result = elements(consumer.type.shape);
  const double read = std::max(1.0, elements(graph.node(consumer.operands[static_cast<std::size_t>(operand)]).type.shape));
  // Each result looks at a whole window; a gradient of two operands looks at every window that holds its element.
  return std::max(1.0, window_taps(consumer) * (consumer.operands.size() > 1 && consumer.attrs.has("window") ? 1 : result / read));
}

}  // namespace kiln::passes::cost
