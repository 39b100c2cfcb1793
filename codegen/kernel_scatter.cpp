// Scatter kernels: x is copied, then updates are added at their indices one after the other, a strip of the innermost axis at a time.
#include "codegen/kernel_emitter.h"

namespace kiln::codegen {

namespace arith = mlir::arith;

namespace {

using Function = KernelModule::Function;

/// Columns that one thread takes at a time.
constexpr std::int64_t kStrip = 512;
/// Float32 sums of halves that are kept at a time.
constexpr std::int64_t kSums = 32768;

/// The root of a scatter kernel, taken apart.
struct Scatter {
  explicit Scatter(const runtime::KernelSpec& spec) : root(spec.root) {
    const runtime::BodyNode& n = spec.body[static_cast<std::size_t>(root)];
    x = n.operands[0];
    indices = n.operands[1];
    updates = n.operands[2];
    axis = static_cast<int>(n.attrs.get<std::int64_t>("axis"));
    rank = static_cast<int>(n.shape.size());
    has_columns = axis != rank - 1;
    for (int i = 0; i < rank - (has_columns ? 1 : 0); ++i) {
      if (i != axis) outer.push_back(i);
    }
    half = n.dtype == DType::float16 || n.dtype == DType::bfloat16;
  }
  int root = 0, x = 0, indices = 0, updates = 0, axis = 0, rank = 0;
  bool has_columns = false;  ///< the last axis is not the indexed one
  std::vector<int> outer;    ///< axes that are neither indexed nor columns
  bool half = false;
};

class ScatterEmitter {
 public:
  ScatterEmitter(KernelModule& m, Function& f) : m_(m), f_(f), b_(f.b), e_(f.e), s_(m.spec()) {}

  Value columns() { return s_.has_columns ? e_.shapes().length(s_.x, s_.rank - 1) : b_.integer(1); }
  Value strips() { return b_.binary<arith::DivUIOp>(b_.add(columns(), b_.integer(kStrip - 1)), b_.integer(kStrip)); }
  Value outer() {
    Value n = b_.integer(1);
    for (int axis : s_.outer) n = b_.mul(n, e_.shapes().length(s_.x, axis));
    return n;
  }
  Value updates() { return e_.shapes().count(s_.indices); }

  /// The columns [first, first + width) of outer row `row`.
  void strip(Value row, Value first, Value width) {
    outer_.resize(s_.outer.size());
    Index rest{row};
    for (std::size_t i = outer_.size(); i-- > 1;) {
      auto [quotient, remainder] = e_.indexing().divide(rest, e_.shapes().length(s_.x, s_.outer[i]));
      outer_[i] = remainder;
      rest = quotient;
    }
    if (!outer_.empty()) outer_[0] = rest;
    first_ = first;
    width_ = width;
    if (s_.half) return add_halves();
    over_rows(b_.integer(0), e_.shapes().length(s_.x, s_.axis), [&](Value row, Value c, const Mask& mask) {
      const Position at = position({row}, c);
      e_.store(0, at, e_.value(s_.x, at, mask), mask);
    });
    add_in_place();
  }

 private:
  void over_columns(const std::function<void(Value c, const Mask& mask)>& f) {
    vector_loop(b_, b_.integer(0), width_, s_.has_columns ? m_.vector_lanes() : 1, f);
  }
  Position position(const Index& row, Value c) {
    Position at;
    at.at.resize(static_cast<std::size_t>(s_.rank));
    for (std::size_t i = 0; i < outer_.size(); ++i) at.at[static_cast<std::size_t>(s_.outer[i])] = outer_[i];
    if (s_.has_columns) at.at.back() = {b_.add(first_, c), b_.lanes() > 1 ? 1 : 0, {}};
    at.at[static_cast<std::size_t>(s_.axis)] = row;
    return at;
  }
  /// Update number j at column c.
  Value update(Value j, Value c, const Mask& mask) {
    Position at = position({b_.integer(0)}, c);
    Position of_index = e_.by_axes(s_.indices, {{Index{j}}, true});
    at.at.erase(at.at.begin() + s_.axis);
    at.at.insert(at.at.begin() + s_.axis, of_index.at.begin(), of_index.at.end());
    return b_.splat(e_.value(s_.updates, at, mask));
  }
  /// Index number j; calls f with it if it is in range.
  void with_index(Value j, const std::function<void(Value index)>& f) {
    Value index = index_at(j);
    Value length = e_.shapes().length(s_.x, s_.axis);
    Value inside = b_.bit_and(b_.compare(arith::CmpIPredicate::sge, index, b_.integer(0)), b_.less(index, length));
    e_.report(s_.root, b_.bit_not(inside), index, static_cast<int>(KernelError::index_out_of_range), {});
    b_.branch(inside, [&] { f(index); });
  }
  Value index_at(Value j) { return b_.integer_cast(e_.value(s_.indices, {{Index{j}}, true}, {}), b_.i64(), true); }

