// Reductions whose innermost axis is kept: vectors run along it, a strip of columns at a time, with four rows of accumulators in the L1
// cache.
#include "codegen/reduction.h"
#include "ops/numeric_order.h"

namespace kiln::codegen {

namespace {

using ops::kLanesColumn;
using ops::kReduceBlock;
using Function = KernelModule::Function;

/// Columns that one thread sums at a time.
constexpr std::int64_t kStrip = 512;
/// With fewer strips than this, the blocks of each are shared among threads.
constexpr std::int64_t kFewStrips = 16;
/// Blocks whose sums are collected before they are added up.
constexpr std::int64_t kBlocksAtOnce = 64;

/// One level of accumulators: kLanesColumn rows of a strip.
class Accumulators {
 public:
  Accumulators(ReductionEmitter& e, int lanes)
      : e_(e), b_(e.function().b), lanes_(lanes), cells_(b_.stack(e.cell(), kLanesColumn * kStrip)) {}

  void clear(Value width) {
    over(width, [&](Value c) {
      for (int lane = 0; lane < kLanesColumn; ++lane) e_.store_cells(b_.splat(e_.skip(), lanes_), cells_, row(b_.integer(lane), c));
    });
  }
  /// Combines v, at column c, into the accumulator of element number i.
  void take(Value i, Value c, Value v) {
    Value at = row(b_.bit_and(i, b_.integer(kLanesColumn - 1)), c);
    e_.store_cells(e_.combine(e_.load_cells(cells_, at, lanes_), v), cells_, at);
  }
  /// The tree over the lanes at column c.
  Value total(Value c) {
    Values v;
    for (int lane = 0; lane < kLanesColumn; ++lane) v.push_back(e_.load_cells(cells_, row(b_.integer(lane), c), lanes_));
    for (int half = kLanesColumn / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) v[i] = e_.combine(v[i], v[i + half]);
    }
    return v[0];
  }
  /// Calls f for each vector of columns, whole vectors only: accumulators past the width are harmless.
  void over(Value width, const std::function<void(Value c)>& f) { b_.loop(b_.integer(0), width, b_.integer(lanes_), f); }

 private:
  Value row(Value lane, Value c) { return b_.add(b_.mul(lane, b_.integer(kStrip)), c); }
  ReductionEmitter& e_;
  Builder& b_;
  int lanes_;
  Value cells_;
};

/// Everything about the columns [first, first + width) of one result row.
class Strip {
 public:
  Strip(KernelModule& m, ReductionEmitter& e, llvm::ArrayRef<Index> outer, Value first, Value width)
      : e_(e), b_(e.function().b), lanes_(m.vector_lanes()), outer_(outer.begin(), outer.end()), first_(first), width_(width) {}

  Value width() const { return width_; }
  Value blocks() { return groups_of(e_.length()); }
  /// Number of blocks that n elements make.
  Value groups_of(Value n) { return b_.binary<mlir::arith::DivUIOp>(b_.add(n, b_.integer(kReduceBlock - 1)), b_.integer(kReduceBlock)); }

  /// The elements of block `number`.
  void sum_block(Accumulators& level, Value number) {
    level.clear(width_);
    Value begin = b_.mul(number, b_.integer(kReduceBlock));
    b_.loop(begin, b_.min_signed(b_.add(begin, b_.integer(kReduceBlock)), e_.length()), b_.integer(1), [&](Value i) {
      vector_loop(b_, b_.integer(0), width_, lanes_,
                  [&](Value c, const Mask& mask) { level.take(i, c, b_.splat(e_.element(kept(c), {i}, mask))); });
    });
  }
  /// Writes the outputs.
  void finish(Accumulators& level) {
    vector_loop(b_, b_.integer(0), width_, lanes_, [&](Value c, const Mask& mask) {
      Value empty = b_.equal(e_.length(), b_.integer(0));
      e_.finish(kept(c), b_.select(empty, b_.splat(e_.empty(), lanes_), level.total(c)), mask);
    });
  }

