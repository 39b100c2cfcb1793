// The stages of a dataset. A pass over from_tensors carries row numbers through shuffle and take, so that batch copies each row once.
#include <kiln/data.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <random>

#include "base/require.h"
#include "frontend/access.h"
#include "frontend/data/rows.h"

namespace kiln::data::detail {
namespace {

using kiln::detail::Access;

/// Rows drawn at random are where no hardware prefetcher expects them: asks for the one that comes a few rows later.
constexpr std::size_t kRowsAhead = 4;
constexpr std::size_t kMostPrefetched = 4096;

// Always inline: g++ 12 takes a function that only prefetches for one without effect, and drops the call.
[[gnu::always_inline]] inline void prefetch_row(const Column& column, std::int64_t row, std::int64_t elements) {
  std::size_t bytes = static_cast<std::size_t>(elements) * size_of(column.stored.dtype);
  const char* start = static_cast<const char*>(column.buffer.data()) + static_cast<std::size_t>(row) * bytes;
  for (std::size_t offset = 0; offset < std::min(bytes, kMostPrefetched); offset += 64) __builtin_prefetch(start + offset);
}

/// Writes one row where it belongs in a batch.
void copy_row(const Column& column, std::int64_t row, std::int64_t elements, std::byte* to) {
  const auto* from = static_cast<const std::byte*>(column.buffer.data());
  if (!column.unit) {
    std::size_t bytes = static_cast<std::size_t>(elements) * size_of(column.stored.dtype);
    if (bytes > 0) std::memcpy(to, from + static_cast<std::size_t>(row) * bytes, bytes);
    return;
  }
  const auto* pixels = reinterpret_cast<const std::uint8_t*>(from) + row * elements;
  auto* numbers = reinterpret_cast<float*>(to);
  for (std::int64_t i = 0; i < elements; ++i) numbers[i] = static_cast<float>(pixels[i]) / 255.0f;
}

/// The given rows, one after the other, as a tensor of that shape.
Tensor gather_column(const Column& column, std::span<const std::int64_t> indices, const Shape& shape) {
  std::int64_t elements = column.row_elements();
  std::size_t row_bytes = static_cast<std::size_t>(elements) * size_of(column.dtype());
  runtime::Buffer buffer = runtime::Buffer::allocate(indices.size() * row_bytes);
  auto* to = static_cast<std::byte*>(buffer.data());
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (i + kRowsAhead < indices.size()) prefetch_row(column, indices[i + kRowsAhead], elements);
    copy_row(column, indices[i], elements, to);
    to += row_bytes;
  }
  return Access::tensor(graph::Value::eager({column.dtype(), shape}, std::move(buffer)));
}

class RowsCursor : public Cursor {
 public:
  explicit RowsCursor(std::shared_ptr<const Rows> rows) : rows_(std::move(rows)) {}
  bool next(Element& element) override {
    std::int64_t row = next_row();
    if (row < 0) return false;
    rows_->row(row, element);
    return true;
  }
  const Rows* rows() const override { return rows_.get(); }
  std::int64_t next_row() override { return at_ < rows_->count ? at_++ : -1; }

 private:
  std::shared_ptr<const Rows> rows_;
  std::int64_t at_ = 0;
};

class RowsSource : public Source {
 public:
  explicit RowsSource(Rows rows) : rows_(std::make_shared<const Rows>(std::move(rows))) {}
  std::unique_ptr<Cursor> open() const override { return std::make_unique<RowsCursor>(rows_); }
  std::int64_t size() const override { return rows_->count; }

 private:
  std::shared_ptr<const Rows> rows_;
};

/// Draws from a buffer: of row numbers where the inner pass has them, else of elements.
class ShuffleCursor : public Cursor {
 public:
  ShuffleCursor(std::unique_ptr<Cursor> inner, std::int64_t buffer, std::uint64_t seed)
      : inner_(std::move(inner)), capacity_(static_cast<std::size_t>(buffer)), random_(seed) {}

  bool next(Element& element) override {
    if (const Rows* source = rows()) {
      std::int64_t row = next_row();
      if (row >= 0) source->row(row, element);
      return row >= 0;
    }
    return draw(elements_, element, [this](Element& e) { return inner_->next(e); });
  }
  const Rows* rows() const override { return inner_->rows(); }
  std::int64_t next_row() override {
    std::int64_t row = -1;
    draw(numbers_, row, [this](std::int64_t& r) { return (r = inner_->next_row()) >= 0; });
    return row;
  }

