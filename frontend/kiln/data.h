// Datasets: sequences of examples that are shuffled, mapped and batched, as in tf.data; and MNIST.
#pragma once
#include <kiln/tensor.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace kiln::data {

struct ShuffleOptions {
  std::uint64_t seed = 0;
  bool reshuffle = true;  ///< another order each time the dataset is iterated
};

struct BatchOptions {
  bool drop_remainder = false;  ///< leave out a last batch that is smaller
};

/// The size of a dataset that never ends.
inline constexpr std::int64_t kInfinite = -1;

namespace detail {

/// The tensors of one element.
using Element = std::vector<Tensor>;

struct Rows;

/// One pass over a source.
class Cursor {
 public:
  virtual ~Cursor() = default;
  /// The next element; false at the end.
  virtual bool next(Element& element) = 0;
  /// Not null if each element is one row of these tensors: then next_row may be called instead of next.
  virtual const Rows* rows() const { return nullptr; }
  /// The row that the next element is; -1 at the end.
  virtual std::int64_t next_row() { return -1; }
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::unique_ptr<Cursor> open() const = 0;
  /// Number of elements, or kInfinite.
  virtual std::int64_t size() const = 0;
};

using SourcePtr = std::shared_ptr<const Source>;
using MapFunction = std::function<Element(const Element&)>;

SourcePtr from_tensors(Element tensors, Loc where);
SourcePtr shuffle(SourcePtr source, std::int64_t buffer, ShuffleOptions options, Loc where);
SourcePtr batch(SourcePtr source, std::int64_t size, BatchOptions options, Loc where);
SourcePtr take(SourcePtr source, std::int64_t count, Loc where);
SourcePtr skip(SourcePtr source, std::int64_t count, Loc where);
SourcePtr repeat(SourcePtr source, std::int64_t count, Loc where);
SourcePtr prefetch(SourcePtr source, std::int64_t count, Loc where);
SourcePtr zip(SourcePtr a, SourcePtr b);
SourcePtr map(SourcePtr source, MapFunction function);

template <class... T>
struct ValueOf {
  using type = std::tuple<T...>;
};
template <class T>
struct ValueOf<T> {
  using type = T;
};

}  // namespace detail

template <class... T>
class Dataset;

namespace detail {

/// The Dataset of what a mapped function returns.
template <class R>
struct DatasetOf;
template <>
struct DatasetOf<Tensor> {
  using type = Dataset<Tensor>;
};
template <class... T>
struct DatasetOf<std::tuple<T...>> {
  using type = Dataset<T...>;
};
template <class A, class B>
struct DatasetOf<std::pair<A, B>> {
  using type = Dataset<A, B>;
};

inline Element to_element(Tensor t) { return {std::move(t)}; }
template <class... T>
Element to_element(std::tuple<T...> tensors) {
  return std::apply([](auto&... t) { return Element{std::move(t)...}; }, tensors);
}
template <class A, class B>
Element to_element(std::pair<A, B> pair) {
  return {std::move(pair.first), std::move(pair.second)};
}

}  // namespace detail

/// A sequence of elements of one or more tensors each. A counted handle that owns what it reads from: copying is cheap, and temporaries may
/// be chained.
template <class... T>
class Dataset {
  static_assert((std::same_as<T, Tensor> && ...), "kiln: the elements of a Dataset are Tensors");

 public:
  /// Tensor for one, std::tuple for more: `for (auto [x, y] : dataset)`.
  using value_type = typename detail::ValueOf<T...>::type;

  class Iterator {
   public:
    using value_type = Dataset::value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;

    explicit Iterator(std::unique_ptr<detail::Cursor> cursor) : cursor_(std::move(cursor)) { ++*this; }
    const value_type& operator*() const { return value_; }
    const value_type* operator->() const { return &value_; }
    Iterator& operator++() {
      value_ = {};  // first, so that the next element may use the same memory
      element_.clear();
      done_ = !cursor_->next(element_);
      if (!done_) value_ = take_value(std::index_sequence_for<T...>());
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& i, std::default_sentinel_t) { return i.done_; }

   private:
    template <std::size_t... I>
    value_type take_value(std::index_sequence<I...>) {
      return value_type(std::move(element_[I])...);
    }
    std::shared_ptr<detail::Cursor> cursor_;
    detail::Element element_;
    value_type value_;
    bool done_ = false;
  };

  explicit Dataset(detail::SourcePtr source) : source_(std::move(source)) {}

