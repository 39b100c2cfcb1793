// Value: what ops apply to, a buffer when eager and a node of a graph while tracing. Tensor is a Value with manners.
#pragma once
#include <kiln/dtype.h>
#include <kiln/shape.h>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "ops/op.h"
#include "runtime/buffer.h"

namespace kiln::graph {

class Trace;

/// The body of a Value. Immutable after construction but for the reference count and the mark of tapes.
struct ValueImpl {
  std::atomic<std::uint32_t> references{1};
  std::atomic<bool> maybe_watched{false};  ///< some tape has watched it: worth a look-up
  bool weak = false;                       ///< a bare C++ scalar: its dtype yields to the other operand's; it has no buffer
  NodeId node = -1;                        ///< symbolic: its node there
  TensorType type;                         ///< weak: bool, int32 or float32, the type it has when nothing else decides
  runtime::Buffer buffer;                  ///< eager; undefined when symbolic or weak
  std::uint64_t trace = 0;                 ///< symbolic: id of the trace it belongs to; 0 when eager
  double scalar = 0;                       ///< weak: the number
  std::int64_t integer = 0;                ///< weak and not float32: the number, exactly
  Loc loc;                                 ///< symbolic: where it was made
};

/// Counted handle to a ValueImpl; may be undefined.
class Value {
 public:
  Value() = default;
  explicit Value(ValueImpl* adopted) : impl_(adopted) {}
  Value(const Value& o) : impl_(o.impl_) { retain(); }
  Value(Value&& o) noexcept : impl_(std::exchange(o.impl_, nullptr)) {}
  Value& operator=(Value o) noexcept {
    std::swap(impl_, o.impl_);
    return *this;
  }
  ~Value() {
    if (impl_ != nullptr) release();
  }

  /// A weak rank-0 constant: "x * 2.0". Integers stay integers: "n / 2".
  Value(double scalar);
  template <std::integral I>
  Value(I scalar) : Value(weak_integer(static_cast<std::int64_t>(scalar), std::same_as<I, bool>)) {}
  /// An eager tensor over a buffer that holds exactly type's bytes.
  static Value eager(TensorType type, runtime::Buffer buffer);
  /// A tensor of that type with every element equal to the weak `scalar`: a constant and a broadcast.
  static Value full(const TensorType& type, const Value& scalar);
  /// apply(ops::op(name), ...): what the templates of ops/ call.
  static Value apply(std::string_view op, std::span<const Value> operands, const Attrs& attrs = {});
  /// Inside a vjp: whether the gradient of that operand is used. Expensive ones ask.
  static bool needs_gradient(int operand);

  bool defined() const { return impl_ != nullptr; }
  bool symbolic() const { return impl_->trace != 0; }
  bool weak() const { return impl_->weak; }
  const TensorType& type() const { return impl_->type; }
  DType dtype() const { return impl_->type.dtype; }
  const Shape& shape() const { return impl_->type.shape; }
  /// The elements of an eager value (of a weak one: a fresh buffer of its dtype). Throws TraceError if symbolic.
  runtime::Buffer buffer() const;
  ValueImpl* get() const { return impl_; }
  ValueImpl* leak() { return std::exchange(impl_, nullptr); }
  friend bool operator==(const Value& a, const Value& b) { return a.impl_ == b.impl_; }

 private:
  static Value weak_integer(std::int64_t scalar, bool boolean);
  void retain() const {
    if (impl_ != nullptr) impl_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release();
  ValueImpl* impl_ = nullptr;
};

/// `v` itself, or a weak scalar as an eager rank-0 tensor of its default dtype.
Value strong(const Value& v);
/// A weak scalar as an eager rank-0 tensor of that dtype. DTypeError for a weak float that would become an integer, ValueError if the
/// number does not fit.
Value strong(const Value& v, DType dtype);
/// Another identity for the same contents: tapes tell them apart.
Value alias(const Value& v);
/// An eager value's contents as a constant attribute; a splat if all elements have equal bits.
Literal literal_of(const Value& v);
/// The eager tensor that a literal describes.
Value value_of(const Literal& literal);

/// The one way to apply an op. Broadcasts and converts weak scalars for elementwise ops (weak against float32 is float32, against int32
/// int32); runs the eager kernel, or appends to the current trace; logs on the tapes that watch an operand. Ops on weak scalars alone give
/// weak scalars. Throws what the op's infer throws, and TraceError for a symbolic operand of a closed trace.
Value apply(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs = {});
/// The same, for operands that are not needed afterwards: the result may take the memory of one that nobody else holds.
Value apply_consuming(const ops::OpDef& op, std::vector<Value> operands, const Attrs& attrs);
/// The same while nothing is logged: `operands` are tied to `result` on the tapes that watch one of them.
void log_op(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs, const Value& result);

}  // namespace kiln::graph
