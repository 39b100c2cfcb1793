// Replaying a graph: binding of symbolic dims, random streams, lifetimes of intermediates.
#include "graph/replay.h"

#include <optional>

#include "base/require.h"
#include "graph/interpret.h"

namespace kiln::graph {

namespace {

std::string describe(const Graph& graph, std::size_t parameter) {
  const std::string& name = graph.parameters()[parameter].name;
  return name.empty() ? fmt::format("parameter {}", parameter) : fmt::format("\"{}\"", name);
}

/// Attributes with their symbolic lengths and random streams replaced.
Attrs bind_attrs(const Node& node, const DimBinding& binding, std::int64_t first_stream) {
  Attrs attrs = node.attrs;
  for (const auto& [key, value] : node.attrs) {
    const auto* shape = std::get_if<Shape>(&value);
    if (shape == nullptr || shape->is_static()) continue;
    Shape bound = *shape;
    for (int axis = 0; axis < bound.rank(); ++axis) bound[axis] = substitute(bound[axis], binding);
    attrs.set(key, bound);
  }
  if (node.op->traits.random) attrs.set("stream", node.attrs.get<std::int64_t>("stream") + first_stream);
  return attrs;
}

/// For each node, the node that reads it last; outputs are never read last.
std::vector<NodeId> last_uses(const Graph& graph) {
  std::vector<NodeId> last(graph.nodes().size(), -1);
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    for (NodeId operand : graph.nodes()[i].operands) last[static_cast<std::size_t>(operand)] = static_cast<NodeId>(i);
  }
  for (NodeId result : graph.results()) last[static_cast<std::size_t>(result)] = -1;
  for (const StateWrite& write : graph.state_writes()) last[static_cast<std::size_t>(write.value)] = -1;
  return last;
}

}  // namespace

DimBinding bind_dims(const Graph& graph, std::span<const Value> parameters) {
  KILN_ASSERT(parameters.size() == graph.parameters().size(), "{} has {} parameters, not {}", graph.name(), graph.parameters().size(),
              parameters.size());
  DimBinding binding;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const TensorType& want = graph.nodes()[i].type;
    const TensorType& got = parameters[i].type();
    KILN_REQUIRE(want.dtype == got.dtype, DTypeError, "{}: {} is {}, not {}", graph.name(), describe(graph, i), want.str(), got.str());
    KILN_REQUIRE(want.shape.rank() == got.shape.rank(), ShapeError, "{}: {} is {}, not {}", graph.name(), describe(graph, i), want.str(),
                 got.str());
    for (int axis = 0; axis < want.shape.rank(); ++axis) {
      Dim d = want.shape[axis];
      if (d == got.shape[axis]) continue;
      bool symbol = d.op() == Dim::Op::symbol;
      Dim bound = symbol ? binding.emplace(d.symbol_name(), got.shape[axis]).first->second : d;
      KILN_REQUIRE(bound == got.shape[axis] || d.op() > Dim::Op::symbol, ShapeError, "{}: {} is {}, not {}{}", graph.name(),
                   describe(graph, i), want.str(), got.str(), symbol ? fmt::format(", and {} is {} already", d.str(), bound.str()) : "");
    }
  }
  return binding;
}

Dim substitute(Dim d, const DimBinding& binding) {
  switch (d.op()) {
    case Dim::Op::constant:
      return d;
    case Dim::Op::symbol: {
      auto found = binding.find(d.symbol_name());
      return found != binding.end() ? found->second : d;
    }
    case Dim::Op::add:
      return substitute(d.lhs(), binding) + substitute(d.rhs(), binding);
    case Dim::Op::mul:
      return substitute(d.lhs(), binding) * substitute(d.rhs(), binding);
    case Dim::Op::floordiv:
      return floordiv(substitute(d.lhs(), binding), substitute(d.rhs(), binding));
    case Dim::Op::max:
      break;
  }
  return max(substitute(d.lhs(), binding), substitute(d.rhs(), binding));
}

std::vector<Value> replay(const Graph& graph, std::span<const Value> parameters, std::int64_t first_stream) {
  DimBinding binding = bind_dims(graph, parameters);
  std::vector<NodeId> last = last_uses(graph);
  std::vector<Value> values(parameters.begin(), parameters.end());
  values.resize(graph.nodes().size());
  std::vector<Value> operands;
  for (std::size_t i = parameters.size(); i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    operands.clear();
    for (NodeId operand : node.operands) operands.push_back(values[static_cast<std::size_t>(operand)]);
    std::optional<LocationOverride> line;
    if (node.loc.known()) line.emplace(node.loc);
    bool same_attrs = binding.empty() && !(node.op->traits.random && first_stream != 0);
    values[i] = apply(*node.op, operands, same_attrs ? node.attrs : bind_attrs(node, binding, first_stream));
    for (NodeId operand : node.operands) {
      if (last[static_cast<std::size_t>(operand)] == static_cast<NodeId>(i)) values[static_cast<std::size_t>(operand)] = {};
    }
  }
  std::vector<Value> outputs;
  for (NodeId result : graph.results()) outputs.push_back(values[static_cast<std::size_t>(result)]);
  for (const StateWrite& write : graph.state_writes()) outputs.push_back(values[static_cast<std::size_t>(write.value)]);
  return outputs;
}

std::vector<Value> interpret(const Graph& graph, std::span<const Value> parameters) { return replay(graph, parameters, 0); }

}  // namespace kiln::graph
