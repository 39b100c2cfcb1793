// A graph under construction. Nodes are numbered as they come; finish() moves the parameters, also those found late, to the front.
#include "graph/trace.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "base/require.h"
#include "graph/random.h"
#include "graph/replay.h"
#include "graph/symbolic.h"
#include "graph/tape.h"
#include "graph/thread_state.h"
#include "graph/weak.h"
#include "ops/build.h"

namespace kiln::graph {

namespace {

/// Eager operands up to this size become constants of the graph.
constexpr std::size_t kMaxConstantBytes = 1024;

struct ParameterRecord {
  Parameter parameter;
  NodeId node = -1;
  VariablePtr variable;
  Value capture;
};

struct VariableRecord {
  std::size_t parameter = 0;
  Value current;  ///< the parameter, or the last value written
  bool written = false;
};

struct CapturedValue {
  Value value;  ///< kept alive: it is found by identity
  NodeId node = -1;
};

/// Names of all traces, for errors about values that outlived theirs. One pointer a trace, kept for good.
struct TraceNames {
  std::mutex mutex;
  std::vector<const char*> names;  ///< of trace id i + 1

  std::uint64_t add(const std::string& name) {
    std::lock_guard lock(mutex);
    names.push_back(intern(name));
    return names.size();
  }
  const char* find(std::uint64_t id) {
    std::lock_guard lock(mutex);
    return id >= 1 && id <= names.size() ? names[id - 1] : "?";
  }
};

TraceNames& trace_names() {
  static TraceNames* names = new TraceNames;
  return *names;
}

std::string made_at(const Value& v) {
  const Loc& loc = v.get()->loc;
  return loc.known() ? fmt::format(" at {}:{}", loc.file, loc.line) : "";
}

}  // namespace

struct Trace::Impl {
  std::string name;
  std::uint64_t id = 0;
  Trace* parent = nullptr;  ///< the trace that was current, restored at the end
  Trace* parent_open = nullptr;
  bool finished = false;
  std::vector<Node> nodes;  ///< parameters have no op
  std::vector<ParameterRecord> parameters;
  std::unordered_map<std::uint64_t, VariableRecord> variables;
  std::vector<std::uint64_t> writes;  ///< variable ids, in the order of their first write
  std::unordered_map<const ValueImpl*, CapturedValue> captured;
  Value random_key;
  std::int64_t random_streams = 0;
  DimBinding equal_symbols;  ///< a symbol, and the one that it must equal
  std::vector<std::function<void()>> journal;
  std::vector<VariablePtr> created;

  Value value(NodeId node) const {
    const Node& n = nodes[static_cast<std::size_t>(node)];
    Value v = new_value(n.type);
    v.get()->trace = id;
    v.get()->node = node;
    v.get()->loc = n.loc;
    return v;
  }

  NodeId add_node(Node node) {
    nodes.push_back(std::move(node));
    return static_cast<NodeId>(nodes.size() - 1);
  }

  Value add_parameter(ParameterRecord record, TensorType type, Loc loc) {
    Node node;
    node.type = type;
    node.loc = loc;
    record.node = add_node(std::move(node));
    parameters.push_back(std::move(record));
    return value(parameters.back().node);
  }

  /// The value of a parameter that needs no call: a capture, or a random key of its own.
  Value known_parameter(NodeId node) const {
    for (const ParameterRecord& p : parameters) {
      if (p.node != node) continue;
      if (p.parameter.kind == ParameterKind::random) return key_value(reserve_streams(random_streams));
      return p.parameter.kind == ParameterKind::capture && !p.capture.symbolic() ? p.capture : Value();
    }
    return {};
  }

