// Tensor: an immutable array of numbers, eager by default; Arg: an operand and the line where it was written; operators and constructors.
#pragma once
#include <kiln/dtype.h>
#include <kiln/error.h>
#include <kiln/loc.h>
#include <kiln/shape.h>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace kiln {

namespace graph {
struct ValueImpl;
}
class Arg;
class Tensor;
struct Slice;

namespace detail {

struct Access;

/// The region (trace) in which this thread runs; a Tensor remembers the one it was born in, so that assignments from an inner one can be
/// undone.
extern constinit thread_local std::uint32_t current_region;

void retain(graph::ValueImpl* value) noexcept;
void release(graph::ValueImpl* value) noexcept;
/// Bookkeeping for Tensor objects of an outer region that are assigned, moved or destroyed while a function is traced.
void assigning_outer(Tensor& object) noexcept;
void moving_outer(Tensor& from, Tensor& to) noexcept;
void destroying_outer(Tensor& object) noexcept;

graph::ValueImpl* weak_scalar(double value);
graph::ValueImpl* weak_scalar(std::int64_t value);
graph::ValueImpl* bool_scalar(bool value);

/// An integer of any type, without a narrowing error in braces.
struct Int {
  std::int64_t value;
  template <std::integral I>
  constexpr Int(I n) : value(static_cast<std::int64_t>(n)) {}
};

}  // namespace detail

/// A range of one axis, as in NumPy: start and stop may be negative or absent, step may be negative.
struct Slice {
  std::optional<std::int64_t> start = {};
  std::optional<std::int64_t> stop = {};
  std::int64_t step = 1;
};

/// "All axes not named here" in an index.
struct Ellipsis {};
inline constexpr Ellipsis ellipsis;
/// A new axis of length 1 in an index.
struct NewAxis {};
inline constexpr NewAxis newaxis;

namespace detail {

struct Index;
struct Indices;

}  // namespace detail

/// Counted handle to an immutable, contiguous, row-major array. Copying it is cheap and shares the elements.
class Tensor {
 public:
  /// Undefined; test with defined(), not with bool.
  Tensor() noexcept : region_(detail::current_region) {}
  /// Rank 0. Its dtype yields to the other operand's: `x * 2.0` has x's dtype.
  template <Scalar S>
  Tensor(S value) : Tensor(scalar(value)) {}
  Tensor(const Tensor& o) noexcept : impl_(o.impl_), region_(detail::current_region) { detail::retain(impl_); }
  Tensor(Tensor&& o) noexcept : impl_(std::exchange(o.impl_, nullptr)), region_(o.region_) {
    if (region_ != detail::current_region) [[unlikely]]
      detail::moving_outer(o, *this);
  }
  Tensor& operator=(const Tensor& o) & noexcept {
    if (region_ != detail::current_region) [[unlikely]]
      detail::assigning_outer(*this);
    detail::retain(o.impl_);
    detail::release(std::exchange(impl_, o.impl_));
    return *this;
  }
  Tensor& operator=(Tensor&& o) & noexcept {
    if (region_ != detail::current_region) [[unlikely]]
      detail::assigning_outer(*this);
    std::swap(impl_, o.impl_);
    return *this;
  }
  template <class T>
  void operator=(T&&) && = delete;  // a[0] = 5 does not compile: write a = a.set({0}, 5)
  ~Tensor() {
    if (region_ != detail::current_region) [[unlikely]]
      detail::destroying_outer(*this);
    detail::release(impl_);
  }

  bool defined() const { return impl_ != nullptr; }
  DType dtype() const;
  /// The lengths of the axes; those of a tensor inside a traced function may be symbolic.
  const Shape& shape() const;
  int rank() const { return shape().rank(); }
  /// Number of elements; throws TraceError if an axis is symbolic.
  std::int64_t size() const;

