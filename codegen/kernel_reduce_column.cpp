// Reductions whose innermost axis is kept: vectors run along it, a strip of columns at a time, with four rows of accumulators a reduction
// in the L1 cache.
#include "codegen/reduction.h"
#include "ops/numeric_order.h"
#include "ops/op.h"
#include "passes/cost_model.h"

namespace kiln::codegen {

namespace {

using ops::kLanesColumn;
using ops::kReduceBlock;
using Function = KernelModule::Function;

/// Columns that one thread sums at a time: fewer where more accumulators would leave no room for anything else in the L1 cache.
std::int64_t strip_of(SiblingEmitters& e) { return e.size() <= 2 ? 512 : 256; }
/// Bytes that several inputs are asked for ahead of time: the processor foresees one by itself.
constexpr std::int64_t kAheadBytes = 8192;
/// With fewer strips than this, the blocks of each are shared among threads.
constexpr std::int64_t kFewStrips = 16;
/// Blocks whose sums are collected before they are added up.
constexpr std::int64_t kBlocksAtOnce = 64;

/// One level of accumulators: for each reduction kLanesColumn rows of a strip.
class Accumulators {
 public:
  Accumulators(SiblingEmitters& e, int lanes) : e_(e), b_(e.first().function().b), lanes_(lanes), strip_(strip_of(e)) {
    for (ReductionEmitter& reduction : e) cells_.push_back(b_.stack(reduction.cell(), kLanesColumn * strip_));
  }

  void clear(Value width) {
    over(width, [&](Value c) {
      for (std::size_t k = 0; k < e_.size(); ++k) {
        Value nothing = b_.splat(e_[k].skip(), lanes_);
        for (int lane = 0; lane < kLanesColumn; ++lane) e_[k].store_cells(nothing, cells_[k], row(b_.integer(lane), c));
      }
    });
  }
  /// Combines v (one a reduction), at column c, into the accumulators of element number i.
  void take(Value i, Value c, const Values& v) {
    Value at = row(b_.bit_and(i, b_.integer(kLanesColumn - 1)), c);
    for (std::size_t k = 0; k < e_.size(); ++k) {
      e_[k].store_cells(e_[k].combine(e_[k].load_cells(cells_[k], at, lanes_), v[k]), cells_[k], at);
    }
  }
  /// Sets the accumulators of the first `columns` columns: v (one a reduction) holds those of all lanes, one lane after the other.
  void set(const Values& v, int columns) {
    for (std::size_t k = 0; k < e_.size(); ++k) {
      for (int lane = 0; lane < kLanesColumn; ++lane)
        e_[k].store_cells(b_.slice(v[k], lane * columns, columns), cells_[k], row(b_.integer(lane), b_.integer(0)));
    }
  }
  /// The trees over the lanes at column c.
  Values total(Value c) {
    Values totals;
    for (std::size_t k = 0; k < e_.size(); ++k) totals.push_back(total(k, c));
    return totals;
  }
  /// Calls f for each vector of columns, whole vectors only: accumulators past the width are harmless.
  void over(Value width, const std::function<void(Value c)>& f) { b_.loop(b_.integer(0), width, b_.integer(lanes_), f); }

 private:
  Value total(std::size_t k, Value c) {
    Values v;
    for (int lane = 0; lane < kLanesColumn; ++lane) v.push_back(e_[k].load_cells(cells_[k], row(b_.integer(lane), c), lanes_));
    for (int half = kLanesColumn / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) v[i] = e_[k].combine(v[i], v[i + half]);
    }
    return v[0];
  }
  Value row(Value lane, Value c) { return b_.add(b_.mul(lane, b_.integer(strip_)), c); }
  SiblingEmitters& e_;
  Builder& b_;
  int lanes_;
  std::int64_t strip_;
  Values cells_;  ///< by reduction
};

/// Inputs that the reductions' elements need at their own index.
std::vector<int> streams(SiblingEmitters& e) {
  const runtime::KernelSpec& spec = e.first().function().e.spec();
  const auto& shape = spec.body[static_cast<std::size_t>(e.first().reduction().x)].shape;
  std::vector<int> result;
  std::vector<bool> needed(spec.body.size(), false);
  for (ReductionEmitter& reduction : e) needed[static_cast<std::size_t>(reduction.reduction().x)] = true;
  for (std::size_t n = spec.body.size(); n-- > 0;) {
    const runtime::BodyNode& node = spec.body[n];
    if (!needed[n]) continue;
    if (node.op.empty() && node.shape == shape) result.push_back(static_cast<int>(n));
    if (node.op.empty() || (node.op != "cast" && ops::op(node.op).kind != ops::OpKind::elementwise)) continue;
    for (std::int32_t operand : node.operands) needed[static_cast<std::size_t>(operand)] = true;
  }
  return result;
}

/// Whether it pays to compute such an op for several rows at a time.
bool runs_through_rows(const runtime::BodyNode& node) {
  if (node.op.empty() || node.op == "cast" || node.op == "broadcast" || node.op == "constant" || node.op == "iota") return true;
  return node.op == "reduce" || ops::op(node.op).kind == ops::OpKind::elementwise;
}

/// The number of columns, if they are so few that a vector holds the elements of as many rows as there are lanes of accumulators, and if
/// what is summed may be read that way; else 0.
int few_columns(SiblingEmitters& e) {
  const Reduction& r = e.first().reduction();
  ElementEmitter& elements = e.first().function().e;
  std::int64_t columns = 0;
  if (r.reduced.size() != 1 || r.reduced[0] != r.rank - 2) return 0;
  if (!Builder::is_constant(elements.shapes().length(r.x, r.rank - 1), columns) || columns > passes::cost::kFewColumns) return 0;
  for (const runtime::BodyNode& node : elements.spec().body) {
    if (!runs_through_rows(node)) return 0;
  }
  return static_cast<int>(columns);
}

/// Everything about the columns [first, first + width) of one result row.
class Strip {
 public:
  Strip(KernelModule& m, SiblingEmitters& e, llvm::ArrayRef<Index> outer, Value first, Value width)
      : e_(e),
        b_(e.first().function().b),
        lanes_(m.vector_lanes()),
        few_columns_(few_columns(e)),
        streams_(streams(e)),
        outer_(outer.begin(), outer.end()),
        first_(first),
        width_(width) {}