  void meet(Dim a, Dim b);
  VariableRecord& variable(const VariablePtr& v);
  NodeId capture(const Value& v);
  void close();
};

VariableRecord& Trace::Impl::variable(const VariablePtr& v) {
  auto found = variables.find(v->id);
  if (found != variables.end()) return found->second;
  Value symbolic = add_parameter({{ParameterKind::variable, v->name, v->id}, -1, v, {}}, v->type, user_location());
  return variables.emplace(v->id, VariableRecord{parameters.size() - 1, std::move(symbolic), false}).first->second;
}

NodeId Trace::Impl::capture(const Value& v) {
  auto found = captured.find(v.get());
  if (found != captured.end()) return found->second.node;
  std::size_t bytes = v.symbolic() ? 0 : static_cast<std::size_t>(v.shape().count()) * size_of(v.dtype());
  NodeId node;
  if (!v.symbolic() && bytes <= kMaxConstantBytes) {
    node = ops::constant<Value>(literal_of(v)).get()->node;
  } else {
    node = add_parameter({{ParameterKind::capture, "", 0}, -1, nullptr, v}, v.type(), user_location()).get()->node;
  }
  captured.emplace(v.get(), CapturedValue{v, node});
  return node;
}

void Trace::Impl::close() {
  ThreadState& state = thread_state;
  state.trace = parent;
  state.trace_id = parent != nullptr ? parent->impl_->id : 0;
  state.open = parent_open;
}

Trace::Trace(std::string name) : impl_(std::make_unique<Impl>()) {
  impl_->id = trace_names().add(name);
  impl_->name = std::move(name);
  ThreadState& state = thread_state;
  impl_->parent = state.trace;
  impl_->parent_open = state.open;
  state.trace = this;
  state.open = this;
  state.trace_id = impl_->id;
}

Trace::~Trace() {
  if (impl_->finished) return;
  impl_->close();
  for (auto undo = impl_->journal.rbegin(); undo != impl_->journal.rend(); ++undo) (*undo)();
}

std::uint64_t Trace::id() const { return impl_->id; }

Trace* Trace::enclosing() const { return impl_->parent_open; }

Trace* Trace::current() { return thread_state.trace; }

std::uint64_t current_trace_id() { return thread_state.trace_id; }

Value Trace::add_argument(std::string name, TensorType type, Loc loc) {
  return impl_->add_parameter({{ParameterKind::argument, std::move(name), 0}, -1, nullptr, {}}, type, loc);
}

NodeId Trace::node_of(const Value& v, std::string_view user) {
  const ValueImpl& body = *v.get();
  if (body.trace == impl_->id) return body.node;
  if (body.weak) return node_of(strong(v));
  if (body.trace != 0) {
    // A tensor of an enclosing function is captured like an eager one; its trace binds it when this graph is spliced in.
    bool open = false;
    for (Trace* t = impl_->parent_open; t != nullptr && !open; t = t->impl_->parent_open) open = t->impl_->id == body.trace;
    if (!open) fail_leaked(v, user);
  }
  return impl_->capture(v);
}

TensorType Trace::resolved(const TensorType& type) const {
  TensorType result = type;
  for (int axis = 0; axis < type.shape.rank(); ++axis) {
    if (!type.shape[axis].is_constant()) result.shape[axis] = substitute(type.shape[axis], impl_->equal_symbols);
  }
  return result;
}

Attrs Trace::resolved(const Attrs& attrs) const {
  Attrs result = attrs;
  for (const auto& [key, value] : attrs) {
    if (const auto* shape = std::get_if<Shape>(&value)) result.set(key, resolved(TensorType{DType::float32, *shape}).shape);
  }
  return result;
}

bool Trace::has_equal_symbols() const { return !impl_->equal_symbols.empty(); }

void Trace::meet(std::span<const Value> operands) {
  for (std::size_t i = 1; i < operands.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const Shape &a = operands[j].shape(), &b = operands[i].shape();
      for (int axis = 1; axis <= std::min(a.rank(), b.rank()); ++axis) impl_->meet(a[a.rank() - axis], b[b.rank() - axis]);
    }
  }
}

void Trace::Impl::meet(Dim a, Dim b) {
  if (a == b || a.is_constant() || b.is_constant()) return;
  Dim first = substitute(a, equal_symbols), second = substitute(b, equal_symbols);
  if (first == second || first.op() != Dim::Op::symbol || second.op() != Dim::Op::symbol) return;
  const DimBinding binding{{second.symbol_name(), first}};
  for (auto& [name, replacement] : equal_symbols) replacement = substitute(replacement, binding);
  equal_symbols.emplace(second.symbol_name(), first);
}

