// The generator: each step applies a random op to values made so far, eagerly and in a trace at once.
#include <cmath>
#include <limits>
#include <map>

#include "base/require.h"
#include "graph/trace.h"
#include "graph/variable.h"
#include "ops/elementwise.h"
#include "tests/fuzz/lib/graph_fuzz.h"
#include "tests/fuzz/lib/structural_cases.h"
#include "tests/values.h"

namespace kiln::testing {

namespace {

using graph::Trace;
using graph::Value;

constexpr std::int64_t kMaxElements = 4096;

/// One value in both worlds.
struct Twin {
  Value eager, traced;
};

class Generator {
 public:
  Generator(std::uint64_t seed, const FuzzOptions& options) : rng_(seed), options_(options), trace_("fuzz") { result_.seed = seed; }

  FuzzCase run() {
    add_input({random_dtype(rng_), random_shape(rng_)}, 0, false);
    std::int64_t steps = rng_.between(options_.min_nodes, options_.max_nodes);
    for (std::int64_t made = 0, tries = 0; made < steps && tries < 40 * steps; ++tries) made += step() ? 1 : 0;
    write_state();
    return finish();
  }

 private:
  // --- inputs ------------------------------------------------------------------------------------------------------------

  double number(DType dtype, bool edges) {
    if (dtype == DType::boolean) return static_cast<double>(rng_.below(2));
    if (is_integer(dtype)) {
      bool small = dtype == DType::uint8 || dtype == DType::int8 || !edges;
      double low = dtype == DType::uint8 ? 0 : -20;
      return small ? low + static_cast<double>(rng_.below(41)) : static_cast<double>(rng_.between(-2000000000, 2000000000));
    }
    if (edges && rng_.chance(0.1)) {
      static const std::vector<double> values = {0.0,    -0.0, INFINITY, -INFINITY, NAN,  1.0,  -1.0,   1e-40,
                                                 -1e-42, 3e38, -3e38,    0.5,       1e-7, 88.8, -104.0, 1e6};
      return rng_.pick(values);
    }
    double x = 4 * rng_.uniform() - 2;
    return rng_.chance(0.1) ? std::round(x) : x;
  }

  /// With `limit`, integers in [0, limit); `nonzero` for divisors.
  Value random_value(const TensorType& type, std::int64_t limit, bool nonzero) {
    bool edges = options_.edge_values && rng_.chance(0.25);
    std::vector<double> values(static_cast<std::size_t>(type.shape.count()));
    for (double& v : values) {
      v = limit > 0 ? static_cast<double>(rng_.below(limit)) : number(type.dtype, edges);
      if (nonzero && v == 0) v = 3;
    }
    return tensor(type.shape, values, type.dtype);
  }

  Twin add_input(const TensorType& type, std::int64_t limit, bool nonzero) {
    Value eager = random_value(type, limit, nonzero);
    bool plain = limit == 0 && !nonzero;
    if (plain && options_.state && rng_.chance(0.2)) {
      variables_.push_back(graph::make_variable(eager, "v" + std::to_string(variables_.size()), true));
      return keep({eager, graph::read_variable(variables_.back())});
    }
    // Some inputs are constants or captures, by their size.
    if (rng_.chance(0.15)) return plain ? keep({eager, eager}) : Twin{eager, eager};
    arguments_.push_back(eager);
    Twin twin{eager, trace_.add_argument("x" + std::to_string(arguments_.size()), type, {})};
    return plain ? keep(twin) : twin;
  }

  Twin keep(Twin twin) {
    pool_.push_back(twin);
    return twin;
  }

  // --- operands ----------------------------------------------------------------------------------------------------------

  template <class Predicate>
  const Twin* find(const Predicate& accept) {
    std::vector<const Twin*> fitting;
    for (const Twin& t : pool_) {
      if (accept(t.eager.type())) fitting.push_back(&t);
    }
    if (fitting.empty()) return nullptr;
    // Recent values more often: deep graphs.
    auto n = static_cast<std::int64_t>(fitting.size());
    return fitting[static_cast<std::size_t>(std::max(rng_.below(n), rng_.below(n)))];
  }

  /// A shape that broadcasts with `shape`.
  Shape related_shape(const Shape& shape) {
    Shape out;
    int skipped = rng_.chance(0.3) ? static_cast<int>(rng_.below(shape.rank() + 1)) : 0;
    for (int i = skipped; i < shape.rank(); ++i) out.push_back(rng_.chance(0.2) ? Dim(1) : shape[i]);
    return out;
  }

  Twin second_operand(const TensorType& first, bool nonzero) {
    if (!nonzero && rng_.chance(0.15) && first.dtype != DType::boolean) {
      double scalar = static_cast<double>(rng_.between(1, 4)) / (is_floating(first.dtype) ? 2.0 : 1.0);
      Value weak = is_floating(first.dtype) ? Value(scalar) : Value(static_cast<std::int64_t>(scalar));
      return {weak, weak};
    }
    if (!nonzero && rng_.chance(0.7)) {
      const Twin* found = find([&](const TensorType& t) {
        if (t.dtype != first.dtype) return false;
        for (int i = 1; i <= std::min(t.shape.rank(), first.shape.rank()); ++i) {
          Dim a = t.shape[t.shape.rank() - i], b = first.shape[first.shape.rank() - i];
          if (a != b && a != 1 && b != 1) return false;
        }
        return true;
      });
      if (found != nullptr) return *found;
    }
    return add_input({first.dtype, related_shape(first.shape)}, 0, nonzero);
  }

