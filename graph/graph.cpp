// Building, checking and hashing graphs.
#include "graph/graph.h"

#include <unordered_map>

#include "base/hash.h"
#include "base/require.h"

namespace kiln::graph {

NodeId Graph::add_parameter(Parameter parameter, TensorType type, Loc loc) {
  KILN_ASSERT(nodes_.size() == parameters_.size(), "{}: parameters come before ops", name_);
  parameters_.push_back(std::move(parameter));
  Node node;
  node.type = type;
  node.loc = loc;
  nodes_.push_back(std::move(node));
  return static_cast<NodeId>(nodes_.size() - 1);
}

NodeId Graph::add(const ops::OpDef& op, std::vector<NodeId> operands, Attrs attrs, Loc loc) {
  std::vector<TensorType> types;
  for (NodeId operand : operands) types.push_back(node(operand).type);
  Node node;
  node.op = &op;
  node.type = op.infer(op, types, attrs);
  node.attrs = std::move(attrs);
  node.operands = std::move(operands);
  node.loc = loc;
  return add(std::move(node));
}

NodeId Graph::add(Node node) {
  KILN_ASSERT(node.op != nullptr, "{}: a parameter among ops", name_);
  nodes_.push_back(std::move(node));
  return static_cast<NodeId>(nodes_.size() - 1);
}

namespace {

bool same_or_symbolic(const TensorType& a, const TensorType& b) {
  if (a.dtype != b.dtype || a.shape.rank() != b.shape.rank()) return false;
  for (int i = 0; i < a.shape.rank(); ++i) {
    bool both_known = a.shape[i].is_constant() && b.shape[i].is_constant();
    if (both_known && a.shape[i] != b.shape[i]) return false;
  }
  return true;
}

void verify_node(const Graph& graph, std::size_t index) {
  const Node& node = graph.nodes()[index];
  std::vector<TensorType> types;
  for (NodeId operand : node.operands) {
    KILN_ASSERT(operand >= 0 && operand < static_cast<NodeId>(index), "{}: %{} uses %{}, which comes later", graph.name(), index, operand);
    types.push_back(graph.node(operand).type);
    KILN_ASSERT(node.op->kind != ops::OpKind::elementwise || types.back().shape == node.type.shape,
                "{}: %{} = {} has an operand of type {}, the result is {}", graph.name(), index, node.op->name, types.back().str(),
                node.type.str());
  }
  KILN_ASSERT(node.op->arity < 0 || static_cast<std::size_t>(node.op->arity) == types.size(), "{}: %{} = {} has {} operands", graph.name(),
              index, node.op->name, types.size());
  TensorType inferred = node.op->infer(*node.op, types, node.attrs);
  KILN_ASSERT(same_or_symbolic(inferred, node.type), "{}: %{} = {} has type {}, but its operands give {}", graph.name(), index,
              node.op->name, node.type.str(), inferred.str());
}

/// Writes what identifies a graph, in one order, so that equal graphs give equal bytes.
class Canonical {
 public:
  std::string bytes(const Graph& graph) {
    integer(graph.num_parameters());
    for (std::size_t i = 0; i < graph.parameters().size(); ++i) {
      integer(static_cast<int>(graph.parameters()[i].kind));
      type(graph.nodes()[i].type);
    }
    integer(static_cast<std::int64_t>(graph.nodes().size()));
    for (std::size_t i = graph.parameters().size(); i < graph.nodes().size(); ++i) node(graph.nodes()[i]);
    integer(static_cast<std::int64_t>(graph.results().size()));
    for (NodeId id : graph.results()) integer(id);
    integer(static_cast<std::int64_t>(graph.state_writes().size()));
    for (const StateWrite& write : graph.state_writes()) {
      integer(write.parameter);
      integer(write.value);
    }
    return std::move(out_);
  }

 private:
  void node(const Node& n) {
    text(n.op->name);
    integer(static_cast<std::int64_t>(n.operands.size()));
    for (NodeId operand : n.operands) integer(operand);
    type(n.type);
    std::int64_t count = 0;
    for ([[maybe_unused]] const auto& entry : n.attrs) ++count;
    integer(count);
    for (const auto& [key, value] : n.attrs) {
      text(key);
      attribute(value);
    }
    integer(static_cast<std::int64_t>(n.regions.size()));
    for (const auto& region : n.regions) text(Canonical().bytes(*region));
  }

  void attribute(const AttrValue& value) {
    integer(static_cast<std::int64_t>(value.index()));
    if (const auto* i = std::get_if<std::int64_t>(&value)) integer(*i);
    if (const auto* d = std::get_if<double>(&value)) raw(d, sizeof(*d));
    if (const auto* s = std::get_if<std::string>(&value)) text(*s);
    if (const auto* t = std::get_if<DType>(&value)) integer(static_cast<int>(*t));
    if (const auto* s = std::get_if<Shape>(&value)) shape(*s);
    if (const auto* v = std::get_if<Ints>(&value)) {
      integer(static_cast<std::int64_t>(v->size()));
      for (std::int64_t i : *v) integer(i);
    }
    if (const auto* l = std::get_if<Literal>(&value)) {
      type(l->type);
      integer(l->splat);
      text({reinterpret_cast<const char*>(l->bytes->data()), l->bytes->size()});
    }
  }

  void type(const TensorType& t) {
    integer(static_cast<int>(t.dtype));
    shape(t.shape);
  }

  void shape(const Shape& s) {
    integer(s.rank());
    for (Dim d : s) dim(d);
  }

  /// A symbol is the number of symbols seen before it: names do not matter.
  void dim(Dim d) {
    integer(static_cast<int>(d.op()));
    if (d.is_constant()) {
      integer(d);
    } else if (d.op() == Dim::Op::symbol) {
      integer(static_cast<std::int64_t>(symbols_.emplace(d.bits(), symbols_.size()).first->second));
    } else {
      dim(d.lhs());
      dim(d.rhs());
    }
  }

  void integer(std::int64_t i) { raw(&i, sizeof(i)); }
  void text(std::string_view s) {
    integer(static_cast<std::int64_t>(s.size()));
    out_.append(s);
  }
  void raw(const void* data, std::size_t bytes) { out_.append(static_cast<const char*>(data), bytes); }

  std::string out_;
  std::unordered_map<std::int64_t, std::size_t> symbols_;
};

}  // namespace

std::string Graph::hash() const { return hash128(Canonical().bytes(*this)).hex(); }

void Graph::verify() const {
  auto valid = [&](NodeId id) { return id >= 0 && id < static_cast<NodeId>(nodes_.size()); };
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    bool parameter = nodes_[i].op == nullptr;
    KILN_ASSERT(parameter == (i < parameters_.size()), "{}: parameters are the first nodes; %{} is out of place", name_, i);
    if (!parameter) verify_node(*this, i);
  }
  for (NodeId result : results_) KILN_ASSERT(valid(result), "{}: result %{} does not exist", name_, result);
  for (const StateWrite& write : state_writes_) {
    KILN_ASSERT(write.parameter >= 0 && write.parameter < num_parameters() && valid(write.value), "{}: a write of %{} to parameter {}",
                name_, write.value, write.parameter);
    KILN_ASSERT(node(write.parameter).type == node(write.value).type, "{}: %{} of type {} is written to parameter {} of type {}", name_,
                write.value, node(write.value).type.str(), write.parameter, node(write.parameter).type.str());
  }
}

}  // namespace kiln::graph