 private:
  template <class T, class Pull>
  bool draw(std::vector<T>& buffer, T& drawn, const Pull& pull) {
    T fresh{};
    while (!drained_ && buffer.size() < capacity_) {
      if (pull(fresh)) {
        buffer.push_back(std::exchange(fresh, T{}));
      } else {
        drained_ = true;
      }
    }
    if (buffer.empty()) return false;
    std::swap(buffer[below(buffer.size())], buffer.back());
    drawn = std::move(buffer.back());
    buffer.pop_back();
    return true;
  }

  /// Uniform in [0, n): the high word of a product, drawn again where that would be biased.
  std::size_t below(std::uint64_t n) {
    std::uint64_t threshold = (0 - n) % n;
    while (true) {
      auto product = static_cast<unsigned __int128>(random_()) * n;
      if (static_cast<std::uint64_t>(product) >= threshold) return static_cast<std::size_t>(product >> 64);
    }
  }

  std::unique_ptr<Cursor> inner_;
  std::size_t capacity_;
  std::mt19937_64 random_;
  std::vector<std::int64_t> numbers_;
  std::vector<Element> elements_;
  bool drained_ = false;
};

class ShuffleSource : public Source {
 public:
  ShuffleSource(SourcePtr inner, std::int64_t buffer, ShuffleOptions options)
      : inner_(std::move(inner)), buffer_(buffer), options_(options) {}
  std::unique_ptr<Cursor> open() const override {
    std::uint64_t pass = options_.reshuffle ? passes_.fetch_add(1, std::memory_order_relaxed) : 0;
    // A multiple of an odd constant keeps the passes of neighbouring seeds apart.
    const std::int64_t size = inner_->size(), capacity = size == kInfinite ? buffer_ : std::min(buffer_, size + 1);
    return std::make_unique<ShuffleCursor>(inner_->open(), capacity, options_.seed + pass * 0x9e3779b97f4a7c15u);
  }
  std::int64_t size() const override { return inner_->size(); }

 private:
  SourcePtr inner_;
  std::int64_t buffer_;
  ShuffleOptions options_;
  mutable std::atomic<std::uint64_t> passes_{0};
};

/// The smaller of two sizes.
std::int64_t shorter(std::int64_t a, std::int64_t b) { return a == kInfinite ? b : b == kInfinite ? a : std::min(a, b); }

class TakeCursor : public Cursor {
 public:
  TakeCursor(std::unique_ptr<Cursor> inner, std::int64_t count) : inner_(std::move(inner)), left_(count) {}
  bool next(Element& element) override { return left_-- > 0 && inner_->next(element); }
  const Rows* rows() const override { return inner_->rows(); }
  std::int64_t next_row() override { return left_-- > 0 ? inner_->next_row() : -1; }

 private:
  std::unique_ptr<Cursor> inner_;
  std::int64_t left_;
};

class TakeSource : public Source {
 public:
  TakeSource(SourcePtr inner, std::int64_t count) : inner_(std::move(inner)), count_(count) {}
  std::unique_ptr<Cursor> open() const override { return std::make_unique<TakeCursor>(inner_->open(), count_); }
  std::int64_t size() const override { return shorter(count_, inner_->size()); }

 private:
  SourcePtr inner_;
  std::int64_t count_;
};

class SkipCursor : public Cursor {
 public:
  SkipCursor(std::unique_ptr<Cursor> inner, std::int64_t count) : inner_(std::move(inner)), left_(count) {}
  bool next(Element& element) override {
    for (; left_ > 0; --left_) {
      Element skipped;
      if (!inner_->next(skipped)) return false;
    }
    return inner_->next(element);
  }
  const Rows* rows() const override { return inner_->rows(); }
  std::int64_t next_row() override {
    for (; left_ > 0; --left_) {
      if (inner_->next_row() < 0) return -1;
    }
    return inner_->next_row();
  }

 private:
  std::unique_ptr<Cursor> inner_;
  std::int64_t left_;
};

class SkipSource : public Source {
 public:
  SkipSource(SourcePtr inner, std::int64_t count) : inner_(std::move(inner)), count_(count) {}
  std::unique_ptr<Cursor> open() const override { return std::make_unique<SkipCursor>(inner_->open(), count_); }
  std::int64_t size() const override {
    return inner_->size() == kInfinite ? kInfinite : std::max<std::int64_t>(inner_->size() - count_, 0);
  }

 private:
  SourcePtr inner_;
  std::int64_t count_;
};

/// Opens its source again and again. A pass without elements ends it, else an empty source would never.
class RepeatCursor : public Cursor {
 public:
  RepeatCursor(SourcePtr source, std::int64_t count) : source_(std::move(source)), left_(count) { reopen(); }
  bool next(Element& element) override {
    return repeat([&] { return inner_->next(element); });
  }
  const Rows* rows() const override { return inner_ == nullptr ? nullptr : inner_->rows(); }
  std::int64_t next_row() override {
    std::int64_t row = -1;
    repeat([&] { return (row = inner_->next_row()) >= 0; });
    return row;
  }