  /// The only element, converted to T. Throws ShapeError unless there is exactly one, TraceError inside a traced function.
  template <Scalar T>
  T item(Loc where = Loc::here()) const {
    if constexpr (std::integral<T>)
      return static_cast<T>(item_integer(where));
    else
      return static_cast<T>(item_double(where));
  }
  /// The elements, row-major. T must be the dtype's type (DTypeError). Valid while a handle to the tensor lives.
  template <class T>
  std::span<const T> span(Loc where = Loc::here()) const {
    return {static_cast<const T*>(data(dtype_of<T>(), where)), static_cast<std::size_t>(size())};
  }
  /// The value of the only element, as in `if (t)`.
  explicit operator bool() const;

  /// a[1], a[{1, Slice{0, 5}}], a[ids]: indices as in NumPy. Throws ShapeError.
  Tensor operator[](const detail::Indices& indices) const;
  /// A copy in which the elements at `indices` are `value` (broadcast there); where an integer tensor among the indices names one place
  /// twice, the last one counts. Throws RuntimeError for an element of such a tensor out of range.
  [[nodiscard]] Tensor set(const detail::Indices& indices, const Arg& value) const;

  /// Converted to another dtype: floats to integers truncate and saturate.
  Tensor astype(DType dtype, Loc where = Loc::here()) const;
  /// As NumPy prints it.
  std::string str() const;

 private:
  friend struct detail::Access;
  explicit Tensor(graph::ValueImpl* adopted) noexcept : impl_(adopted), region_(detail::current_region) {}
  template <Scalar S>
  static graph::ValueImpl* scalar(S value) {
    if constexpr (std::same_as<S, bool>)
      return detail::bool_scalar(value);
    else if constexpr (std::integral<S>)
      return detail::weak_scalar(static_cast<std::int64_t>(value));
    else
      return detail::weak_scalar(static_cast<double>(value));
  }
  std::int64_t item_integer(Loc where) const;
  double item_double(Loc where) const;
  const void* data(DType as, Loc where) const;

  graph::ValueImpl* impl_ = nullptr;
  std::uint32_t region_;
};

/// An operand and the place where it was written. Every op takes these, so that no op has a location parameter.
class Arg {
 public:
  Arg(const Tensor& tensor, Loc where = Loc::here()) : tensor_(tensor), where_(where) {}
  Arg(Tensor&& tensor, Loc where = Loc::here()) : tensor_(std::move(tensor)), where_(where) {}
  template <class T>
    requires(!std::same_as<T, Tensor> && !std::same_as<T, Arg> && std::convertible_to<const T&, Tensor>)
  Arg(const T& value, Loc where = Loc::here()) : tensor_(converted(value, where)), where_(where) {}

  const Tensor& tensor() const { return tensor_; }
  Loc loc() const { return where_; }

 private:
  /// Reading a Variable is under the user's line, too.
  template <class T>
  static Tensor converted(const T& value, Loc where) {
    if constexpr (Scalar<T>) {
      return Tensor(value);
    } else {
      LocationScope scope(where);
      return Tensor(value);
    }
  }
  Tensor tensor_;
  Loc where_;
};

namespace detail {

/// One subscript: an integer, a Slice, an integer Tensor (gathered), ellipsis or newaxis.
struct Index {
  enum class Kind : std::uint8_t { integer, slice, tensor, ellipsis, newaxis };
  Kind kind;
  std::int64_t integer = 0;
  Slice slice = {};
  Tensor tensor = {};

  template <std::integral I>
  Index(I n) : kind(Kind::integer), integer(static_cast<std::int64_t>(n)) {}
  Index(const Slice& s) : kind(Kind::slice), slice(s) {}
  Index(const Tensor& t) : kind(Kind::tensor), tensor(t) {}
  Index(Ellipsis) : kind(Kind::ellipsis) {}
  Index(NewAxis) : kind(Kind::newaxis) {}
};

/// The subscripts between the brackets, and where they were written.
struct Indices {
  std::vector<Index> list;
  Loc where;

