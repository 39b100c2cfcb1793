// Reductions whose innermost axis is reduced: vectors run along it, and a tree combines the lanes. Also the reduction to one number, in
// parallel blocks.
#include "codegen/reduction.h"
#include "ops/numeric_order.h"

namespace kiln::codegen {

namespace {

using ops::kLanesRow;
using ops::kReduceBlock;
using Function = KernelModule::Function;

/// Bodies up to this cost are written out once for each vector of the 64 lanes, with the accumulators in registers.
constexpr int kCheapBody = 14;

/// The blocks and lanes of ops/numeric_order.h over elements that `element` gives.
class BlockReducer {
 public:
  /// Element i (lanes from i on) under a mask.
  using Element = std::function<Value(const Index& i, const Mask& mask)>;

  /// `limit`: the longest block there will be, if known to be short; lanes that it leaves absent are left out.
  BlockReducer(ReductionEmitter& e, int lanes, bool cheap, std::int64_t limit = kReduceBlock)
      : e_(e), b_(e.function().b), lanes_(std::min(lanes, kLanesRow)), vectors_(kLanesRow / lanes_), cheap_(cheap && limit >= kLanesRow) {
    while (lanes_ > 1 && lanes_ / 2 >= limit) lanes_ /= 2;
    while (vectors_ > 1 && std::int64_t{vectors_ / 2} * lanes_ >= limit) vectors_ /= 2;
    if (vectors_ > 1) cells_ = b_.stack(e.cell(), kLanesRow);
  }

  /// Elements [begin, end), one block: at most kReduceBlock of them, at least one.
  Value block(Value begin, Value end, const Element& element) {
    if (vectors_ == 1) return one_vector(begin, end, element);
    for (int v = 0; v < vectors_; ++v) e_.store_cells(b_.splat(e_.skip(), lanes_), cells_, b_.integer(v * lanes_));
    Value at = cheap_ ? whole_rounds(begin, end, element) : begin;
    single_vectors(at, end, element);
    Values accumulators;
    for (int v = 0; v < vectors_; ++v) accumulators.push_back(e_.load_cells(cells_, b_.integer(v * lanes_), lanes_));
    for (int half = vectors_ / 2; half > 0; half /= 2) {
      for (int v = 0; v < half; ++v) accumulators[v] = e_.combine(accumulators[v], accumulators[v + half]);
    }
    return e_.tree(accumulators[0]);
  }

 private:
  /// A block that fits into one vector.
  Value one_vector(Value begin, Value end, const Element& element) {
    if (lanes_ == 1) return vector(element, begin, {});
    Mask mask{b_.first_lanes(b_.sub(end, begin), lanes_), {}, {}};
    if (Builder::is_constant_equal(b_.sub(end, begin), lanes_)) mask = {};
    Value v = vector(element, begin, mask);
    return e_.tree(mask.lanes ? b_.select(mask.lanes, v, e_.skip()) : v);
  }

  /// As many times all 64 lanes as fit, in registers. Returns where it stopped.
  Value whole_rounds(Value begin, Value end, const Element& element) {
    Value length = b_.sub(end, begin);
    Value stop = b_.add(begin, b_.bit_and(length, b_.integer(-kLanesRow)));
    b_.branch(b_.less(begin, stop), [&] {
      Values initial(static_cast<std::size_t>(vectors_), b_.splat(e_.skip(), lanes_));
      Values sums = b_.loop(begin, stop, b_.integer(kLanesRow), initial, [&](Value i, mlir::ValueRange carried) {
        Values next;
        for (int v = 0; v < vectors_; ++v) next.push_back(e_.combine(carried[v], vector(element, b_.add(i, b_.integer(v * lanes_)), {})));
        return next;
      });
      for (int v = 0; v < vectors_; ++v) e_.store_cells(sums[v], cells_, b_.integer(v * lanes_));
    });
    return stop;
  }

  /// Vector by vector, accumulators in memory; the last one masked.
  void single_vectors(Value begin, Value end, const Element& element) {
    Value first = begin;
    vector_loop(b_, begin, end, lanes_, [&](Value i, const Mask& mask) {
      Value cell = b_.bit_and(b_.sub(i, first), b_.integer(kLanesRow - 1));
      Value before = e_.load_cells(cells_, cell, lanes_);
      Value after = e_.combine(before, vector(element, i, mask));
      e_.store_cells(mask.lanes ? b_.select(mask.lanes, after, before) : after, cells_, cell);
    });
  }

