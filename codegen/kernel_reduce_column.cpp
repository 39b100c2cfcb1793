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

/// The strip of columns [first, first + width) of one result row: all reduced elements, level by level.
void emit_strip(KernelModule& m, ReductionEmitter& e, llvm::ArrayRef<Index> outer, Value first, Value width) {
  Function& f = e.function();
  Builder& b = f.b;
  const int lanes = m.vector_lanes();
  Accumulators level1(e, lanes), level2(e, lanes), level3(e, lanes);
  Value n = e.length();
  Value block = b.integer(kReduceBlock);
  const auto groups = [&](Value count) { return b.binary<mlir::arith::DivUIOp>(b.add(count, b.integer(kReduceBlock - 1)), block); };
  Value blocks = groups(n);
  Value several = b.less(b.integer(1), blocks);
  const auto kept = [&](Value c) {
    llvm::SmallVector<Index, 4> all(outer.begin(), outer.end());
    all.push_back({b.add(first, c), b.lanes() > 1 ? 1 : 0, {}});
    return all;
  };
  const auto finish = [&](Accumulators& level) {
    vector_loop(b, b.integer(0), width, lanes, [&](Value c, const Mask& mask) {
      Value empty = b.equal(n, b.integer(0));
      e.finish(kept(c), b.select(empty, b.splat(e.empty(), lanes), level.total(c)), mask);
    });
  };
  b.branch(several, [&] { level3.clear(width); });
  b.loop(b.integer(0), b.max_signed(groups(blocks), b.integer(1)), b.integer(1), [&](Value group) {
    b.branch(several, [&] { level2.clear(width); });
    Value first_block = b.mul(group, block);
    Value end_block = b.min_signed(b.add(first_block, block), b.max_signed(blocks, b.integer(1)));
    b.loop(first_block, end_block, b.integer(1), [&](Value number) {
      level1.clear(width);
      Value begin = b.mul(number, block);
      b.loop(begin, b.min_signed(b.add(begin, block), n), b.integer(1), [&](Value i) {
        vector_loop(b, b.integer(0), width, lanes,
                    [&](Value c, const Mask& mask) { level1.take(i, c, b.splat(e.element(kept(c), {i}, mask))); });
      });
      b.branch(several, [&] { level1.over(width, [&](Value c) { level2.take(number, c, level1.total(c)); }); });
    });
    b.branch(several, [&] { level1.over(width, [&](Value c) { level3.take(group, c, level2.total(c)); }); });
  });
  b.branch(several, [&] { finish(level3); });
  b.branch(b.bit_not(several), [&] { finish(level1); });
}

}  // namespace

void emit_column_reduction(KernelModule& m, const Reduction& r) {
  const auto strips = [&](Function& f, ReductionEmitter& e, Value& width, Value& outer) {
    width = f.e.shapes().length(r.x, r.rank - 1);
    outer = f.b.integer(1);
    for (std::size_t i = 0; i + 1 < r.kept.size(); ++i) outer = f.b.mul(outer, f.e.shapes().length(r.x, r.kept[i]));
    return f.b.binary<mlir::arith::DivUIOp>(f.b.add(width, f.b.integer(kStrip - 1)), f.b.integer(kStrip));
  };
  m.add_function("range", 2, false, [&](Function& f) {
    Builder& b = f.b;
    ReductionEmitter e(f, r);
    Value width, outer;
    Value per_row = strips(f, e, width, outer);
    b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value unit) {
      auto [row, strip] = f.e.indexing().divide({unit}, per_row);
      llvm::SmallVector<Index, 4> kept(r.kept.size() - 1);
      Index rest = row;
      for (std::size_t axis = kept.size(); axis-- > 1;) {
        auto [quotient, remainder] = f.e.indexing().divide(rest, f.e.shapes().length(r.x, r.kept[axis]));
        kept[axis] = remainder;
        rest = quotient;
      }
      if (!kept.empty()) kept[0] = rest;
      Value first = b.mul(strip.base, b.integer(kStrip));
      emit_strip(m, e, kept, first, b.min_signed(b.sub(width, first), b.integer(kStrip)));
    });
  });
  m.add_parallel_entry("range", [&](Function& f) {
    Builder& b = f.b;
    ReductionEmitter e(f, r);
    Value width, outer;
    Value per_row = strips(f, e, width, outer);
    Value work = b.mul(b.min_signed(width, b.integer(kStrip)), b.max_signed(e.length(), b.integer(1)));
    Value grain = b.binary<mlir::arith::DivUIOp>(b.integer(m.grain_elements()), b.max_signed(work, b.integer(1)));
    return KernelModule::Extent{b.mul(outer, per_row), b.max_signed(grain, b.integer(1))};
  });
}

}  // namespace kiln::codegen
