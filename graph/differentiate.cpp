// The differentiator: the vjp of every op, and the reverse walk over a tape's log.
#include "graph/differentiate.h"

#include <optional>
#include <unordered_map>

#include "base/require.h"
#include "graph/tape_log.h"
#include "graph/thread_state.h"
#include "graph/value_ops.h"
#include "ops/all_elementwise.h"
#include "ops/structural.h"

namespace kiln::graph {

namespace {

using Vjp = std::vector<Value> (*)(const Value& g, const Value& y, std::span<const Value> operands, const Attrs& attrs);

template <class Op>
std::vector<Value> elementwise_vjp(const Value& g, const Value& y, std::span<const Value> operands, const Attrs&) {
  auto gradients = ops::call_vjp<Op, Value>(g, y, operands);
  return {gradients.begin(), gradients.end()};
}

template <class Op>
concept HasStructuralVjp =
    requires(const Value& v, std::span<const Value> operands, const Attrs& attrs) { Op::template vjp<Value>(v, v, operands, attrs); };

/// Indexed by op; absent where the op has no gradient.
const std::unordered_map<const ops::OpDef*, Vjp>& vjp_table() {
  static const auto* table = [] {
    auto* t = new std::unordered_map<const ops::OpDef*, Vjp>;
    ops::for_each_op(ops::AllElementwise{}, [&]<class Op>(std::type_identity<Op>) {
      if constexpr (ops::Differentiable<Op>) (*t)[&ops::op(Op::name)] = &elementwise_vjp<Op>;
    });
    ops::for_each_op(ops::StructuralOps{}, [&]<class Op>(std::type_identity<Op>) {
      if constexpr (HasStructuralVjp<Op>) (*t)[&ops::op(Op::name)] = &Op::template vjp<Value>;
    });
    return t;
  }();
  return *table;
}

/// Restores the mask of needed gradients.
class NeededScope {
 public:
  explicit NeededScope(std::uint32_t needed) : saved_(thread_state.needed_operands) { thread_state.needed_operands = needed; }
  ~NeededScope() { thread_state.needed_operands = saved_; }
  NeededScope(const NeededScope&) = delete;
  NeededScope& operator=(const NeededScope&) = delete;

 private:
  std::uint32_t saved_;
};

/// One reverse walk over the log as it was when the walk began.
class ReverseWalk {
 public:
  ReverseWalk(Tape::Impl& tape, bool release) : tape_(tape), release_(release), count_(tape.entries.size()) {
    gradients_.resize(static_cast<std::size_t>(tape.num_ids));
    on_path_.resize(gradients_.size());
    is_source_.resize(gradients_.size());
  }

  void add_source(const Value& v) {
    std::int32_t id = tape_.id_of(v);
    if (id < 0) return;
    on_path_[static_cast<std::size_t>(id)] = true;
    is_source_[static_cast<std::size_t>(id)] = true;
  }

  void run(std::int32_t target, Value seed) {
    mark_path();
    gradients_[static_cast<std::size_t>(target)] = std::move(seed);
    for (std::size_t i = count_; i-- > 0;) {
      step(i);
      if (release_) free_entry(tape_.entries[i]);
    }
  }

  Value gradient(const Value& source) const {
    std::int32_t id = tape_.id_of(source);
    return id >= 0 ? gradients_[static_cast<std::size_t>(id)] : Value{};
  }

 private:
  /// What the sources reach: gradients of anything else are not computed.
  void mark_path() {
    for (std::size_t i = 0; i < count_; ++i) {
      const LogEntry& entry = tape_.entries[i];
      bool reached = false;
      for (std::uint32_t k = 0; k < entry.num_operands; ++k) reached |= on_path(tape_.operand_ids[entry.first_operand + k]);
      if (reached) on_path_[static_cast<std::size_t>(entry.result_id)] = true;
    }
  }

  bool on_path(std::int32_t id) const { return id >= 0 && on_path_[static_cast<std::size_t>(id)]; }

  void step(std::size_t index) {
    // The walk itself may be logged on this tape, so nothing may point into its vectors.
    LogEntry entry = tape_.entries[index];
    Value g = gradients_[static_cast<std::size_t>(entry.result_id)];
    if (!g.defined()) return;
    auto first = tape_.operands.begin() + entry.first_operand;
    std::vector<Value> operands(first, first + entry.num_operands);
    std::vector<std::int32_t> ids(tape_.operand_ids.begin() + entry.first_operand,
                                  tape_.operand_ids.begin() + entry.first_operand + entry.num_operands);
    std::uint32_t needed = 0;
    for (std::size_t k = 0; k < ids.size(); ++k) needed |= on_path(ids[k]) ? 1u << (k < 31 ? k : 31) : 0u;
    if (needed == 0) return;
    std::optional<LocationOverride> line;
    if (entry.loc.known()) line.emplace(entry.loc);
    std::vector<Value> gradients = call_vjp(*entry.op, g, entry.result, operands, entry.attrs, needed);
    for (std::size_t k = 0; k < ids.size(); ++k) {
      if (on_path(ids[k]) && gradients[k].defined()) accumulate(ids[k], sum_to_shape(gradients[k], operands[k].shape()));
    }
    if (!is_source_[static_cast<std::size_t>(entry.result_id)]) gradients_[static_cast<std::size_t>(entry.result_id)] = {};
  }