  Value width() const { return width_; }
  Value blocks() { return groups_of(e_.first().length()); }
  /// Number of blocks that n elements make.
  Value groups_of(Value n) { return b_.binary<mlir::arith::DivUIOp>(b_.add(n, b_.integer(kReduceBlock - 1)), b_.integer(kReduceBlock)); }

  /// The elements of block `number`.
  void sum_block(Accumulators& level, Value number) {
    level.clear(width_);
    Value begin = b_.mul(number, b_.integer(kReduceBlock));
    Value end = b_.min_signed(b_.add(begin, b_.integer(kReduceBlock)), e_.first().length());
    if (few_columns_ > 0) return sum_few_columns(level, begin, end);
    b_.loop(begin, end, b_.integer(1), [&](Value i) {
      vector_loop(b_, b_.integer(0), width_, lanes_, [&](Value c, const Mask& mask) {
        const Kept column = kept(c);
        fetch_ahead(column, i);
        Values elements;
        for (ReductionEmitter& e : e_) elements.push_back(b_.splat(e.element(column, {i}, mask)));
        level.take(i, c, elements);
      });
    });
  }
  /// Writes the outputs.
  void finish(Accumulators& level) {
    vector_loop(b_, b_.integer(0), width_, lanes_, [&](Value c, const Mask& mask) {
      Value empty = b_.equal(e_.first().length(), b_.integer(0));
      Values results = level.total(c);
      for (std::size_t k = 0; k < e_.size(); ++k) results[k] = b_.select(empty, b_.splat(e_[k].empty(), lanes_), results[k]);
      e_.finish(kept(c), results, mask);
    });
  }

 private:
  using Kept = llvm::SmallVector<Index, 4>;

  /// Rows [begin, end), as many at a time as there are lanes of accumulators, which stay in registers.
  void sum_few_columns(Accumulators& level, Value begin, Value end) {
    const int lanes = kLanesColumn * few_columns_;
    const int before = b_.lanes();
    b_.set_lanes(lanes);
    Values sums;
    for (ReductionEmitter& e : e_) sums.push_back(b_.splat(e.skip(), lanes));
    const auto next = [&](Value row, mlir::ValueRange carried, const Mask& mask) {
      const Index rows{row, 0, b_.constant_lanes([&](int lane) { return lane / few_columns_; })};
      const Index columns{{}, 0, b_.constant_lanes([&](int lane) { return lane % few_columns_; })};
      Kept column(outer_.begin(), outer_.end());
      column.push_back(columns);
      Values after;
      for (std::size_t k = 0; k < e_.size(); ++k) {
        Value v = e_[k].combine(carried[k], b_.splat(e_[k].element(column, rows, mask), lanes));
        after.push_back(mask.lanes ? b_.select(mask.lanes, v, carried[k]) : v);
      }
      return after;
    };
    Value rest = b_.bit_and(b_.sub(end, begin), b_.integer(kLanesColumn - 1));
    Value middle = b_.sub(end, rest);
    sums =
        b_.loop(begin, middle, b_.integer(kLanesColumn), sums, [&](Value row, mlir::ValueRange carried) { return next(row, carried, {}); });
    sums = b_.loop(middle, end, b_.integer(kLanesColumn), sums, [&](Value row, mlir::ValueRange carried) {
      return next(row, carried, {b_.first_lanes(b_.mul(rest, b_.integer(few_columns_)), lanes), {}, {}});
    });
    b_.set_lanes(before);
    level.set(sums, few_columns_);
  }