  void add_in_place() {
    b_.loop(b_.integer(0), updates(), b_.integer(1), [&](Value j) {
      with_index(j, [&](Value index) {
        over_columns([&](Value c, const Mask& mask) {
          const Position at = position({index}, c);
          Value before = e_.read(e_.output_pointer(0), s_.root, at, mask, false);
          e_.store(0, at, e_.combine("add", e_.node(s_.root).dtype, b_.splat(before), update(j, c, mask)), mask);
        });
      });
    });
  }

  /// Halves round once: as many rows as fit are summed in float32, each pass over the updates taking those of its rows.
  void add_halves() {
    const int lanes = m_.vector_lanes();
    Value sums = b_.stack(b_.f32(), kSums);
    Value stride = b_.bit_and(b_.add(width_, b_.integer(lanes - 1)), b_.integer(-lanes));
    Value rows = b_.binary<arith::DivUIOp>(b_.integer(kSums), stride);
    Value length = e_.shapes().length(s_.x, s_.axis);
    b_.loop(b_.integer(0), length, rows, [&](Value first) {
      Value end = b_.min_signed(b_.add(first, rows), length);
      const auto cell = [&](Value row, Value c) { return b_.offset(sums, b_.f32(), b_.add(b_.mul(b_.sub(row, first), stride), c)); };
      over_rows(first, end,
                [&](Value row, Value c, const Mask& mask) { put_sum(b_.splat(e_.value(s_.x, position({row}, c), mask)), cell(row, c)); });
      b_.loop(b_.integer(0), updates(), b_.integer(1), [&](Value j) {
        with_index(j, [&](Value index) {
          Value here = b_.bit_and(b_.compare(arith::CmpIPredicate::sge, index, first), b_.less(index, end));
          b_.branch(here, [&] {
            over_columns([&](Value c, const Mask& mask) { put_sum(b_.add(get_sum(cell(index, c)), update(j, c, mask)), cell(index, c)); });
          });
        });
      });
      over_rows(first, end, [&](Value row, Value c, const Mask& mask) { e_.store(0, position({row}, c), get_sum(cell(row, c)), mask); });
    });
  }

  void over_rows(Value first, Value end, const std::function<void(Value row, Value c, const Mask& mask)>& f) {
    b_.loop(first, end, b_.integer(1), [&](Value row) { over_columns([&](Value c, const Mask& mask) { f(row, c, mask); }); });
  }
  void put_sum(Value v, Value cell) {
    if (Builder::is_vector(v))
      b_.hooks().store(b_, v, cell, {});
    else
      b_.store_scalar(v, cell);
  }
  Value get_sum(Value cell) {
    if (b_.lanes() == 1) return b_.load_scalar(cell, b_.f32(), false);
    return b_.hooks().load(b_, cell, mlir::VectorType::get({b_.lanes()}, b_.f32()), {}, false);
  }

  KernelModule& m_;
  Function& f_;
  Builder& b_;
  ElementEmitter& e_;
  Scatter s_;
  llvm::SmallVector<Index, 4> outer_;
  Value first_, width_;
};

}  // namespace

void emit_scatter_kernel(KernelModule& m) {
  m.add_function("range", 2, false, [&](Function& f) {
    Builder& b = f.b;
    ScatterEmitter s(m, f);
    Value strips = s.strips();
    b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value unit) {
      auto [row, strip] = f.e.indexing().divide({unit}, strips);
      Value first = b.mul(strip.base, b.integer(kStrip));
      s.strip(row.base, first, b.min_signed(b.sub(s.columns(), first), b.integer(kStrip)));
    });
  });
  m.add_parallel_entry("range", [&](Function& f) {
    Builder& b = f.b;
    ScatterEmitter s(m, f);
    Value work = b.mul(b.max_signed(s.updates(), b.integer(1)), b.max_signed(b.min_signed(s.columns(), b.integer(kStrip)), b.integer(1)));
    return m.extent(b, b.mul(s.outer(), s.strips()), work);
  });
}

}  // namespace kiln::codegen