  // --- steps -------------------------------------------------------------------------------------------------------------

  bool step() {
    std::span<const ops::OpDef* const> ops = ops::all_ops();
    const ops::OpDef& op = *ops[static_cast<std::size_t>(rng_.below(static_cast<std::int64_t>(ops.size())))];
    return op.kind == ops::OpKind::elementwise ? elementwise_step(op) : structural_step(op);
  }

  bool elementwise_step(const ops::OpDef& op) {
    bool select = op.types == ops::TypeRule::select;
    const Twin* first = find([&](const TensorType& t) { return ops::accepts(op.types, t.dtype); });
    if (first == nullptr) return false;
    std::vector<Twin> operands = {*first};
    TensorType type = operands[0].eager.type();
    // Integer division must not fail.
    bool nonzero = op.traits.fallible && is_integer(type.dtype);
    while (static_cast<int>(operands.size()) < op.arity - (select ? 1 : 0)) {
      operands.push_back(second_operand(type, nonzero));
      type.shape = broadcast_shapes(type.shape, operands.back().eager.shape());
    }
    if (select) {
      const Twin* condition = find([&](const TensorType& t) { return t.dtype == DType::boolean && t.shape == type.shape; });
      operands.insert(operands.begin(),
                      condition != nullptr ? *condition : add_input({DType::boolean, related_shape(type.shape)}, 0, false));
    }
    return apply_both(op, operands, {});
  }

  bool structural_step(const ops::OpDef& op) {
    if (!has_structural_case(op)) return false;
    const Twin* found = find([](const TensorType&) { return true; });
    Twin first = *found;
    std::optional<StructuralCase> c = structural_case(op, first.eager.type(), rng_);
    if (!c) return false;
    std::vector<Twin> operands;
    for (const OperandSpec& spec : c->operands) {
      bool is_first = operands.empty() && spec.type == first.eager.type() && spec.limit == 0;
      const Twin* other = nullptr;
      if (!is_first && spec.limit == 0 && rng_.chance(0.6)) other = find([&](const TensorType& t) { return t == spec.type; });
      operands.push_back(is_first ? first : other != nullptr ? *other : add_input(spec.type, spec.limit, false));
    }
    return apply_both(op, operands, c->attrs);
  }

  bool apply_both(const ops::OpDef& op, const std::vector<Twin>& operands, const Attrs& attrs) {
    std::vector<Value> eager, traced;
    std::vector<TensorType> types;
    for (const Twin& t : operands) {
      eager.push_back(t.eager);
      traced.push_back(t.traced);
      types.push_back(t.eager.type());
    }
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (eager[i].weak()) types[i].dtype = types[op.types == ops::TypeRule::select ? 1 : 0].dtype;
    }
    if (op.infer(op, types, attrs).shape.count() > kMaxElements) return false;
    Twin result;
    {
      graph::EagerScope scope;
      result.eager = graph::apply(op, eager, attrs);
    }
    result.traced = graph::apply(op, traced, attrs);
    if (result.eager.weak()) return false;
    keep(result);
    return true;
  }

  // --- end ---------------------------------------------------------------------------------------------------------------

  void write_state() {
    for (const graph::VariablePtr& v : variables_) {
      if (!rng_.chance(0.6)) continue;
      const Twin* found = find([&](const TensorType& t) { return t == v->type; });
      if (found == nullptr) continue;
      graph::assign_variable(v, found->traced);
      written_[v->id] = found->eager;
    }
  }

  FuzzCase finish() {
    std::vector<Value> results = {pool_.back().traced};
    result_.eager = {pool_.back().eager};
    for (std::int64_t more = rng_.below(3); more > 0; --more) {
      const Twin& t = *find([](const TensorType&) { return true; });
      results.push_back(t.traced);
      result_.eager.push_back(t.eager);
    }
    graph::Captured captured = trace_.finish(results);
    std::size_t next_argument = 0;
    for (std::size_t i = 0; i < captured.graph->parameters().size(); ++i) {
      graph::ParameterKind kind = captured.graph->parameters()[i].kind;
      result_.inputs.push_back(kind == graph::ParameterKind::argument   ? arguments_[next_argument++]
                               : kind == graph::ParameterKind::variable ? graph::read_variable(captured.variables[i])
                                                                        : captured.captures[i]);
    }
    for (const graph::StateWrite& write : captured.graph->state_writes()) {
      result_.eager.push_back(written_.at(captured.variables[static_cast<std::size_t>(write.parameter)]->id));
    }
    result_.graph = captured.graph;
    result_.graph->verify();
    return std::move(result_);
  }

  Rng rng_;
  FuzzOptions options_;
  Trace trace_;
  FuzzCase result_;
  std::vector<Twin> pool_;
  std::vector<Value> arguments_;
  std::vector<graph::VariablePtr> variables_;
  std::map<std::uint64_t, Value> written_;
};

}  // namespace

FuzzCase random_case(std::uint64_t seed, const FuzzOptions& options) {
  LocationScope line({"fuzz.cpp", 1});
  return Generator(seed, options).run();
}

}  // namespace kiln::testing