  /// The column's elements some rows after row i.
  void fetch_ahead(const Kept& column, Value i) {
    const Reduction& r = e_.first().reduction();
    if (r.reduced.size() != 1 || streams_.size() < 2) return;
    ElementEmitter& elements = e_.first().function().e;
    for (int input : streams_) {
      const auto bytes = static_cast<std::int64_t>(size_of(elements.node(input).dtype));
      Value rows = b_.binary<mlir::arith::DivUIOp>(b_.integer(kAheadBytes / bytes), b_.max_signed(width_, b_.integer(1)));
      Position at;
      at.at.resize(static_cast<std::size_t>(r.rank));
      for (std::size_t axis = 0; axis < column.size(); ++axis) at.at[static_cast<std::size_t>(r.kept[axis])] = column[axis];
      at.at[static_cast<std::size_t>(r.reduced[0])] = {b_.add(i, b_.add(rows, b_.integer(1)))};
      elements.prefetch(input, at);
    }
  }

  Kept kept(Value c) const {
    Kept all(outer_.begin(), outer_.end());
    all.push_back({b_.add(first_, c), b_.lanes() > 1 ? 1 : 0, {}});
    return all;
  }
  SiblingEmitters& e_;
  Builder& b_;
  int lanes_, few_columns_;
  std::vector<int> streams_;  ///< inputs that are read element by element
  Kept outer_;
  Value first_, width_;
};

/// The sums of blocks, added up level by level.
class UpperLevels {
 public:
  UpperLevels(SiblingEmitters& e, Strip& strip, int lanes)
      : b_(e.first().function().b), strip_(strip), level2_(e, lanes), level3_(e, lanes) {
    level2_.clear(strip.width());
    level3_.clear(strip.width());
  }
  /// Block `number` of `blocks` has the sums that total(c) gives, one a reduction. Blocks come in order.
  void take(Value number, Value blocks, const std::function<Values(Value c)>& total) {
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
void with_strip(KernelModule& m, SiblingEmitters& e, Value unit, const std::function<void(Strip& strip)>& f) {
  Builder& b = e.first().function().b;
  ElementEmitter& elements = e.first().function().e;
  const Reduction& r = e.first().reduction();
  const std::int64_t columns_of_strip = strip_of(e);
  Value columns = elements.shapes().length(r.x, r.rank - 1);
  std::int64_t known = 0;
  if (Builder::is_constant(columns, known)) columns = b.opaque(known);
  Value per_row = b.binary<mlir::arith::DivUIOp>(b.add(columns, b.integer(columns_of_strip - 1)), b.integer(columns_of_strip));
  auto [row, number] = elements.indexing().divide({unit}, per_row);
  llvm::SmallVector<Index, 4> outer(r.kept.size() - 1);
  Index rest = row;
  for (std::size_t axis = outer.size(); axis-- > 1;) {
    auto [quotient, remainder] = elements.indexing().divide(rest, elements.shapes().length(r.x, r.kept[axis]));
    outer[axis] = remainder;
    rest = quotient;
  }
  if (!outer.empty()) outer[0] = rest;
  Value first = b.mul(number.base, b.integer(columns_of_strip));
  Strip strip(m, e, outer, first, b.min_signed(b.sub(columns, first), b.integer(columns_of_strip)));
  f(strip);
}

/// Number of strips.
Value count_strips(SiblingEmitters& e) {
  Builder& b = e.first().function().b;
  BodyShapes& shapes = e.first().function().e.shapes();
  const Reduction& r = e.first().reduction();
  const std::int64_t columns_of_strip = strip_of(e);
  Value columns = shapes.length(r.x, r.rank - 1);
  Value strips = b.binary<mlir::arith::DivUIOp>(b.add(columns, b.integer(columns_of_strip - 1)), b.integer(columns_of_strip));
  for (std::size_t i = 0; i + 1 < r.kept.size(); ++i) strips = b.mul(strips, shapes.length(r.x, r.kept[i]));
  return strips;
}

/// Whole strips [begin, end), each in this thread.
void emit_strips(KernelModule& m, Function& f, std::span<const Reduction> reductions) {
  Builder& b = f.b;
  SiblingEmitters e(f, reductions);
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

/// What `blocks` gets after the kernel's own arguments: the memory for the sums of each reduction, the first block, the strip.
struct BlockArguments {
  BlockArguments(const runtime::KernelSpec& spec, std::size_t reductions)
      : first(spec.num_inputs + static_cast<int>(spec.outputs.size())), reductions(static_cast<int>(reductions)) {}
  int first, reductions;
  int cells(std::size_t reduction) const { return first + static_cast<int>(reduction); }
  int block() const { return first + reductions; }
  int strip() const { return first + reductions + 1; }
  int count() const { return first + reductions + 2; }
};

/// Blocks [begin, end) of one strip, counted from a first one: their sums go to memory.
void emit_blocks(KernelModule& m, Function& f, std::span<const Reduction> reductions) {
  Builder& b = f.b;
  SiblingEmitters e(f, reductions);
  const BlockArguments at(m.spec(), e.size());
  Values cells;
  for (std::size_t k = 0; k < e.size(); ++k)
    cells.push_back(b.load_scalar(b.offset(f.args, b.ptr(), b.integer(at.cells(k))), b.ptr(), true));
  Value first = b.load_scalar(b.offset(f.args, b.i64(), b.integer(at.block())), b.i64(), false);
  Value unit = b.load_scalar(b.offset(f.args, b.i64(), b.integer(at.strip())), b.i64(), false);
  with_strip(m, e, unit, [&](Strip& strip) {
    Accumulators level1(e, m.vector_lanes());
    b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value i) {
      strip.sum_block(level1, b.add(first, i));
      level1.over(strip.width(), [&](Value c) {
        const Values totals = level1.total(c);
        Value to = b.add(b.mul(i, b.integer(strip_of(e))), c);
        for (std::size_t k = 0; k < e.size(); ++k) e[k].store_cells(totals[k], cells[k], to);
      });
    });
  });
}

/// All strips one after the other, the blocks of each in parallel.
void emit_shared_strips(KernelModule& m, Function& f, SiblingEmitters& e) {
  Builder& b = f.b;
  const BlockArguments at(m.spec(), e.size());
  Value args = b.stack(b.ptr(), at.count());
  for (int i = 0; i < at.first; ++i) b.store_scalar(f.e.input_pointer(i), b.offset(args, b.ptr(), b.integer(i)));
  Values cells;
  for (std::size_t k = 0; k < e.size(); ++k) {
    cells.push_back(b.stack(e[k].cell(), kBlocksAtOnce * strip_of(e)));
    b.store_scalar(cells[k], b.offset(args, b.ptr(), b.integer(at.cells(k))));
  }
  const auto sums = [&](Value i, Value c) {
    Value from = b.add(b.mul(i, b.integer(strip_of(e))), c);
    Values v;
    for (std::size_t k = 0; k < e.size(); ++k) v.push_back(e[k].load_cells(cells[k], from, m.vector_lanes()));
    return v;
  };
  b.loop(b.integer(0), count_strips(e), b.integer(1), [&](Value unit) {
    b.store_scalar(unit, b.offset(args, b.i64(), b.integer(at.strip())));
    with_strip(m, e, unit, [&](Strip& strip) {
      UpperLevels upper(e, strip, m.vector_lanes());
      Value blocks = strip.blocks();
      b.loop(b.integer(0), blocks, b.integer(kBlocksAtOnce), [&](Value first) {
        b.store_scalar(first, b.offset(args, b.i64(), b.integer(at.block())));
        Value count = b.min_signed(b.sub(blocks, first), b.integer(kBlocksAtOnce));
        m.call_parallel(f, "blocks", args, {count, b.integer(1)});
        b.loop(b.integer(0), count, b.integer(1),
               [&](Value i) { upper.take(b.add(first, i), blocks, [&](Value c) { return sums(i, c); }); });
      });
      upper.finish();
    });
  });
}

}  // namespace

void emit_column_reductions(KernelModule& m, std::span<const Reduction> reductions) {
  m.add_function("range", 2, false, [&](Function& f) { emit_strips(m, f, reductions); });
  m.add_function("blocks", 2, false, [&](Function& f) { emit_blocks(m, f, reductions); });
  m.add_function(runtime::kKernelEntry, 0, true, [&](Function& f) {
    Builder& b = f.b;
    SiblingEmitters e(f, reductions);
    Value strips = count_strips(e);
    Value length = e.first().length();
    Value shared = b.bit_and(b.less(strips, b.integer(kFewStrips)), b.less(b.integer(kReduceBlock), length));
    b.branch(shared, [&] { emit_shared_strips(m, f, e); });
    b.branch(b.bit_not(shared), [&] {
      const Reduction& r = e.first().reduction();
      Value columns = f.e.shapes().length(r.x, r.rank - 1);
      Value work = b.mul(b.min_signed(columns, b.integer(strip_of(e))), b.max_signed(length, b.integer(1)));
      m.call_parallel(f, "range", f.args, m.extent(b, strips, work));
    });
  });
}

}  // namespace kiln::codegen
