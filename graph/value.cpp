// Values: pooled bodies, weak scalars, and the way between tensors and literals.
#include "graph/value.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "base/half.h"
#include "base/require.h"
#include "graph/symbolic.h"
#include "graph/thread_state.h"
#include "graph/weak.h"

namespace kiln::graph {

constinit thread_local ThreadState thread_state;

namespace {

// Bodies freed by this thread, kept for its next ones. Trivially destructible, so that values may die late in a thread's life;
// the reaper, made with the first body, empties it.
struct BodyPool {
  static constexpr int kCapacity = 256;
  void* bodies[kCapacity];
  int count;
  bool closed;
};
constinit thread_local BodyPool body_pool = {};

struct PoolReaper {
  ~PoolReaper() {
    body_pool.closed = true;
    while (body_pool.count > 0) ::operator delete(body_pool.bodies[--body_pool.count]);
  }
};

[[gnu::noinline]] void* new_body_memory() {
  thread_local PoolReaper reaper;
  static_cast<void>(reaper);
  return ::operator new(sizeof(ValueImpl));
}

ValueImpl* new_body() {
  BodyPool& pool = body_pool;
  void* memory = pool.count > 0 ? pool.bodies[--pool.count] : new_body_memory();
  return new (memory) ValueImpl;
}

template <class T>
void store(double x, T* out) {
  if constexpr (std::same_as<T, float16>) {
    *out = to_float16(x);
  } else if constexpr (std::same_as<T, bfloat16>) {
    *out = to_bfloat16(x);
  } else {
    *out = static_cast<T>(x);
  }
}

bool fits(std::int64_t x, DType dtype) {
  switch (dtype) {
    case DType::uint8:
      return x >= 0 && x <= 255;
    case DType::int8:
      return x >= -128 && x <= 127;
    case DType::int32:
      return x >= std::numeric_limits<std::int32_t>::min() && x <= std::numeric_limits<std::int32_t>::max();
    default:
      return true;
  }
}

bool all_elements_equal(const std::byte* data, std::size_t element, std::size_t bytes) {
  return bytes <= element || std::memcmp(data, data + element, bytes - element) == 0;
}

}  // namespace

Value new_value(TensorType type) {
  ValueImpl* body = new_body();
  body->type = type;
  return Value(body);
}

void Value::release() {
  if (impl_->references.load(std::memory_order_acquire) != 1 && impl_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  impl_->~ValueImpl();
  BodyPool& pool = body_pool;
  if (pool.count < BodyPool::kCapacity && !pool.closed) {
    pool.bodies[pool.count++] = impl_;
  } else {
    ::operator delete(impl_);
  }
}

Value::Value(double scalar) : impl_(new_body()) {
  impl_->weak = true;
  impl_->scalar = scalar;
  impl_->type = {DType::float32, {}};
}

Value Value::weak_integer(std::int64_t scalar, bool boolean) {
  Value v = new_value({boolean ? DType::boolean : fits(scalar, DType::int32) ? DType::int32 : DType::int64, {}});
  v.impl_->weak = true;
  v.impl_->integer = scalar;
  v.impl_->scalar = static_cast<double>(scalar);
  return v;
}

Value Value::eager(TensorType type, runtime::Buffer buffer) {
  Value v = new_value(type);
  v.impl_->buffer = std::move(buffer);
  return v;
}

runtime::Buffer Value::buffer() const {
  if (symbolic()) fail_not_a_number(*this, "reading the elements of a tensor");
  if (weak()) return strong(*this).buffer();
  return impl_->buffer;
}

void store_weak(const Value& v, DType dtype, void* out) {
  const ValueImpl& body = *v.get();
  if (body.type.dtype == DType::float32) {
    KILN_REQUIRE(is_floating(dtype), DTypeError, "the number {} does not mix with a tensor of dtype {}; convert one of them with cast()",
                 body.scalar, name(dtype));
    visit_dtype(dtype, [&]<class T>(std::type_identity<T>) { store(body.scalar, static_cast<T*>(out)); });
    return;
  }
  if (is_floating(dtype)) {
    visit_dtype(dtype, [&]<class T>(std::type_identity<T>) { store(body.scalar, static_cast<T*>(out)); });
    return;
  }
  KILN_REQUIRE(dtype != DType::boolean || body.type.dtype == DType::boolean, DTypeError,
               "the number {} does not mix with a tensor of dtype bool; convert the tensor with cast()", body.integer);
  KILN_REQUIRE(fits(body.integer, dtype), ValueError, "the number {} does not fit into dtype {}; convert the tensor with cast()",
               body.integer, name(dtype));
  if (dtype == DType::boolean) {
    *static_cast<bool*>(out) = body.integer != 0;
    return;
  }
  // Integers go by their own path: a double would lose bits of an int64.
  std::memcpy(out, &body.integer, size_of(dtype));
}

Value strong(const Value& v, DType dtype) {
  if (!v.weak()) return v;
  runtime::Buffer buffer = runtime::Buffer::allocate(size_of(dtype));
  store_weak(v, dtype, buffer.data());
  return Value::eager({dtype, {}}, std::move(buffer));
}

Value strong(const Value& v) { return v.weak() ? strong(v, v.dtype()) : v; }

Value alias(const Value& v) {
  const ValueImpl& from = *v.get();
  Value copy = new_value(from.type);
  ValueImpl& to = *copy.get();
  to.weak = from.weak;
  to.node = from.node;
  to.buffer = from.buffer;
  to.trace = from.trace;
  to.scalar = from.scalar;
  to.integer = from.integer;
  to.loc = from.loc;
  return copy;
}

Literal literal_of(const Value& v) {
  runtime::Buffer buffer = v.buffer();
  const auto* data = static_cast<const std::byte*>(buffer.data());
  std::size_t element = size_of(v.dtype());
  std::size_t bytes = static_cast<std::size_t>(v.shape().count()) * element;
  Literal literal;
  literal.type = v.type();
  literal.splat = bytes > 0 && all_elements_equal(data, element, bytes);
  literal.bytes = std::make_shared<const std::vector<std::byte>>(data, data + (literal.splat ? element : bytes));
  return literal;
}

Value value_of(const Literal& literal) {
  std::size_t element = size_of(literal.type.dtype);
  std::size_t bytes = static_cast<std::size_t>(literal.type.shape.count()) * element;
  runtime::Buffer buffer = runtime::Buffer::allocate(bytes);
  auto* out = static_cast<std::byte*>(buffer.data());
  if (!literal.splat) {
    std::memcpy(out, literal.bytes->data(), bytes);
  } else {
    for (std::size_t at = 0; at < bytes; at += element) std::memcpy(out + at, literal.bytes->data(), element);
  }
  return Value::eager(literal.type, std::move(buffer));
}

Literal scalar_literal(const Value& weak, DType dtype) {
  auto bytes = std::make_shared<std::vector<std::byte>>(size_of(dtype));
  store_weak(weak, dtype, bytes->data());
  return {{dtype, {}}, true, std::move(bytes)};
}

Value weak_from(DType dtype, const void* data) {
  return visit_dtype(dtype, [&]<class T>(std::type_identity<T>) -> Value {
    if constexpr (std::is_arithmetic_v<T>) {
      return Value(*static_cast<const T*>(data));
    } else {
      return Value(static_cast<double>(to_float(*static_cast<const T*>(data))));
    }
  });
}

}  // namespace kiln::graph