  Value vector(const Element& element, Value i, const Mask& mask) {
    const int before = b_.lanes();
    b_.set_lanes(lanes_);
    Value v = b_.splat(element({i, lanes_ > 1 ? 1 : 0, {}}, mask));
    b_.set_lanes(before);
    return v;
  }

  ReductionEmitter& e_;
  Builder& b_;
  int lanes_, vectors_;
  bool cheap_;
  Value cells_;
};

bool is_cheap(const KernelModule& m) { return m.body_cost() <= kCheapBody; }

/// Adds reduce_cells(..., n, cells, out): reduces n >= 1 accumulators in memory, at most a block, into one.
void add_cell_reducer(KernelModule& m, const Reduction& r) {
  m.add_function("reduce_cells", 3, false, [&](Function& f) {
    ReductionEmitter e(f, r);
    BlockReducer blocks(e, m.vector_lanes(), true);
    Value cells = f.b.pointer_to(f.extra[1]);
    Value result = blocks.block(f.b.integer(0), f.extra[0], [&](const Index& i, const Mask& mask) {
      Value address = f.b.offset(cells, e.cell(), i.base);
      return e.from_cell(f.b.hooks().load(f.b, address, mlir::VectorType::get({f.b.lanes()}, e.cell()), mask.lanes, false));
    });
    e.store_cells(result, f.b.pointer_to(f.extra[2]), f.b.integer(0));
  });
}

void reduce_cells(Function& f, ReductionEmitter& e, Value cells, Value n, Value out, Value out_index) {
  Builder& b = f.b;
  Value callee =
      mlir::LLVM::AddressOfOp::create(b.mlir(), b.location(), mlir::LLVM::LLVMPointerType::get(b.mlir().getContext()), "reduce_cells");
  b.call(callee, {f.args, f.dims, f.context, n, b.address_of(cells), b.address_of(b.offset(out, e.cell(), out_index))});
}

Value blocks_of(Builder& b, Value n) {
  return b.binary<mlir::arith::DivUIOp>(b.add(n, b.integer(kReduceBlock - 1)), b.integer(kReduceBlock));
}

/// Second and third level: results of blocks are collected, and reduced whenever a block of them is full.
class Levels {
 public:
  Levels(Function& f, ReductionEmitter& e)
      : f_(f), b_(f.b), e_(e), second_(b_.stack(e.cell(), kReduceBlock)), third_(b_.stack(e.cell(), kReduceBlock)) {}

  Value second() const { return second_; }
  /// `count` results (at least one) lie in second(): reduces them to result number n of the third level.
  void close(Value count, Value n) { reduce_cells(f_, e_, second_, count, third_, n); }
  /// The result of n closed groups.
  Value result(Value n) {
    reduce_cells(f_, e_, third_, n, third_, b_.integer(0));
    return e_.load_cells(third_, b_.integer(0), 1);
  }

