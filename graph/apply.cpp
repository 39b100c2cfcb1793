// apply(): how an op meets its operands, eager or traced.
#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>

#include "base/require.h"
#include "base/span_log.h"
#include "graph/op_spans.h"
#include "graph/symbolic.h"
#include "graph/thread_state.h"
#include "graph/trace.h"
#include "graph/value.h"
#include "graph/weak.h"
#include "ops/build.h"

namespace kiln::graph {

namespace {

/// The dtype that weak operands of this call take, and whether all operands are weak.
struct WeakTarget {
  DType dtype = DType::float32;
  bool all_weak = true;
};

bool is_condition(const ops::OpDef& op, std::size_t operand) { return op.types == ops::TypeRule::select && operand == 0; }

/// Of several numbers: float64 if one is a float, else int64, or bool if all are; what they are computed in.
DType common_weak_dtype(const ops::OpDef& op, std::span<const Value> operands) {
  DType common = DType::boolean;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (is_condition(op, i) || operands[i].dtype() == DType::boolean) continue;
    if (operands[i].dtype() == DType::float32) {
      common = DType::float64;
    } else if (common == DType::boolean) {
      common = DType::int64;
    }
  }
  if (op.types == ops::TypeRule::floating || op.types == ops::TypeRule::predicate) return DType::float64;
  return common;
}

WeakTarget weak_target(const ops::OpDef& op, std::span<const Value> operands) {
  WeakTarget target;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (operands[i].weak()) continue;
    target.all_weak = false;
    if (is_condition(op, i)) continue;
    target.dtype = operands[i].dtype();
    return target;
  }
  if (target.all_weak) {
    target.dtype = common_weak_dtype(op, operands);
    return target;
  }
  // where(tensor, 1, 2): the numbers decide among themselves, at the dtype that they show.
  DType common = common_weak_dtype(op, operands);
  target.dtype = common == DType::float64 ? DType::float32 : common == DType::int64 ? operands[operands.size() - 1].dtype() : common;
  return target;
}

DType operand_dtype(const ops::OpDef& op, std::size_t operand, const WeakTarget& target) {
  return is_condition(op, operand) ? DType::boolean : target.dtype;
}

/// An eager result; weak if it comes of numbers alone.
Value finish_eager(TensorType type, runtime::Buffer buffer, bool all_weak) {
  if (all_weak && type.dtype != DType::boolean) return weak_from(type.dtype, buffer.data());
  return Value::eager(type, std::move(buffer));
}

/// Arguments of infer and kernel. `types` and `views` are raw memory for one entry an operand; `scratch` holds weak operands' elements.
struct EagerFrame {
  TensorType* types;
  ops::View* views;
  std::uint64_t* scratch;
};

constexpr std::size_t kLargeZeros = 1 << 20;  ///< bytes of zeros that the system may have at hand

/// Whether the op broadcasts one number whose bits are zero.
bool repeats_zero(const ops::OpDef& op, const ops::View& operand) {
  static const ops::OpDef& broadcast = ops::op("broadcast");
  if (&op != &broadcast || operand.shape.count() != 1) return false;
  constexpr std::byte zero[8] = {};
  return std::memcmp(operand.data, zero, size_of(operand.dtype)) == 0;
}

/// An operand of the result's type whose only handle is the one given; null if there is none.
const ValueImpl* reusable(const ops::OpDef& op, std::span<const Value> operands, const TensorType& type) {
  if (op.kind != ops::OpKind::elementwise) return nullptr;
  for (const Value& v : operands) {
    const ValueImpl& body = *v.get();
    bool sole = !body.weak && body.references.load(std::memory_order_acquire) == 1 && body.buffer.unique();
    if (sole && body.type == type) return &body;
  }
  return nullptr;
}

/// `consume`: the operands are not needed afterwards.
Value run_eager(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs, EagerFrame frame, bool consume) {
  bool any_weak = false;
  for (const Value& v : operands) any_weak |= v.weak();
  WeakTarget target;
  target.all_weak = false;
  if (any_weak) target = weak_target(op, operands);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const ValueImpl& body = *operands[i].get();
    if (body.weak) {
      DType dtype = operand_dtype(op, i, target);
      store_weak(operands[i], dtype, &frame.scratch[i]);
      new (&frame.types[i]) TensorType{dtype, {}};
      new (&frame.views[i]) ops::View{&frame.scratch[i], dtype, {}};
    } else {
      new (&frame.types[i]) TensorType(body.type);
      new (&frame.views[i]) ops::View{body.buffer.data(), body.type.dtype, body.type.shape};
    }
  }
  TensorType type = op.infer(op, {frame.types, operands.size()}, attrs);
  if (op.traits.view && !operands.empty() && !operands[0].weak()) return Value::eager(type, operands[0].get()->buffer);
  const std::size_t bytes = static_cast<std::size_t>(type.shape.count()) * size_of(type.dtype);
  if (bytes >= kLargeZeros && operands.size() == 1 && repeats_zero(op, frame.views[0]))
    return Value::eager(type, runtime::Buffer::zeroed(bytes));
  const ValueImpl* own = consume ? reusable(op, operands, type) : nullptr;
  runtime::Buffer buffer = own != nullptr ? own->buffer : runtime::Buffer::allocate(bytes);
  op.kernel(op, {frame.views, operands.size()}, {buffer.data(), type.dtype, type.shape}, attrs);
  return finish_eager(type, std::move(buffer), target.all_weak && op.kind == ops::OpKind::elementwise);
}