 private:
  void reopen() {
    inner_ = source_->open();
    fresh_ = true;
  }
  template <class Pull>
  bool repeat(const Pull& pull) {
    while (left_ != 0) {
      if (pull()) {
        fresh_ = false;
        return true;
      }
      const bool bounded = left_ > 0;
      if (bounded) --left_;
      if (fresh_ || (bounded && left_ == 0)) break;
      reopen();
    }
    left_ = 0;
    return false;
  }

  SourcePtr source_;
  std::unique_ptr<Cursor> inner_;
  std::int64_t left_;
  bool fresh_ = true;
};

class RepeatSource : public Source {
 public:
  RepeatSource(SourcePtr inner, std::int64_t count) : inner_(std::move(inner)), count_(count) {}
  std::unique_ptr<Cursor> open() const override { return std::make_unique<RepeatCursor>(inner_, count_); }
  std::int64_t size() const override {
    if (inner_->size() == 0 || count_ == 0) return 0;
    return inner_->size() == kInfinite || count_ == kInfinite ? kInfinite : inner_->size() * count_;
  }

 private:
  SourcePtr inner_;
  std::int64_t count_;
};

class ZipCursor : public Cursor {
 public:
  ZipCursor(std::unique_ptr<Cursor> a, std::unique_ptr<Cursor> b) : a_(std::move(a)), b_(std::move(b)) {}
  bool next(Element& element) override {
    Element second;
    if (!a_->next(element) || !b_->next(second)) return false;
    element.insert(element.end(), std::make_move_iterator(second.begin()), std::make_move_iterator(second.end()));
    return true;
  }

 private:
  std::unique_ptr<Cursor> a_, b_;
};

class ZipSource : public Source {
 public:
  ZipSource(SourcePtr a, SourcePtr b) : a_(std::move(a)), b_(std::move(b)) {}
  std::unique_ptr<Cursor> open() const override { return std::make_unique<ZipCursor>(a_->open(), b_->open()); }
  std::int64_t size() const override { return shorter(a_->size(), b_->size()); }

 private:
  SourcePtr a_, b_;
};

class MapCursor : public Cursor {
 public:
  MapCursor(std::unique_ptr<Cursor> inner, const MapFunction& function) : inner_(std::move(inner)), function_(function) {}
  bool next(Element& element) override {
    Element given;
    if (!inner_->next(given)) return false;
    element = function_(given);
    return true;
  }

 private:
  std::unique_ptr<Cursor> inner_;
  MapFunction function_;
};

class MapSource : public Source {
 public:
  MapSource(SourcePtr inner, MapFunction function) : inner_(std::move(inner)), function_(std::move(function)) {}
  std::unique_ptr<Cursor> open() const override { return std::make_unique<MapCursor>(inner_->open(), function_); }
  std::int64_t size() const override { return inner_->size(); }

 private:
  SourcePtr inner_;
  MapFunction function_;
};

/// Component i of all examples, along a new first axis.
Tensor stack_component(const std::vector<Element>& examples, std::size_t i, Loc where) {
  const Tensor& first = examples[0][i];
  graph::Value value = Access::value(first);
  std::size_t bytes = static_cast<std::size_t>(first.size()) * size_of(first.dtype());
  runtime::Buffer buffer = runtime::Buffer::allocate(examples.size() * bytes);
  auto* to = static_cast<std::byte*>(buffer.data());
  for (const Element& example : examples) {
    const Tensor& t = example[i];
    if (t.shape() != first.shape()) {
      throw ShapeError(fmt::format("batch: examples of shapes {} and {} do not stack", first.shape().str(), t.shape().str()), where);
    }
    if (t.dtype() != first.dtype()) {
      throw DTypeError(fmt::format("batch: examples of {} and {} do not stack", name(first.dtype()), name(t.dtype())), where);
    }
    if (bytes > 0) std::memcpy(to, Access::value(t).buffer().data(), bytes);
    to += bytes;
  }
  Shape shape{static_cast<std::int64_t>(examples.size())};
  for (Dim d : first.shape()) shape.push_back(d);
  return Access::tensor(graph::Value::eager({first.dtype(), shape}, std::move(buffer)));
}

class BatchCursor : public Cursor {
 public:
  BatchCursor(std::unique_ptr<Cursor> inner, std::int64_t size, bool drop, Loc where)
      : inner_(std::move(inner)), size_(static_cast<std::size_t>(size)), drop_(drop), where_(where) {}

  bool next(Element& element) override { return inner_->rows() != nullptr ? next_rows(element) : next_elements(element); }

 private:
  bool is_wanted(std::size_t count) const { return count == size_ || (count > 0 && !drop_); }

