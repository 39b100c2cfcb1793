// Smaller cases from a case: outputs dropped, values cut off from what computed them.
#include <set>

#include "graph/interpret.h"
#include "graph/replay.h"
#include "tests/fuzz/lib/fuzz_case.h"

namespace kiln::testing {

namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Value;

std::size_t at(NodeId id) { return static_cast<std::size_t>(id); }

bool has_unknown_length(const TensorType& type) {
  for (Dim d : type.shape) {
    if (d.op() > Dim::Op::symbol) return true;
  }
  return false;
}

class Reducer {
 public:
  Reducer(const FuzzCase& c, const Reduction& r) : case_(c), graph_(*c.graph), reduction_(r) {
    reduction_.cut.resize(graph_.nodes().size());
    reduction_.dropped.resize(graph_.results().size() + graph_.state_writes().size());
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      if (graph_.nodes()[i].op == nullptr || has_unknown_length(graph_.nodes()[i].type)) reduction_.cut[i] = false;
    }
  }

  FuzzCase run() {
    mark_needed();
    auto smaller = std::make_shared<Graph>(graph_.name());
    add_parameters(*smaller);
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      if (!needed_[i] || reduction_.cut[i] || graph_.nodes()[i].op == nullptr) continue;
      Node copy = graph_.nodes()[i];
      for (NodeId& operand : copy.operands) operand = renamed_[at(operand)];
      renamed_[i] = smaller->add(std::move(copy));
    }
    add_outputs(*smaller);
    FuzzCase result;
    result.seed = case_.seed;
    result.graph = smaller;
    for (const FuzzRun& run : case_.runs) {
      FuzzRun to{inputs_of(run), {}};
      to.eager = graph::interpret(*smaller, to.inputs);
      result.runs.push_back(std::move(to));
    }
    return result;
  }

 private:
  bool keeps_write(std::size_t w) const { return reduction_.only < 0 && !reduction_.dropped[graph_.results().size() + w]; }

  std::vector<NodeId> results() const {
    if (reduction_.only >= 0) return {reduction_.only};
    std::vector<NodeId> kept;
    for (std::size_t i = 0; i < graph_.results().size(); ++i) {
      if (!reduction_.dropped[i]) kept.push_back(graph_.results()[i]);
    }
    return kept;
  }

  void mark_needed() {
    needed_.resize(graph_.nodes().size());
    for (NodeId id : results()) needed_[at(id)] = true;
    for (std::size_t w = 0; w < graph_.state_writes().size(); ++w) {
      if (!keeps_write(w)) continue;
      needed_[at(graph_.state_writes()[w].value)] = true;
      needed_[static_cast<std::size_t>(graph_.state_writes()[w].parameter)] = true;
    }
    for (std::size_t i = graph_.nodes().size(); i-- > 0;) {
      if (!needed_[i] || reduction_.cut[i]) continue;
      for (NodeId operand : graph_.nodes()[i].operands) needed_[at(operand)] = true;
    }
    // Parameters say what the symbols stand for.
    for (std::size_t i = 0; i < graph_.parameters().size(); ++i) needed_[i] = needed_[i] || !graph_.nodes()[i].type.shape.is_static();
  }

  void add_parameters(Graph& to) {
    renamed_.assign(graph_.nodes().size(), -1);
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      if (!needed_[i]) continue;
      const Node& node = graph_.nodes()[i];
      if (node.op == nullptr) renamed_[i] = to.add_parameter(graph_.parameters()[i], node.type, node.loc);
      if (reduction_.cut[i])
        renamed_[i] = to.add_parameter({graph::ParameterKind::argument, "cut" + std::to_string(i), 0}, node.type, node.loc);
    }
  }

  void add_outputs(Graph& to) const {
    for (NodeId id : results()) to.add_result(renamed_[at(id)]);
    for (std::size_t w = 0; w < graph_.state_writes().size(); ++w) {
      const graph::StateWrite& write = graph_.state_writes()[w];
      if (keeps_write(w))
        to.add_state_write({static_cast<int>(renamed_[static_cast<std::size_t>(write.parameter)]), renamed_[at(write.value)]});
    }
  }

  std::vector<Value> inputs_of(const FuzzRun& run) const {
    Graph all = graph_;
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) all.add_result(static_cast<NodeId>(i));
    std::vector<Value> values = graph::interpret(all, run.inputs);
    std::vector<Value> inputs;
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      bool parameter = graph_.nodes()[i].op == nullptr;
      if (needed_[i] && (parameter || reduction_.cut[i])) inputs.push_back(parameter ? run.inputs[i] : values[graph_.results().size() + i]);
    }
    return inputs;
  }

  const FuzzCase& case_;
  const Graph& graph_;
  Reduction reduction_;
  std::vector<bool> needed_;
  std::vector<NodeId> renamed_;
};

}  // namespace

FuzzCase reduced(const FuzzCase& c, const Reduction& reduction) { return Reducer(c, reduction).run(); }

graph::Graph at_lengths_of(const Graph& graph, std::span<const Value> inputs) {
  graph::DimBinding binding = graph::bind_dims(graph, inputs);
  Graph bound(graph.name());
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.op == nullptr) {
      bound.add_parameter(graph.parameters()[i], inputs[i].type(), node.loc);
      continue;
    }
    Attrs attrs = node.attrs;
    for (const auto& [name, value] : node.attrs) {
      const auto* shape = std::get_if<Shape>(&value);
      if (shape == nullptr) continue;
      Shape known;
      for (Dim d : *shape) known.push_back(graph::substitute(d, binding));
      attrs.set(name, known);
    }
    bound.add(*node.op, node.operands, attrs, node.loc);
  }
  for (NodeId id : graph.results()) bound.add_result(id);
  for (const graph::StateWrite& write : graph.state_writes()) bound.add_state_write(write);
  return bound;
}

}  // namespace kiln::testing