Value Trace::append(const ops::OpDef& op, std::vector<NodeId> operands, Attrs attrs, TensorType type) {
  Node node;
  node.op = &op;
  node.attrs = std::move(attrs);
  node.operands = std::move(operands);
  node.type = type;
  node.loc = user_location();
  return impl_->value(impl_->add_node(std::move(node)));
}

Value Trace::read(const VariablePtr& v) { return impl_->variable(v).current; }

void Trace::write(const VariablePtr& v, const Value& value) {
  NodeId node = node_of(value.weak() ? strong(value, v->type.dtype) : value, "assign");
  VariableRecord& record = impl_->variable(v);
  record.current = impl_->value(node);
  if (!record.written) impl_->writes.push_back(v->id);
  record.written = true;
}

std::pair<Value, std::int64_t> Trace::random_stream() {
  if (!impl_->random_key.defined()) {
    impl_->random_key = impl_->add_parameter({{ParameterKind::random, "random", 0}, -1, nullptr, {}}, {DType::int64, {2}}, user_location());
  }
  return {impl_->random_key, impl_->random_streams++};
}

namespace {

/// The nodes that `root` needs, itself included.
std::set<NodeId> ancestors(const std::vector<Node>& nodes, NodeId root) {
  std::set<NodeId> found{root};
  for (auto at = found.rbegin(); at != found.rend(); ++at) {  // operands come before their users
    for (NodeId operand : nodes[static_cast<std::size_t>(*at)].operands) found.insert(operand);
  }
  return found;
}

}  // namespace

Value Trace::initial_value(const Value& v) const {
  if (!v.symbolic()) return v;
  const Impl& t = *impl_;
  if (v.get()->trace != t.id) return {};
  EagerScope eager;
  NoTapeScope no_tape;
  std::map<NodeId, Value> values;
  std::map<NodeId, int> uses;
  const std::set<NodeId> needed = ancestors(t.nodes, v.get()->node);
  for (NodeId id : needed) {
    for (NodeId operand : t.nodes[static_cast<std::size_t>(id)].operands) ++uses[operand];
  }
  for (NodeId id : needed) {
    const Node& node = t.nodes[static_cast<std::size_t>(id)];
    if (!node.type.shape.is_static()) return {};
    if (node.op == nullptr) {
      Value known = t.known_parameter(id);
      if (!known.defined()) return {};
      values[id] = known;
      continue;
    }
    std::vector<Value> operands;
    for (NodeId operand : node.operands) {
      Value& value = values.at(operand);
      operands.push_back(--uses.at(operand) == 0 ? std::move(value) : value);
    }
    values[id] = apply_consuming(*node.op, std::move(operands), node.attrs);
  }
  return values.at(v.get()->node);
}

std::vector<Value> Trace::splice(const Captured& callee, std::span<const Value> arguments) {
  const Graph& graph = *callee.graph;
  std::vector<Value> parameters;
  std::size_t next_argument = 0;
  std::int64_t first_stream = impl_->random_streams;
  for (std::size_t i = 0; i < graph.parameters().size(); ++i) {
    switch (graph.parameters()[i].kind) {
      case ParameterKind::argument:
        KILN_ASSERT(next_argument < arguments.size(), "{} takes more than {} arguments", graph.name(), arguments.size());
        parameters.push_back(arguments[next_argument++]);
        break;
      case ParameterKind::variable:
        parameters.push_back(read_variable(callee.variables[i]));
        break;
      case ParameterKind::capture:
        parameters.push_back(callee.captures[i]);
        break;
      case ParameterKind::random:
        parameters.push_back(random_stream().first);
        break;
    }
  }
  impl_->random_streams = first_stream + callee.random_streams;
  std::vector<Value> values = replay(graph, parameters, first_stream);
  std::size_t num_results = graph.results().size();
  for (std::size_t i = 0; i < graph.state_writes().size(); ++i) {
    write(callee.variables[static_cast<std::size_t>(graph.state_writes()[i].parameter)], values[num_results + i]);
  }
  values.resize(num_results);
  return values;
}

namespace {

int order_of(ParameterKind kind) { return kind == ParameterKind::argument ? 0 : 1; }

}  // namespace

