// The captured graph: SSA over tensors, plain C++, no MLIR.
#pragma once
#include <kiln/loc.h>
#include <kiln/shape.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/attrs.h"
#include "ops/op.h"

namespace kiln::graph {

using NodeId = std::int32_t;

class Graph;

/// One op applied once. A node has one result; its id names it. Operands come earlier in the graph.
struct Node {
  const ops::OpDef* op = nullptr;  ///< nullptr for a parameter
  Attrs attrs;
  std::vector<NodeId> operands;
  TensorType type;
  Loc loc;
  std::vector<std::shared_ptr<Graph>> regions;  ///< bodies of control-flow ops
};

/// True for a node of the op of that name, never for a parameter.
inline bool is(const Node& n, std::string_view op) { return n.op != nullptr && n.op->name == op; }

/// What the caller must bind to a parameter.
enum class ParameterKind : std::uint8_t {
  argument,  ///< the call's i-th tensor argument, flattened
  variable,  ///< a Variable's current value; state if it is also written
  capture,   ///< an eager tensor used inside the body
  random,    ///< int64[2]: seed and first stream id reserved by this call
};

/// The parameters are the graph's first nodes, in order.
struct Parameter {
  ParameterKind kind = ParameterKind::argument;
  std::string name;      ///< "x", "fc1/kernel"; for people only, not part of the hash
  std::uint64_t id = 0;  ///< the variable's id; not part of the hash
};

/// "After the run, parameter `parameter` holds the value of node `value`."
struct StateWrite {
  int parameter = 0;
  NodeId value = 0;
};

class Graph {
 public:
  explicit Graph(std::string name = "main") : name_(std::move(name)) {}

  /// Parameters must be added before any op.
  NodeId add_parameter(Parameter parameter, TensorType type, Loc loc);
  /// Appends an op; infers the result type and throws what OpDef::infer throws.
  NodeId add(const ops::OpDef& op, std::vector<NodeId> operands, Attrs attrs, Loc loc);
  /// Appends an op whose result type is known.
  NodeId add(Node node);
  void add_result(NodeId value) { results_.push_back(value); }
  void add_state_write(StateWrite write) { state_writes_.push_back(write); }

  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(NodeId id) const { return nodes_[static_cast<std::size_t>(id)]; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<NodeId>& results() const { return results_; }
  const std::vector<StateWrite>& state_writes() const { return state_writes_; }
  int num_parameters() const { return static_cast<int>(parameters_.size()); }

  /// 128-bit hash of structure, types, attributes and constants; names, ids and lines do not enter. Hex text.
  std::string hash() const;
  /// The graph in the assembly of the kiln dialect (docs/ir.md); with_locations adds the user's lines.
  std::string text(bool with_locations = true) const;
  /// The graph in Graphviz's language.
  std::string dot() const;
  /// Throws InternalError if an operand comes late, a type is not what the op infers, or a write has another type than its parameter.
  void verify() const;

 private:
  std::string name_;
  std::vector<Node> nodes_;
  std::vector<Parameter> parameters_;
  std::vector<NodeId> results_;
  std::vector<StateWrite> state_writes_;
};

}  // namespace kiln::graph