  bool next_rows(Element& element) {
    indices_.clear();
    for (std::int64_t row = 0; indices_.size() < size_ && (row = inner_->next_row()) >= 0;) indices_.push_back(row);
    if (!is_wanted(indices_.size())) return false;
    inner_->rows()->gather(indices_, element);
    return true;
  }

  bool next_elements(Element& element) {
    std::vector<Element> examples;
    for (Element example; examples.size() < size_ && inner_->next(example); example = {}) examples.push_back(std::move(example));
    if (!is_wanted(examples.size())) return false;
    for (std::size_t i = 0; i < examples[0].size(); ++i) element.push_back(stack_component(examples, i, where_));
    return true;
  }

  std::unique_ptr<Cursor> inner_;
  std::size_t size_;
  bool drop_;
  Loc where_;
  std::vector<std::int64_t> indices_;
};

class BatchSource : public Source {
 public:
  BatchSource(SourcePtr inner, std::int64_t size, BatchOptions options, Loc where)
      : inner_(std::move(inner)), size_(size), options_(options), where_(where) {}
  std::unique_ptr<Cursor> open() const override {
    return std::make_unique<BatchCursor>(inner_->open(), size_, options_.drop_remainder, where_);
  }
  std::int64_t size() const override {
    if (inner_->size() == kInfinite) return kInfinite;
    bool partial = !options_.drop_remainder && inner_->size() % size_ != 0;
    return inner_->size() / size_ + (partial ? 1 : 0);
  }

 private:
  SourcePtr inner_;
  std::int64_t size_;
  BatchOptions options_;
  Loc where_;
};

Shape with_first(const Shape& shape, std::int64_t length) {
  Shape result = shape;
  result[0] = length;
  return result;
}

}  // namespace

void Rows::gather(std::span<const std::int64_t> indices, Element& element) const {
  for (const Column& column : columns) {
    element.push_back(gather_column(column, indices, with_first(column.stored.shape, static_cast<std::int64_t>(indices.size()))));
  }
}

void Rows::row(std::int64_t index, Element& element) const {
  for (const Column& column : columns) {
    Shape shape(std::span<const Dim>(column.stored.shape.begin() + 1, column.stored.shape.end()));
    element.push_back(gather_column(column, {&index, 1}, shape));
  }
}

SourcePtr from_rows(Rows rows) { return std::make_shared<RowsSource>(std::move(rows)); }

SourcePtr from_tensors(Element tensors, Loc where) {
  LocationScope scope(where);
  Rows rows;
  for (const Tensor& t : tensors) {
    graph::Value value = Access::value(t);
    KILN_REQUIRE(!value.symbolic(), TraceError, "from_tensors: a tensor of a traced function has no elements yet; make datasets outside");
    KILN_REQUIRE(t.rank() >= 1, ShapeError, "from_tensors: a tensor of rank 0 has no rows");
    rows.columns.push_back({value.type(), value.buffer(), false});
    std::int64_t first = rows.columns[0].rows();
    std::int64_t count = rows.columns.back().rows();
    KILN_REQUIRE(count == first, ShapeError, "from_tensors: tensors of {} and {} rows", first, count);
  }
  rows.count = rows.columns[0].rows();
  return from_rows(std::move(rows));
}

SourcePtr shuffle(SourcePtr source, std::int64_t buffer, ShuffleOptions options, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(buffer >= 1, ValueError, "shuffle: a buffer of {} elements; at least 1 is needed", buffer);
  return std::make_shared<ShuffleSource>(std::move(source), buffer, options);
}

SourcePtr batch(SourcePtr source, std::int64_t size, BatchOptions options, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(size >= 1, ValueError, "batch: {} examples in a batch; at least 1 is needed", size);
  return std::make_shared<BatchSource>(std::move(source), size, options, where);
}

SourcePtr take(SourcePtr source, std::int64_t count, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(count >= 0, ValueError, "take: {} elements", count);
  return std::make_shared<TakeSource>(std::move(source), count);
}

SourcePtr skip(SourcePtr source, std::int64_t count, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(count >= 0, ValueError, "skip: {} elements", count);
  return std::make_shared<SkipSource>(std::move(source), count);
}

SourcePtr repeat(SourcePtr source, std::int64_t count, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(count >= 0 || count == kInfinite, ValueError, "repeat: {} passes; at least 0, or kInfinite", count);
  return std::make_shared<RepeatSource>(std::move(source), count);
}

SourcePtr zip(SourcePtr a, SourcePtr b) { return std::make_shared<ZipSource>(std::move(a), std::move(b)); }

SourcePtr map(SourcePtr source, MapFunction function) { return std::make_shared<MapSource>(std::move(source), std::move(function)); }

}  // namespace kiln::data::detail