Captured Trace::finish(std::span<const Value> results) {
  Impl& t = *impl_;
  std::vector<NodeId> result_nodes;
  for (const Value& v : results) result_nodes.push_back(node_of(v, "return"));

  Captured captured;
  auto graph = std::make_shared<Graph>(t.name);
  if (has_equal_symbols()) {
    for (Node& node : t.nodes) {
      node.type = resolved(node.type);
      node.attrs = resolved(node.attrs);
    }
  }
  std::vector<NodeId> renamed(t.nodes.size(), -1);
  std::vector<int> parameter_index(t.parameters.size(), -1);
  for (int group = 0; group < 2; ++group) {
    for (std::size_t i = 0; i < t.parameters.size(); ++i) {
      ParameterRecord& record = t.parameters[i];
      if (order_of(record.parameter.kind) != group) continue;
      Node& node = t.nodes[static_cast<std::size_t>(record.node)];
      parameter_index[i] = graph->num_parameters();
      renamed[static_cast<std::size_t>(record.node)] = graph->add_parameter(record.parameter, node.type, node.loc);
      captured.variables.push_back(record.variable);
      captured.captures.push_back(record.capture);
    }
  }
  for (std::size_t i = 0; i < t.nodes.size(); ++i) {
    if (t.nodes[i].op == nullptr) continue;
    Node node = std::move(t.nodes[i]);
    for (NodeId& operand : node.operands) operand = renamed[static_cast<std::size_t>(operand)];
    renamed[i] = graph->add(std::move(node));
  }
  for (NodeId node : result_nodes) graph->add_result(renamed[static_cast<std::size_t>(node)]);
  for (std::uint64_t id : t.writes) {
    const VariableRecord& record = t.variables.at(id);
    NodeId value = renamed[static_cast<std::size_t>(record.current.get()->node)];
    int parameter = parameter_index[record.parameter];
    if (value != parameter) graph->add_state_write({parameter, value});
  }
  captured.graph = std::move(graph);
  captured.created = t.created;
  captured.random_streams = static_cast<int>(t.random_streams);
  t.close();
  t.finished = true;
  // What an enclosing trace abandons, it abandons whole.
  if (t.parent_open != nullptr) {
    Impl& outer = *t.parent_open->impl_;
    outer.journal.insert(outer.journal.end(), std::make_move_iterator(t.journal.begin()), std::make_move_iterator(t.journal.end()));
    outer.created.insert(outer.created.end(), t.created.begin(), t.created.end());
  }
  return captured;
}

EagerScope::EagerScope() : saved_(thread_state.trace) {
  thread_state.trace = nullptr;
  thread_state.trace_id = 0;
}

EagerScope::~EagerScope() {
  thread_state.trace = saved_;
  thread_state.trace_id = saved_ != nullptr ? saved_->id() : 0;
}

void journal_undo(std::function<void()> undo) {
  if (thread_state.open != nullptr) thread_state.open->journal(std::move(undo));
}

void Trace::journal(std::function<void()> undo) { impl_->journal.push_back(std::move(undo)); }

void Trace::note_created(const VariablePtr& v) { impl_->created.push_back(v); }

void fail_not_a_number(const Value& v, std::string_view what) {
  throw TraceError(
      fmt::format("{} inside \"{}\" is not possible: while the function is traced, the tensor made{} has a type but no elements. "
                  "Compute with it, return it, or read it outside the function",
                  what, trace_names().find(v.get()->trace), made_at(v)),
      user_location());
}

void fail_leaked(const Value& v, std::string_view op) {
  const char* name = trace_names().find(v.get()->trace);
  bool open = false;
  for (Trace* t = thread_state.open; t != nullptr; t = t->enclosing()) open |= t->id() == v.get()->trace;
  std::string user = op.empty() ? "" : fmt::format("{}: ", op);
  if (open) {
    throw TraceError(fmt::format("{}the tensor made{} while tracing \"{}\" is symbolic, and initial values are computed eagerly; "
                                 "start from a constant or from a tensor made outside the function",
                                 user, made_at(v), name),
                     user_location());
  }
  throw TraceError(fmt::format("{}the tensor made{} while tracing \"{}\" was used after the trace ended, when it has no value; "
                               "return it from the function, or keep it in a Variable",
                               user, made_at(v), name),
                   user_location());
}

}  // namespace kiln::graph