 private:
  llvm::SmallVector<Index, 4> kept(Value c) const {
    llvm::SmallVector<Index, 4> all(outer_.begin(), outer_.end());
    all.push_back({b_.add(first_, c), b_.lanes() > 1 ? 1 : 0, {}});
    return all;
  }
  ReductionEmitter& e_;
  Builder& b_;
  int lanes_;
  llvm::SmallVector<Index, 4> outer_;
  Value first_, width_;
};

/// The sums of blocks, added up level by level.
class UpperLevels {
 public:
  UpperLevels(ReductionEmitter& e, Strip& strip, int lanes) : b_(e.function().b), strip_(strip), level2_(e, lanes), level3_(e, lanes) {
    level2_.clear(strip.width());
    level3_.clear(strip.width());
  }
  /// Block `number` of `blocks` has the sums that total(c) gives. Blocks come in order.
  void take(Value number, Value blocks, const std::function<Value(Value c)>& total) {
    level2_.over(strip_.width(), [&](Value c) { level2_.take(number, c, total(c)); });
    Value next = b_.add(number, b_.integer(1));
    Value full = b_.equal(b_.bit_and(next, b_.integer(kReduceBlock - 1)), b_.integer(0));
    b_.branch(b_.bit_or(full, b_.equal(next, blocks)), [&] {
      Value group = b_.binary<mlir::arith::DivUIOp>(number, b_.integer(kReduceBlock));
      level2_.over(strip_.width(), [&](Value c) { level3_.take(group, c, level2_.total(c)); });
      level2_.clear(strip_.width());
    });
  }
  void finish() { strip_.finish(level3_); }

 private:
  Builder& b_;
  Strip& strip_;
  Accumulators level2_, level3_;
};

/// Calls f with strip number `unit`.
void with_strip(KernelModule& m, ReductionEmitter& e, Value unit, const std::function<void(Strip& strip)>& f) {
  Builder& b = e.function().b;
  ElementEmitter& elements = e.function().e;
  const Reduction& r = e.reduction();
  Value columns = elements.shapes().length(r.x, r.rank - 1);
  Value per_row = b.binary<mlir::arith::DivUIOp>(b.add(columns, b.integer(kStrip - 1)), b.integer(kStrip));
  auto [row, number] = elements.indexing().divide({unit}, per_row);
  llvm::SmallVector<Index, 4> outer(r.kept.size() - 1);
  Index rest = row;
  for (std::size_t axis = outer.size(); axis-- > 1;) {
    auto [quotient, remainder] = elements.indexing().divide(rest, elements.shapes().length(r.x, r.kept[axis]));
    outer[axis] = remainder;
    rest = quotient;
  }
  if (!outer.empty()) outer[0] = rest;
  Value first = b.mul(number.base, b.integer(kStrip));
  Strip strip(m, e, outer, first, b.min_signed(b.sub(columns, first), b.integer(kStrip)));
  f(strip);
}

/// Number of strips.
Value count_strips(ReductionEmitter& e) {
  Builder& b = e.function().b;
  BodyShapes& shapes = e.function().e.shapes();
  const Reduction& r = e.reduction();
  Value columns = shapes.length(r.x, r.rank - 1);
  Value strips = b.binary<mlir::arith::DivUIOp>(b.add(columns, b.integer(kStrip - 1)), b.integer(kStrip));
  for (std::size_t i = 0; i + 1 < r.kept.size(); ++i) strips = b.mul(strips, shapes.length(r.x, r.kept[i]));
  return strips;
}

/// Whole strips [begin, end), each in this thread.
void emit_strips(KernelModule& m, Function& f, const Reduction& r) {
  Builder& b = f.b;
  ReductionEmitter e(f, r);
  b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value unit) {
    with_strip(m, e, unit, [&](Strip& strip) {
      Accumulators level1(e, m.vector_lanes());
      Value blocks = strip.blocks();
      Value several = b.less(b.integer(1), blocks);
      b.branch(b.bit_not(several), [&] {
        strip.sum_block(level1, b.integer(0));
        strip.finish(level1);
      });
      b.branch(several, [&] {
        UpperLevels upper(e, strip, m.vector_lanes());
        b.loop(b.integer(0), blocks, b.integer(1), [&](Value number) {
          strip.sum_block(level1, number);
          upper.take(number, blocks, [&](Value c) { return level1.total(c); });
        });
        upper.finish();
      });
    });
  });
}

