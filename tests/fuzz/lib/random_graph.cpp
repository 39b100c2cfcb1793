// The generator: each step applies a random op to values made so far, eagerly (at each binding of the symbols) and in a trace at once.
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/require.h"
#include "graph/tape.h"
#include "graph/trace.h"
#include "graph/variable.h"
#include "ops/elementwise.h"
#include "tests/fuzz/lib/fuzz_case.h"
#include "tests/fuzz/lib/structural_cases.h"
#include "tests/values.h"

namespace kiln::testing {

namespace {

using graph::Trace;
using graph::Value;

/// One value in every world.
struct Twin {
  std::vector<Value> eager;  ///< by run
  Value traced;

  const TensorType& type() const { return traced.type(); }
};

struct Symbol {
  Dim dim;
  std::vector<std::int64_t> length;  ///< by run
};

bool is_plain(const Shape& shape) {
  for (Dim d : shape) {
    if (d.op() > Dim::Op::symbol) return false;
  }
  return true;
}

class Generator {
 public:
  Generator(std::uint64_t seed, const FuzzOptions& options) : rng_(seed), options_(options), trace_("fuzz") {
    result_.seed = seed;
    result_.runs.resize(options.symbolic ? 2 : 1);
    if (options.gradients) {
      tape_.emplace();
      graph::EagerScope scope;
      eager_tape_.emplace();
    }
    if (!options.symbolic) return;
    symbols_.push_back({Dim::symbol("n"), {11, rng_.pick<std::int64_t>({1, 2, 3, 6, 8, 17, 30, 32, 45, 0})}});
    if (rng_.chance(0.4)) symbols_.push_back({Dim::symbol("m"), {13, rng_.pick<std::int64_t>({1, 4, 5, 16, 29})}});
  }

  FuzzCase run() {
    while (!add_input({random_dtype(rng_), first_shape()})) {
    }
    std::int64_t steps = rng_.between(options_.min_nodes, options_.max_nodes);
    for (std::int64_t made = 0, tries = 0; made < steps && tries < 40 * steps; ++tries) made += step() ? 1 : 0;
    if (tape_) add_gradients();
    write_state();
    return finish();
  }

 private:
  // --- inputs ------------------------------------------------------------------------------------------------------------

  std::size_t num_runs() const { return result_.runs.size(); }

  Shape shape_at(const Shape& shape, std::size_t run) const {
    Shape out;
    for (Dim d : shape) out.push_back(length_at(d, run));
    return out;
  }

  std::int64_t length_at(Dim d, std::size_t run) const {
    return d.evaluate([&](std::string_view name) {
      for (const Symbol& s : symbols_) {
        if (s.dim.symbol_name() == name) return s.length[run];
      }
      throw InternalError("an unknown symbol", {});
    });
  }

  /// A random shape; some of its lengths symbols.
  Shape first_shape() {
    Shape shape = random_shape(rng_, 5, options_.max_elements / 2);
    if (symbols_.empty()) return shape;
    if (shape.rank() == 0) shape.push_back(1);
    std::int64_t certain = rng_.below(shape.rank());
    for (int i = 0; i < shape.rank(); ++i) {
      if (i != certain && rng_.chance(0.7)) continue;
      shape[i] = rng_.pick(symbols_).dim;
      if (shape_at(shape, 0).count() > options_.max_elements || shape_at(shape, 1).count() > options_.max_elements) shape[i] = 2;
    }
    return shape;
  }