  void accumulate(std::int32_t id, Value g) {
    Value& sum = gradients_[static_cast<std::size_t>(id)];
    sum = sum.defined() ? sum + g : std::move(g);
  }

  void free_entry(LogEntry& entry) {
    entry.result = {};
    for (std::uint32_t k = 0; k < entry.num_operands; ++k) tape_.operands[entry.first_operand + k] = {};
  }

  Tape::Impl& tape_;
  bool release_;
  std::size_t count_;
  std::vector<Value> gradients_;  ///< by id
  std::vector<bool> on_path_;
  std::vector<bool> is_source_;
};

Value checked_seed(const Value& seed, const Value& target) {
  if (!seed.defined()) return Value::full(target.type(), 1.0);
  if (seed.weak()) return Value::full(target.type(), seed);
  KILN_REQUIRE(seed.dtype() == target.dtype(), DTypeError, "gradient: the output gradient is {}, the target {}", seed.type().str(),
               target.type().str());
  KILN_REQUIRE(seed.shape() == target.shape(), ShapeError, "gradient: the output gradient is {}, the target {}", seed.type().str(),
               target.type().str());
  return seed;
}

}  // namespace

std::vector<Value> call_vjp(const ops::OpDef& op, const Value& g, const Value& y, std::span<const Value> operands, const Attrs& attrs,
                            std::uint32_t needed) {
  auto found = vjp_table().find(&op);
  KILN_REQUIRE(found != vjp_table().end(), ValueError, "{} has no gradient", op.name);
  NeededScope scope(needed);
  std::vector<Value> gradients = found->second(g, y, operands, attrs);
  gradients.resize(operands.size());
  return gradients;
}

bool stops_gradients(const ops::OpDef& op) { return op.kind == ops::OpKind::elementwise && !op.differentiable; }

Value sum_to_shape(const Value& g, const Shape& shape) {
  if (g.shape() == shape) return g;
  if (g.shape().rank() < shape.rank()) return ops::broadcast_to(g, shape);
  int extra = g.shape().rank() - shape.rank();
  Ints axes;
  for (int i = 0; i < g.shape().rank(); ++i) {
    if (i < extra || g.shape()[i] != shape[i - extra]) axes.push_back(i);
  }
  // A gradient that is smaller than its operand (a constant that vjp left unbroadcast) stretches instead.
  for (std::int64_t axis : axes) {
    if (axis >= extra && shape[axis - extra] != 1) return ops::broadcast_to(g, shape);
  }
  return ops::reshape(ops::reduce_sum(g, axes), shape);
}

std::vector<Value> Tape::gradient(const Value& target, std::span<const Value> sources, const Value& seed, bool release) {
  Impl& tape = *impl_;
  KILN_REQUIRE(!tape.used_up, StateError, "gradient: this tape's log was used up by its first gradient; make the tape persistent");
  KILN_REQUIRE(target.defined(), ValueError, "gradient: the target is undefined");
  std::vector<Value> result(sources.size());
  if (release) {
    stop();
    tape.used_up = true;
  }
  std::int32_t target_id = tape.id_of(target);
  if (target_id >= 0) {
    ReverseWalk walk(tape, release);
    std::vector<std::vector<Value>> reads(sources.size());
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (!sources[i].defined()) continue;
      reads[i] = {sources[i]};
      // A variable counts under every value that it had.
      for (const auto& [id, values] : tape.variables) {
        if (values.front() == sources[i]) reads[i] = values;
      }
      for (const Value& v : reads[i]) walk.add_source(v);
    }
    walk.run(target_id, checked_seed(seed, target));
    for (std::size_t i = 0; i < sources.size(); ++i) {
      for (const Value& v : reads[i]) {
        Value g = walk.gradient(v);
        if (g.defined()) result[i] = result[i].defined() ? result[i] + g : g;
      }
    }
  }
  if (release) {
    tape.entries = {};
    tape.operands = {};
    tape.operand_ids = {};
    tape.watched = {};
  }
  return result;
}

}  // namespace kiln::graph