 private:
  Function& f_;
  Builder& b_;
  ReductionEmitter& e_;
  Value second_, third_;
};

/// One result from all its elements, in this thread.
Value reduce_row(KernelModule& m, ReductionEmitter& e, BlockReducer& blocks, const BlockReducer::Element& element) {
  Function& f = e.function();
  Builder& b = f.b;
  Value n = e.length();
  std::int64_t known = 0;
  if (Builder::is_constant(n, known) && known <= kReduceBlock) {
    return known == 0 ? e.empty() : blocks.block(b.integer(0), n, element);
  }
  // One loop over blocks serves short rows (one block, the usual case) and long ones.
  Levels levels(f, e);
  Value count = blocks_of(b, n);
  Value total = b.branch(
      b.equal(n, b.integer(0)), {b.value_type(e.reduction().dtype)}, [&] { return Values{e.empty()}; },
      [&] {
        Value last = b.loop(b.integer(0), count, b.integer(1), Values{e.skip()}, [&](Value i, mlir::ValueRange) {
          Value begin = b.mul(i, b.integer(kReduceBlock));
          Value result = blocks.block(begin, b.min_signed(b.add(begin, b.integer(kReduceBlock)), n), element);
          Value slot = b.bit_and(i, b.integer(kReduceBlock - 1));
          b.branch(b.less(b.integer(1), count), [&] {
            e.store_cells(result, levels.second(), slot);
            Value full = b.equal(slot, b.integer(kReduceBlock - 1));
            Value end = b.equal(b.add(i, b.integer(1)), count);
            b.branch(b.bit_or(full, end),
                     [&] { levels.close(b.add(slot, b.integer(1)), b.binary<mlir::arith::DivUIOp>(i, b.integer(kReduceBlock))); });
          });
          return Values{result};
        })[0];
        Value several = b.less(b.integer(1), count);
        return b.branch(
            several, {b.value_type(e.reduction().dtype)}, [&] { return Values{levels.result(blocks_of(b, count))}; },
            [&] { return Values{last}; });
      })[0];
  return total;
}

/// The length of a block, as far as it is known.
std::int64_t block_limit(ReductionEmitter& e) {
  std::int64_t known = kReduceBlock;
  return Builder::is_constant(e.length(), known) ? std::max<std::int64_t>(known, 1) : kReduceBlock;
}

}  // namespace

void emit_row_reduction(KernelModule& m, const Reduction& r) {
  add_cell_reducer(m, r);
  m.add_function("range", 2, false, [&](Function& f) {
    ReductionEmitter e(f, r);
    BlockReducer blocks(e, m.vector_lanes(), is_cheap(m), block_limit(e));
    f.b.loop(f.extra[0], f.extra[1], f.b.integer(1), [&](Value row) {
      const llvm::SmallVector<Index, 4> kept = e.kept_at(row);
      Value result = reduce_row(m, e, blocks, [&](const Index& i, const Mask& mask) { return e.element(kept, i, mask); });
      f.b.set_lanes(1);
      e.finish(kept, result, {});
    });
  });
  m.add_parallel_entry("range", [&](Function& f) {
    ReductionEmitter e(f, r);
    Value grain = f.b.binary<mlir::arith::DivUIOp>(f.b.integer(m.grain_elements()), f.b.max_signed(e.length(), f.b.integer(1)));
    return KernelModule::Extent{e.results(), f.b.max_signed(grain, f.b.integer(1))};
  });
}

void emit_full_reduction(KernelModule& m, const Reduction& r) {
  add_cell_reducer(m, r);
  // args here: the kernel's, then the cells of the second level; extra: blocks counted from the group that `args` names last.
  const int arguments = m.spec().num_inputs + static_cast<int>(m.spec().outputs.size());
  m.add_function("range", 2, false, [&](Function& f) {
    Builder& b = f.b;
    ReductionEmitter e(f, r);
    BlockReducer blocks(e, m.vector_lanes(), is_cheap(m), block_limit(e));
    Value cells = b.load_scalar(b.offset(f.args, b.ptr(), b.integer(arguments)), b.ptr(), true);
    Value group = b.load_scalar(b.offset(f.args, b.i64(), b.integer(arguments + 1)), b.i64(), false);
    b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value i) {
      Value begin = b.mul(b.add(group, i), b.integer(kReduceBlock));
      Value end = b.min_signed(b.add(begin, b.integer(kReduceBlock)), e.length());
      Value result = blocks.block(begin, end, [&](const Index& at, const Mask& mask) { return e.element({}, at, mask); });
      e.store_cells(result, cells, i);
    });
  });
  m.add_function(runtime::kKernelEntry, 0, true, [&](Function& f) {
    Builder& b = f.b;
    ReductionEmitter e(f, r);
    Levels levels(f, e);
    Value args = b.stack(b.ptr(), arguments + 2);
    for (int i = 0; i < arguments; ++i) b.store_scalar(f.e.input_pointer(i), b.offset(args, b.ptr(), b.integer(i)));
    b.store_scalar(levels.second(), b.offset(args, b.ptr(), b.integer(arguments)));
    Value count = blocks_of(b, e.length());
    Value grain = b.integer(std::max<std::int64_t>(1, m.grain_elements() / kReduceBlock));
    b.loop(b.integer(0), count, b.integer(kReduceBlock), [&](Value group) {
      b.store_scalar(group, b.offset(args, b.i64(), b.integer(arguments + 1)));
      Value size = b.min_signed(b.sub(count, group), b.integer(kReduceBlock));
      m.call_parallel(f, "range", args, {size, grain});
      levels.close(size, b.binary<mlir::arith::DivUIOp>(group, b.integer(kReduceBlock)));
    });
    Value result = b.branch(
        b.equal(count, b.integer(0)), {b.value_type(r.dtype)}, [&] { return Values{e.empty()}; },
        [&] { return Values{levels.result(blocks_of(b, count))}; })[0];
    b.set_lanes(1);
    e.finish({}, result, {});
  });
}

}  // namespace kiln::codegen