  Indices(std::initializer_list<Index> l, Loc at = Loc::here()) : list(l), where(at) {}
  template <class T>
    requires(std::convertible_to<const T&, Index> && !std::same_as<T, Indices>)
  Indices(const T& only, Loc at = Loc::here()) : list{Index(only)}, where(at) {}
};

}  // namespace detail

// Arithmetic and comparison, element by element with NumPy's broadcasting. Errors name the line of the right operand.
// On integers / truncates and % has the sign of the dividend, as in C++. && and || are not overloaded: see logical_and, logical_or.
Tensor operator+(const Arg& a, const Arg& b);
Tensor operator-(const Arg& a, const Arg& b);
Tensor operator*(const Arg& a, const Arg& b);
Tensor operator/(const Arg& a, const Arg& b);
Tensor operator%(const Arg& a, const Arg& b);
Tensor operator-(const Arg& a);
Tensor operator!(const Tensor& a);
Tensor operator==(const Arg& a, const Arg& b);
Tensor operator!=(const Arg& a, const Arg& b);
Tensor operator<(const Arg& a, const Arg& b);
Tensor operator<=(const Arg& a, const Arg& b);
Tensor operator>(const Arg& a, const Arg& b);
Tensor operator>=(const Arg& a, const Arg& b);
Tensor& operator+=(Tensor& a, const Arg& b);
Tensor& operator-=(Tensor& a, const Arg& b);
Tensor& operator*=(Tensor& a, const Arg& b);
Tensor& operator/=(Tensor& a, const Arg& b);

/// Prints as NumPy does: 8 significant digits, aligned columns, "..." beyond 1000 elements.
std::ostream& operator<<(std::ostream& out, const Tensor& t);

/// All zeros, all ones, or all `value`.
Tensor zeros(const Shape& shape, DType dtype = DType::float32, Loc where = Loc::here());
Tensor ones(const Shape& shape, DType dtype = DType::float32, Loc where = Loc::here());
Tensor full(const Shape& shape, const Arg& value, std::optional<DType> dtype = {});
/// The same with the shape and dtype of x.
Tensor zeros_like(const Arg& x);
Tensor ones_like(const Arg& x);
/// The identity matrix of `rows` x `columns` (as many as rows if absent).
Tensor eye(std::int64_t rows, std::optional<std::int64_t> columns = {}, DType dtype = DType::float32, Loc where = Loc::here());
/// 0, 1, ... below `stop`; or start, start + step, ... before `stop`. Integers give int32 unless another dtype is asked for, doubles
/// float32.
Tensor arange(std::int64_t stop, DType dtype = DType::int32, Loc where = Loc::here());
Tensor arange(std::int64_t start, std::int64_t stop, std::int64_t step = 1, DType dtype = DType::int32, Loc where = Loc::here());
namespace detail {
Tensor arange_float(double start, double stop, double step, DType dtype, Loc where);
}
template <Scalar A, Scalar B, Scalar C>
  requires(std::floating_point<A> || std::floating_point<B> || std::floating_point<C>)
Tensor arange(A start, B stop, C step, DType dtype = DType::float32, Loc where = Loc::here()) {
  return detail::arange_float(static_cast<double>(start), static_cast<double>(stop), static_cast<double>(step), dtype, where);
}
/// `count` numbers evenly spaced from start to stop, both included.
Tensor linspace(double start, double stop, std::int64_t count = 50, DType dtype = DType::float32, Loc where = Loc::here());