static_assert(std::is_trivially_destructible_v<TensorType> && std::is_trivially_destructible_v<ops::View>);

/// Memory for the frame of a call with few operands. Zeroing it would cost as much as a small kernel.
template <std::size_t N>
struct SmallFrame {
  alignas(TensorType) std::byte types[N * sizeof(TensorType)];
  alignas(ops::View) std::byte views[N * sizeof(ops::View)];
  std::uint64_t scratch[N];

  SmallFrame() {}  // NOLINT: uninitialized on purpose
  EagerFrame frame() { return {reinterpret_cast<TensorType*>(types), reinterpret_cast<ops::View*>(views), scratch}; }
};

Value apply_eager(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs, bool consume = false) {
  for (const Value& v : operands) {
    if (v.symbolic()) [[unlikely]]
      fail_leaked(v, op.name);
  }
  if (operands.size() <= 3) {
    SmallFrame<3> memory;
    return run_eager(op, operands, attrs, memory.frame(), consume);
  }
  std::vector<TensorType> types(operands.size());
  std::vector<ops::View> views(operands.size());
  std::vector<std::uint64_t> scratch(operands.size());
  return run_eager(op, operands, attrs, {types.data(), views.data(), scratch.data()}, consume);
}

/// apply_eager for a profile.
Value apply_recorded(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs) {
  OpSpan span(op);
  Value result = apply_eager(op, operands, attrs);
  span.finish(operands, attrs, result);
  return result;
}

Value constant_node(const Literal& literal) { return ops::constant<Value>(literal); }

/// Every operand of the result's shape, as a graph wants it: broadcasts are nodes of their own.
Value broadcast_in_trace(const Value& v, const Shape& shape) {
  NoTapeScope no_tape;
  return ops::broadcast_to(v, shape);
}

Value apply_traced(Trace& trace, const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs) {
  bool any_weak = false, all_weak = !operands.empty();
  for (const Value& v : operands) {
    any_weak |= v.weak();
    all_weak &= v.weak();
  }
  if (all_weak && op.kind == ops::OpKind::elementwise) return apply_eager(op, operands, attrs);
  WeakTarget target;
  if (any_weak) target = weak_target(op, operands);
  if (op.kind == ops::OpKind::elementwise) trace.meet(operands);
  const bool resolve = trace.has_equal_symbols();
  std::vector<TensorType> types;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    types.push_back(resolve ? trace.resolved(operands[i].type()) : operands[i].type());
    if (operands[i].weak()) types.back().dtype = operand_dtype(op, i, target);
  }
  TensorType type = op.infer(op, types, resolve ? trace.resolved(attrs) : attrs);
  std::vector<NodeId> nodes;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    Value v = operands[i].weak() ? constant_node(scalar_literal(operands[i], types[i].dtype)) : operands[i];
    NodeId node = trace.node_of(v, op.name);
    if (op.kind == ops::OpKind::elementwise && (resolve ? trace.resolved(v.type()).shape : v.shape()) != type.shape)
      node = trace.node_of(broadcast_in_trace(v, type.shape));
    nodes.push_back(node);
  }
  return trace.append(op, std::move(nodes), attrs, type);
}

}  // namespace

Value apply(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs) {
  for (std::size_t i = 0; i < operands.size(); ++i) {
    KILN_REQUIRE(operands[i].defined(), ValueError, "{}: operand {} is an undefined tensor; give it a value first", op.name, i);
  }
  const ThreadState& state = thread_state;
  Value result = state.trace != nullptr ? apply_traced(*state.trace, op, operands, attrs)
                 : spans_wanted()       ? apply_recorded(op, operands, attrs)
                                        : apply_eager(op, operands, attrs);
  if (state.tapes != nullptr) log_op(op, operands, attrs, result);
  return result;
}

Value apply_consuming(const ops::OpDef& op, std::vector<Value> operands, const Attrs& attrs) {
  bool plain = thread_state.trace == nullptr && !spans_wanted();
  for (const Value& v : operands) plain = plain && v.defined() && !v.get()->maybe_watched.load(std::memory_order_relaxed);
  return plain ? apply_eager(op, operands, attrs, true) : apply(op, operands, attrs);
}

Value Value::apply(std::string_view op, std::span<const Value> operands, const Attrs& attrs) {
  return graph::apply(ops::op(op), operands, attrs);
}

Value Value::full(const TensorType& type, const Value& scalar) {
  Value element = constant_node(scalar_literal(scalar, type.dtype));
  return ops::broadcast(element, type.shape, {});
}

bool Value::needs_gradient(int operand) { return (thread_state.needed_operands >> (operand < 31 ? operand : 31) & 1u) != 0; }

}  // namespace kiln::graph
