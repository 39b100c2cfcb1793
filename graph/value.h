// Value: what ops apply to, a buffer when eager and a node of a graph while tracing. Tensor is a Value with manners.
#pragma once
#include <kiln/dtype.h>
#include <kiln/shape.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <utility>

#include "graph/graph.h"
#include "ops/op.h"
#include "runtime/buffer.h"

namespace kiln::graph {

class Trace;

/// The body of a Value. Immutable after construction but for the reference count.
struct ValueImpl {
  std::atomic<std::uint32_t> references{1};
  bool weak = false;            ///< a bare C++ scalar: its dtype yields to the other operand's
  TensorType type;
  runtime::Buffer buffer;       ///< eager; undefined when symbolic
  std::uint64_t trace = 0;      ///< symbolic: id of the trace it belongs to; 0 when eager
  NodeId node = -1;             ///< symbolic: its node there
};

/// Counted handle to a ValueImpl; may be undefined.
class Value {
 public:
  Value() = default;
  explicit Value(ValueImpl* adopted) : impl_(adopted) {}
  Value(const Value& o) : impl_(o.impl_) { retain(); }
  Value(Value&& o) noexcept : impl_(std::exchange(o.impl_, nullptr)) {}
  Value& operator=(Value o) noexcept { std::swap(impl_, o.impl_); return *this; }
  ~Value() { release(); }

  /// A weak rank-0 constant: "x * 2.0".
  Value(double scalar);
  /// An eager tensor over a buffer that holds exactly type's bytes.
  static Value eager(TensorType type, runtime::Buffer buffer);

  bool defined() const { return impl_ != nullptr; }
  bool symbolic() const { return impl_->trace != 0; }
  const TensorType& type() const { return impl_->type; }
  DType dtype() const { return impl_->type.dtype; }
  const Shape& shape() const { return impl_->type.shape; }
  ValueImpl* get() const { return impl_; }
  ValueImpl* leak() { return std::exchange(impl_, nullptr); }
  friend bool operator==(const Value& a, const Value& b) { return a.impl_ == b.impl_; }

 private:
  void retain() const { if (impl_ != nullptr) impl_->references.fetch_add(1, std::memory_order_relaxed); }
  void release();
  ValueImpl* impl_ = nullptr;
};

/// The one way to apply an op. Broadcasts and converts weak scalars for elementwise ops (weak against float32 is float32, against int32 int32);
/// runs the eager kernel, or appends to the current trace; logs on the tapes that watch an operand.
/// Throws what the op's infer throws, and TraceError for a symbolic operand of a closed trace.
Value apply(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs = {});

}  // namespace kiln::graph