namespace detail {

/// Copies `count` elements of type `from`, converted to `to`, into a tensor of that shape.
Tensor from_memory(const void* data, DType from, std::size_t count, const Shape& shape, DType to, Loc where);
[[noreturn]] void fail_ragged(Loc where);

template <class T>
constexpr DType literal_dtype() {
  if constexpr (std::same_as<T, double> || std::same_as<T, long double>)
    return DType::float32;
  else
    return dtype_of<T>();
}

template <class T>
struct Nested {
  static constexpr int depth = 0;
  using Element = T;
};
template <class T>
struct Nested<std::initializer_list<T>> {
  static constexpr int depth = 1 + Nested<T>::depth;
  using Element = typename Nested<T>::Element;
};

/// Appends the elements of nested braces, and checks that each level has one length.
template <class T, class Out>
void flatten(const std::initializer_list<T>& list, std::int64_t* lengths, Out* out, std::size_t& n, Loc where) {
  if (*lengths < 0) *lengths = static_cast<std::int64_t>(list.size());
  if (*lengths != static_cast<std::int64_t>(list.size())) fail_ragged(where);
  for (const T& item : list) {
    if constexpr (Nested<T>::depth == 0) {
      if (out != nullptr) out[n] = item;
      ++n;
    } else {
      flatten(item, lengths + 1, out, n, where);
    }
  }
}

template <class List>
Tensor from_lists(const List& lists, std::optional<DType> dtype, Loc where) {
  using Given = typename Nested<List>::Element;
  using Element = std::conditional_t<std::same_as<Given, long double>, double, Given>;
  constexpr int depth = Nested<List>::depth;
  std::int64_t lengths[depth];
  for (std::int64_t& length : lengths) length = -1;
  std::size_t count = 0;
  flatten(lists, lengths, static_cast<Element*>(nullptr), count, where);
  for (std::int64_t& length : lengths) length = length < 0 ? 0 : length;
  Element* elements = new Element[count];
  struct Guard {
    Element* p;
    ~Guard() { delete[] p; }
  } guard{elements};
  std::size_t n = 0;
  flatten(lists, lengths, elements, n, where);
  return from_memory(elements, dtype_of<Element>(), count, Shape(std::span<const std::int64_t>(lengths, depth)),
                     dtype.value_or(literal_dtype<Given>()), where);
}

}  // namespace detail

/// tensor({{1.f, 2.f}, {3.f, 4.f}}): one to four levels of braces. double literals give float32 unless another dtype is asked for.
/// Throws ShapeError if the inner braces differ in length.
template <Scalar T>
Tensor tensor(std::initializer_list<T> values, std::optional<DType> dtype = {}, Loc where = Loc::here()) {
  return detail::from_lists(values, dtype, where);
}
template <Scalar T>
Tensor tensor(std::initializer_list<std::initializer_list<T>> values, std::optional<DType> dtype = {}, Loc where = Loc::here()) {
  return detail::from_lists(values, dtype, where);
}
template <Scalar T>
Tensor tensor(std::initializer_list<std::initializer_list<std::initializer_list<T>>> values, std::optional<DType> dtype = {},
              Loc where = Loc::here()) {
  return detail::from_lists(values, dtype, where);
}
template <Scalar T>
Tensor tensor(std::initializer_list<std::initializer_list<std::initializer_list<std::initializer_list<T>>>> values,
              std::optional<DType> dtype = {}, Loc where = Loc::here()) {
  return detail::from_lists(values, dtype, where);
}
/// A rank-0 tensor of T's own dtype, which does not yield.
template <Scalar T>
Tensor tensor(T value, std::optional<DType> dtype = {}, Loc where = Loc::here()) {
  return detail::from_memory(&value, dtype_of<T>(), 1, Shape{}, dtype.value_or(detail::literal_dtype<T>()), where);
}
/// A copy of the elements, of T's own dtype. Throws ShapeError unless they are as many as the shape holds.
template <class T>
Tensor tensor(std::span<const T> values, const Shape& shape, Loc where = Loc::here()) {
  return detail::from_memory(values.data(), dtype_of<T>(), values.size(), shape, dtype_of<T>(), where);
}
template <class T>
  requires(!std::same_as<T, bool>)
Tensor tensor(const std::vector<T>& values, const Shape& shape, Loc where = Loc::here()) {
  return tensor(std::span<const T>(values), shape, where);
}
template <class T>
  requires(!std::same_as<T, bool>)
Tensor tensor(const std::vector<T>& values) {
  return tensor(std::span<const T>(values), Shape{static_cast<std::int64_t>(values.size())});
}

}  // namespace kiln