  double number(DType dtype, bool edges) {
    if (dtype == DType::boolean) return static_cast<double>(rng_.below(2));
    if (is_integer(dtype)) {
      bool small = dtype == DType::uint8 || dtype == DType::int8 || !edges;
      double low = dtype == DType::uint8 ? 0 : -20;
      return small ? low + static_cast<double>(rng_.below(41)) : static_cast<double>(rng_.between(-2000000000, 2000000000));
    }
    if (edges && rng_.chance(0.1)) {
      static const std::vector<double> values = {0.0,  -0.0,  INFINITY, -INFINITY, NAN,  1.0,  -1.0,   1e-40, -1e-42, 1e-310,
                                                 3e38, -3e38, 0.5,      1e-7,      6e-8, 88.8, -104.0, 1e6,   65504,  -1e-39};
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

  /// Nothing where the type has lengths that no argument may have, or where indices have nothing to point at.
  std::optional<Twin> add_input(const TensorType& type, Dim limit = 0, bool nonzero = false) {
    bool plain = limit == 0 && !nonzero;
    bool everywhere = type.shape.is_static() && limit.is_constant();
    if (!is_plain(type.shape)) return {};
    Twin twin;
    for (std::size_t run = 0; run < (everywhere ? 1 : num_runs()); ++run) {
      std::int64_t bound = length_at(limit, run);
      Shape shape = shape_at(type.shape, run);
      if ((limit != 0 && bound <= 0 && shape.count() > 0) || shape.count() > options_.max_elements) return {};
      twin.eager.push_back(random_value({type.dtype, shape}, bound, nonzero));
    }
    twin.eager.resize(num_runs(), twin.eager[0]);
    if (plain && everywhere && options_.state && rng_.chance(0.2)) {
      variables_.push_back(graph::make_variable(twin.eager[0], "v" + std::to_string(variables_.size()), true));
      twin.traced = graph::read_variable(variables_.back());
      return keep_source(twin);
    }
    // Some inputs are constants or captures, by their size.
    if (everywhere && rng_.chance(0.15)) {
      twin.traced = twin.eager[0];
      return plain ? keep(twin) : twin;
    }
    arguments_.push_back(twin.eager);
    twin.traced = trace_.add_argument("x" + std::to_string(arguments_.size()), type, {});
    return plain ? keep_source(twin) : twin;
  }

  Twin keep(const Twin& twin) {
    pool_.push_back(twin);
    return twin;
  }

  /// A value that gradients may be taken by.
  Twin keep_source(const Twin& twin) {
    if (tape_ && is_floating(twin.type().dtype)) {
      for (const Value& v : twin.eager) eager_tape_->watch(v);
      tape_->watch(twin.traced);
      sources_.push_back(twin);
    }
    return keep(twin);
  }

  // --- operands ----------------------------------------------------------------------------------------------------------

  template <class Predicate>
  const Twin* find(const Predicate& accept) {
    std::vector<const Twin*> fitting;
    for (const Twin& t : pool_) {
      if (accept(t.type())) fitting.push_back(&t);
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

  std::optional<Twin> second_operand(const TensorType& first, bool nonzero) {
    if (!nonzero && rng_.chance(0.15) && first.dtype != DType::boolean) {
      double scalar = static_cast<double>(rng_.between(1, 4)) / (is_floating(first.dtype) ? 2.0 : 1.0);
      Value weak = is_floating(first.dtype) ? Value(scalar) : Value(static_cast<std::int64_t>(scalar));
      return Twin{std::vector<Value>(num_runs(), weak), weak};
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
    if (tape_ && !op.differentiable && rng_.chance(0.7)) return false;
    try {
      return op.kind == ops::OpKind::elementwise ? elementwise_step(op) : structural_step(op);
    } catch (const InternalError&) {
      throw;
    } catch (const Error&) {
      // What fits at one length need not fit at another.
      if (symbols_.empty()) throw;
      return false;
    }
  }

  bool elementwise_step(const ops::OpDef& op) {
    bool select = op.types == ops::TypeRule::select;
    // Types that nobody has made yet come in now and then.
    DType wanted = random_dtype(rng_);
    std::optional<Twin> fresh;
    if (rng_.chance(0.15) && ops::accepts(op.types, wanted)) fresh = add_input({wanted, first_shape()});
    const Twin* first = find([&](const TensorType& t) { return ops::accepts(op.types, t.dtype); });
    if (first == nullptr && !fresh) return false;
    std::vector<Twin> operands = {fresh ? *fresh : *first};
    TensorType type = operands[0].type();
    // Integer division must not fail.
    bool nonzero = op.traits.fallible && is_integer(type.dtype);
    while (static_cast<int>(operands.size()) < op.arity - (select ? 1 : 0)) {
      std::optional<Twin> next = second_operand(type, nonzero);
      if (!next) return false;
      operands.push_back(*next);
      type.shape = broadcast_shapes(type.shape, operands.back().type().shape);
    }
    if (select) {
      const Twin* condition = find([&](const TensorType& t) { return t.dtype == DType::boolean && t.shape == type.shape; });
      std::optional<Twin> found = condition != nullptr ? std::optional(*condition) : add_input({DType::boolean, related_shape(type.shape)});
      if (!found) return false;
      operands.insert(operands.begin(), *found);
    }
    return apply_everywhere(op, operands, {});
  }

  bool structural_step(const ops::OpDef& op) {
    if (!has_structural_case(op)) return false;
    if (rng_.chance(0.1)) add_input({random_dtype(rng_), first_shape()});
    Twin first = *find([](const TensorType&) { return true; });
    std::optional<StructuralCase> c = structural_case(op, first.type(), rng_);
    if (!c) return false;
    std::vector<Twin> operands;
    for (const OperandSpec& spec : c->operands) {
      bool is_first = operands.empty() && spec.type == first.type() && spec.limit == 0;
      const Twin* other = nullptr;
      if (!is_first && spec.limit == 0 && rng_.chance(0.6)) other = find([&](const TensorType& t) { return t == spec.type; });
      std::optional<Twin> operand = is_first ? std::optional(first) : other != nullptr ? *other : add_input(spec.type, spec.limit);
      if (!operand) return false;
      operands.push_back(*operand);
    }
    return apply_everywhere(op, operands, c->attrs);
  }

  Attrs attrs_at(const Attrs& attrs, std::size_t run) const {
    Attrs out = attrs;
    for (const auto& [name, value] : attrs) {
      if (const auto* shape = std::get_if<Shape>(&value)) out.set(name, shape_at(*shape, run));
    }
    return out;
  }

  bool small_enough(const ops::OpDef& op, const std::vector<Twin>& operands, const Attrs& attrs, std::size_t run) const {
    std::vector<TensorType> types;
    for (const Twin& t : operands) types.push_back(t.eager[run].type());
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (operands[i].traced.weak()) types[i].dtype = types[op.types == ops::TypeRule::select ? 1 : 0].dtype;
    }
    return op.infer(op, types, attrs).shape.count() <= options_.max_elements;
  }

  bool apply_everywhere(const ops::OpDef& op, const std::vector<Twin>& operands, const Attrs& attrs) {
    Twin result;
    std::vector<Value> traced;
    for (const Twin& t : operands) {
      traced.push_back(t.traced);
      used_.insert(t.traced.get());
    }
    for (std::size_t run = 0; run < num_runs(); ++run) {
      Attrs here = attrs_at(attrs, run);
      if (!small_enough(op, operands, here, run)) return false;
      std::vector<Value> eager;
      for (const Twin& t : operands) eager.push_back(t.eager[run]);
      graph::EagerScope scope;
      result.eager.push_back(graph::apply(op, eager, here));
    }
    result.traced = graph::apply(op, traced, attrs);
    // A window longer than what it slides over: eagerly nothing, at lengths that were not known an error.
    for (std::size_t run = 0; run < num_runs(); ++run) {
      for (Dim d : result.type().shape) {
        if (length_at(d, run) < 0) return false;
      }
    }
    return keep_result(result, op.name);
  }

  bool keep_result(const Twin& result, std::string_view maker) {
    if (result.traced.weak() || result.eager[0].weak()) return false;
    for (std::size_t run = 0; run < num_runs(); ++run) {
      TensorType type{result.type().dtype, shape_at(result.type().shape, run)};
      KILN_ASSERT(type == result.eager[run].type(), "{}: traced {}, at run {} {}, eager {}", maker, result.type().str(), run, type.str(),
                  result.eager[run].type().str());
    }
    keep(result);
    return true;
  }

  // --- end ---------------------------------------------------------------------------------------------------------------

  /// Gradients of some floating values by all sources. Ops without a gradient are met on some ways, and lengths that the gradient needs as
  /// numbers: those targets have none.
  void add_gradients() {
    for (std::int64_t more = rng_.between(1, 2); more > 0 && !sources_.empty(); --more) {
      const Twin* target = find([](const TensorType& t) { return is_floating(t.dtype); });
      if (target != nullptr) add_gradients_of(Twin(*target));
    }
    tape_.reset();
    eager_tape_.reset();
  }

  void add_gradients_of(const Twin& target) {
    std::vector<std::vector<Value>> eager;
    std::vector<Value> sources, traced;
    for (const Twin& s : sources_) sources.push_back(s.traced);
    try {
      for (std::size_t run = 0; run < num_runs(); ++run) {
        std::vector<Value> at_run;
        for (const Twin& s : sources_) at_run.push_back(s.eager[run]);
        graph::EagerScope scope;
        eager.push_back(eager_tape_->gradient(target.eager[run], at_run));
      }
      traced = tape_->gradient(target.traced, sources);
    } catch (const ValueError&) {
      return;
    } catch (const TraceError&) {
      return;
    }
    for (std::size_t s = 0; s < sources.size(); ++s) {
      Twin gradient;
      for (const std::vector<Value>& of_run : eager) gradient.eager.push_back(of_run[s]);
      gradient.traced = traced[s];
      KILN_ASSERT(gradient.eager[0].defined() == traced[s].defined(), "source {} has a gradient eagerly or traced, not both", s);
      if (!traced[s].defined() || !keep_result(gradient, "gradient")) continue;
      gradients_.push_back(gradient);
    }
  }

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
    // What nobody reads would be pruned: most of it is a result.
    std::vector<Twin> results = {pool_.back()};
    for (const Twin& t : pool_) {
      if (!used_.contains(t.traced.get()) && rng_.chance(0.7)) results.push_back(t);
    }
    for (std::int64_t more = rng_.below(3); more > 0; --more) results.push_back(*find([](const TensorType&) { return true; }));
    results.insert(results.end(), gradients_.begin(), gradients_.end());
    result_.gradients = static_cast<int>(gradients_.size());
    std::vector<Value> traced;
    for (const Twin& t : results) traced.push_back(t.traced);
    graph::Captured captured = trace_.finish(traced);
    for (std::size_t run = 0; run < num_runs(); ++run) {
      FuzzRun& to = result_.runs[run];
      bind(captured, run, to.inputs);
      for (const Twin& t : results) to.eager.push_back(t.eager[run]);
      for (const graph::StateWrite& write : captured.graph->state_writes())
        to.eager.push_back(written_.at(captured.variables[static_cast<std::size_t>(write.parameter)]->id)[run]);
    }
    result_.graph = captured.graph;
    result_.graph->verify();
    return std::move(result_);
  }

  void bind(const graph::Captured& captured, std::size_t run, std::vector<Value>& inputs) const {
    std::size_t next_argument = 0;
    for (std::size_t i = 0; i < captured.graph->parameters().size(); ++i) {
      graph::ParameterKind kind = captured.graph->parameters()[i].kind;
      inputs.push_back(kind == graph::ParameterKind::argument   ? arguments_[next_argument++][run]
                       : kind == graph::ParameterKind::variable ? graph::read_variable(captured.variables[i])
                                                                : captured.captures[i]);
    }
  }

  Rng rng_;
  FuzzOptions options_;
  Trace trace_;
  std::optional<graph::Tape> tape_, eager_tape_;  ///< of the trace, and of the runs
  FuzzCase result_;
  std::vector<Symbol> symbols_;
  std::vector<Twin> pool_, sources_, gradients_;
  std::vector<std::vector<Value>> arguments_;
  std::vector<graph::VariablePtr> variables_;
  std::map<std::uint64_t, std::vector<Value>> written_;
  std::set<const graph::ValueImpl*> used_;  ///< operands of some op
};

}  // namespace

FuzzOptions options_of(std::uint64_t seed) {
  Rng rng(seed ^ 0x9e3779b97f4a7c15);
  FuzzOptions options;
  double size = rng.uniform();
  options.max_nodes = size < 0.75 ? 12 : size < 0.97 ? 30 : 80;
  if (rng.chance(0.02)) {
    options.max_nodes = 5;
    options.max_elements = 20000;
  }
  options.symbolic = rng.chance(0.25);
  options.gradients = rng.chance(0.25);
  return options;
}

FuzzCase random_case(std::uint64_t seed, const FuzzOptions& options) {
  LocationScope line({"fuzz.cpp", 1});
  return Generator(seed, options).run();
}

}  // namespace kiln::testing