  /// A random order: each element is drawn from a buffer of that many; a buffer as large as the dataset shuffles it uniformly.
  /// The same seed gives the same orders on every machine. Throws ValueError if buffer < 1.
  Dataset shuffle(std::int64_t buffer, ShuffleOptions options = {}, Loc where = Loc::here()) const {
    return Dataset(detail::shuffle(source_, buffer, options, where));
  }
  /// Elements of `size` examples each, stacked along a new first axis; the last may be smaller. Throws ValueError if size < 1;
  /// iterating throws ShapeError or DTypeError if examples differ in shape or dtype.
  Dataset batch(std::int64_t size, BatchOptions options = {}, Loc where = Loc::here()) const {
    return Dataset(detail::batch(source_, size, options, where));
  }
  /// At most the first `count` elements. Throws ValueError if count < 0.
  Dataset take(std::int64_t count, Loc where = Loc::here()) const { return Dataset(detail::take(source_, count, where)); }
  /// All but the first `count` elements. Throws ValueError if count < 0.
  Dataset skip(std::int64_t count, Loc where = Loc::here()) const { return Dataset(detail::skip(source_, count, where)); }
  /// `count` passes one after the other, or passes without end; a shuffle before it shuffles each pass anew. Throws ValueError if count is
  /// neither kInfinite nor at least 0.
  Dataset repeat(std::int64_t count = kInfinite, Loc where = Loc::here()) const { return Dataset(detail::repeat(source_, count, where)); }
  /// The same elements, up to `count` of them made ahead of their use by a thread of its own: a map before it runs there. What that throws
  /// is thrown where the element would have been. Throws ValueError if count < 1.
  Dataset prefetch(std::int64_t count = 2, Loc where = Loc::here()) const { return Dataset(detail::prefetch(source_, count, where)); }
  /// f of each element: f(x, y) returns a Tensor, or a pair or tuple of Tensors.
  template <class F>
  auto map(F f) const {
    using Result = std::invoke_result_t<F&, const T&...>;
    using Mapped = typename detail::DatasetOf<std::remove_cvref_t<Result>>::type;
    return Mapped(detail::map(source_, [f = std::move(f)](const detail::Element& element) mutable {
      return detail::to_element(call(f, element, std::index_sequence_for<T...>()));
    }));
  }

  /// Number of elements, or kInfinite.
  std::int64_t size() const { return source_->size(); }
  Iterator begin() const { return Iterator(source_->open()); }
  std::default_sentinel_t end() const { return {}; }

  /// What zip() reads from.
  const detail::SourcePtr& source() const { return source_; }

 private:
  template <class F, std::size_t... I>
  static auto call(F& f, const detail::Element& element, std::index_sequence<I...>) {
    return f(element[I]...);
  }
  detail::SourcePtr source_;
};

using Pairs = Dataset<Tensor, Tensor>;

/// Elements (x..., y...) of the elements x... of a and y... of b, until one of them ends.
template <class... A, class... B>
Dataset<A..., B...> zip(const Dataset<A...>& a, const Dataset<B...>& b) {
  return Dataset<A..., B...>(detail::zip(a.source(), b.source()));
}

/// Example i holds row i of each tensor: from_tensors(images, labels). Throws ShapeError unless all have the same first length.
inline Dataset<Tensor> from_tensors(Tensor x, Loc where = Loc::here()) {
  return Dataset<Tensor>(detail::from_tensors({std::move(x)}, where));
}
inline Pairs from_tensors(Tensor x, Tensor y, Loc where = Loc::here()) {
  return Pairs(detail::from_tensors({std::move(x), std::move(y)}, where));
}
inline Dataset<Tensor, Tensor, Tensor> from_tensors(Tensor x, Tensor y, Tensor z, Loc where = Loc::here()) {
  return Dataset<Tensor, Tensor, Tensor>(detail::from_tensors({std::move(x), std::move(y), std::move(z)}, where));
}

/// The tensor in a file of the IDX format, plain or gzipped: uint8 elements, at most 2^30 of them.
/// Throws FileError if the file is missing, damaged, cut short, longer than its header says, or of another element type.
Tensor read_idx(const std::string& path, Loc where = Loc::here());

struct MnistOptions {
  bool raw = false;  ///< images as uint8 0 ... 255 instead of float32 0 ... 1
};

/// MNIST's training and test sets, from the four IDX files of that directory (X-idx3-ubyte.gz, or without .gz):
/// images of shape [28, 28, 1], labels int32 of rank 0. Throws FileError if a file is missing or not what it should be.
std::pair<Pairs, Pairs> mnist(const std::string& directory, MnistOptions options = {}, Loc where = Loc::here());

}  // namespace kiln::data