/// What `blocks` gets after the kernel's own arguments: the memory for its sums, the first block, the strip.
struct BlockArguments {
  explicit BlockArguments(const runtime::KernelSpec& spec) : first(spec.num_inputs + static_cast<int>(spec.outputs.size())) {}
  int first;
  int cells() const { return first; }
  int block() const { return first + 1; }
  int strip() const { return first + 2; }
  int count() const { return first + 3; }
};

/// Blocks [begin, end) of one strip, counted from a first one: their sums go to memory.
void emit_blocks(KernelModule& m, Function& f, const Reduction& r) {
  Builder& b = f.b;
  ReductionEmitter e(f, r);
  const BlockArguments at(m.spec());
  Value cells = b.load_scalar(b.offset(f.args, b.ptr(), b.integer(at.cells())), b.ptr(), true);
  Value first = b.load_scalar(b.offset(f.args, b.i64(), b.integer(at.block())), b.i64(), false);
  Value unit = b.load_scalar(b.offset(f.args, b.i64(), b.integer(at.strip())), b.i64(), false);
  with_strip(m, e, unit, [&](Strip& strip) {
    Accumulators level1(e, m.vector_lanes());
    b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value i) {
      strip.sum_block(level1, b.add(first, i));
      level1.over(strip.width(), [&](Value c) { e.store_cells(level1.total(c), cells, b.add(b.mul(i, b.integer(kStrip)), c)); });
    });
  });
}

/// All strips one after the other, the blocks of each in parallel.
void emit_shared_strips(KernelModule& m, Function& f, ReductionEmitter& e) {
  Builder& b = f.b;
  const BlockArguments at(m.spec());
  Value args = b.stack(b.ptr(), at.count());
  Value cells = b.stack(e.cell(), kBlocksAtOnce * kStrip);
  for (int i = 0; i < at.first; ++i) b.store_scalar(f.e.input_pointer(i), b.offset(args, b.ptr(), b.integer(i)));
  b.store_scalar(cells, b.offset(args, b.ptr(), b.integer(at.cells())));
  b.loop(b.integer(0), count_strips(e), b.integer(1), [&](Value unit) {
    b.store_scalar(unit, b.offset(args, b.i64(), b.integer(at.strip())));
    with_strip(m, e, unit, [&](Strip& strip) {
      UpperLevels upper(e, strip, m.vector_lanes());
      Value blocks = strip.blocks();
      b.loop(b.integer(0), blocks, b.integer(kBlocksAtOnce), [&](Value first) {
        b.store_scalar(first, b.offset(args, b.i64(), b.integer(at.block())));
        Value count = b.min_signed(b.sub(blocks, first), b.integer(kBlocksAtOnce));
        m.call_parallel(f, "blocks", args, {count, b.integer(1)});
        b.loop(b.integer(0), count, b.integer(1), [&](Value i) {
          upper.take(b.add(first, i), blocks,
                     [&](Value c) { return e.load_cells(cells, b.add(b.mul(i, b.integer(kStrip)), c), m.vector_lanes()); });
        });
      });
      upper.finish();
    });
  });
}

}  // namespace

void emit_column_reduction(KernelModule& m, const Reduction& r) {
  m.add_function("range", 2, false, [&](Function& f) { emit_strips(m, f, r); });
  m.add_function("blocks", 2, false, [&](Function& f) { emit_blocks(m, f, r); });
  m.add_function(runtime::kKernelEntry, 0, true, [&](Function& f) {
    Builder& b = f.b;
    ReductionEmitter e(f, r);
    Value strips = count_strips(e);
    Value shared = b.bit_and(b.less(strips, b.integer(kFewStrips)), b.less(b.integer(kReduceBlock), e.length()));
    b.branch(shared, [&] { emit_shared_strips(m, f, e); });
    b.branch(b.bit_not(shared), [&] {
      Value columns = f.e.shapes().length(r.x, r.rank - 1);
      Value work = b.mul(b.min_signed(columns, b.integer(kStrip)), b.max_signed(e.length(), b.integer(1)));
      Value grain = b.binary<mlir::arith::DivUIOp>(b.integer(m.grain_elements()), b.max_signed(work, b.integer(1)));
      m.call_parallel(f, "range", f.args, {strips, b.max_signed(grain, b.integer(1))});
    });
  });
}

}  // namespace kiln::codegen
