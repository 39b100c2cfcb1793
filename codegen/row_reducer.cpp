// Blocks and levels of row reductions.
#include "codegen/row_reducer.h"

namespace kiln::codegen {

using ops::kLanesRow;
using ops::kReduceBlock;

BlockReducer::BlockReducer(ReductionEmitter& e, int lanes, bool unrolled, std::int64_t limit)
    : e_(e),
      b_(e.function().b),
      lanes_(std::min(lanes, kLanesRow)),
      vectors_(kLanesRow / lanes_),
      unrolled_(unrolled && limit >= kLanesRow) {
  while (lanes_ > 1 && lanes_ / 2 >= limit) lanes_ /= 2;
  while (vectors_ > 1 && std::int64_t{vectors_ / 2} * lanes_ >= limit) vectors_ /= 2;
  if (vectors_ > 1) cells_ = b_.stack(e.cell(), kLanesRow);
}

Value BlockReducer::block(Value begin, Value end, const Element& element) {
  if (vectors_ == 1) return one_vector(begin, end, element);
  Values accumulators(static_cast<std::size_t>(vectors_), b_.splat(e_.skip(), lanes_));
  Value at = begin;
  if (unrolled_) {
    at = b_.add(begin, b_.bit_and(b_.sub(end, begin), b_.integer(-kLanesRow)));
    accumulators = whole_rounds(begin, at, element);
  }
  std::int64_t left = 1, stop = 0;
  const bool done = Builder::is_constant(at, left) && Builder::is_constant(end, stop) && left == stop;
  if (!done) {
    for (int v = 0; v < vectors_; ++v) e_.store_cells(accumulators[v], cells_, b_.integer(v * lanes_));
    single_vectors(at, end, element);
    for (int v = 0; v < vectors_; ++v) accumulators[v] = e_.load_cells(cells_, b_.integer(v * lanes_), lanes_);
  }
  for (int half = vectors_ / 2; half > 0; half /= 2) {
    for (int v = 0; v < half; ++v) accumulators[v] = e_.combine(accumulators[v], accumulators[v + half]);
  }
  return e_.tree(accumulators[0]);
}

/// A block that fits into one vector.
Value BlockReducer::one_vector(Value begin, Value end, const Element& element) {
  if (lanes_ == 1) return vector(element, begin, {});
  Mask mask{b_.first_lanes(b_.sub(end, begin), lanes_), {}, {}};
  if (Builder::is_constant_equal(b_.sub(end, begin), lanes_)) mask = {};
  Value v = vector(element, begin, mask);
  return e_.tree(mask.lanes ? b_.select(mask.lanes, v, e_.skip()) : v);
}

/// Elements up to `stop`, all 64 lanes at a time, in registers.
Values BlockReducer::whole_rounds(Value begin, Value stop, const Element& element) {
  const Values initial(static_cast<std::size_t>(vectors_), b_.splat(e_.skip(), lanes_));
  return b_.loop(begin, stop, b_.integer(kLanesRow), initial, [&](Value i, mlir::ValueRange carried) {
    Values next;
    for (int v = 0; v < vectors_; ++v) next.push_back(e_.combine(carried[v], vector(element, b_.add(i, b_.integer(v * lanes_)), {})));
    return next;
  });
}

/// Vector by vector, accumulators in memory; the last one masked.
void BlockReducer::single_vectors(Value begin, Value end, const Element& element) {
  vector_loop(b_, begin, end, lanes_, [&](Value i, const Mask& mask) {
    Value cell = b_.bit_and(b_.sub(i, begin), b_.integer(kLanesRow - 1));
    Value before = e_.load_cells(cells_, cell, lanes_);
    Value after = e_.combine(before, vector(element, i, mask));
    e_.store_cells(mask.lanes ? b_.select(mask.lanes, after, before) : after, cells_, cell);
  });
}

Value BlockReducer::vector(const Element& element, Value i, const Mask& mask) {
  const int before = b_.lanes();
  b_.set_lanes(lanes_);
  Value v = b_.splat(element({i, lanes_ > 1 ? 1 : 0, {}, lanes_ >= 4}, mask));
  b_.set_lanes(before);
  return v;
}

namespace {
std::string cell_reducer(const Reduction& r) { return "reduce_cells_" + std::to_string(r.root); }
}  // namespace

void add_cell_reducer(KernelModule& m, const Reduction& r) {
  // (..., n, cells, out)
  m.add_function(cell_reducer(r).c_str(), 3, false, [&](KernelModule::Function& f) {
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

Levels::Levels(ReductionEmitter& e)
    : e_(e), b_(e.function().b), second_(b_.stack(e.cell(), kReduceBlock)), third_(b_.stack(e.cell(), kReduceBlock)) {}

void Levels::close(Value count, Value n) { reduce_cells(second_, count, third_, n); }

Value Levels::result(Value n) {
  reduce_cells(third_, n, third_, b_.integer(0));
  return e_.load_cells(third_, b_.integer(0), 1);
}

void Levels::reduce_cells(Value cells, Value n, Value out, Value out_index) {
  KernelModule::Function& f = e_.function();
  auto plain = mlir::LLVM::LLVMPointerType::get(b_.mlir().getContext());
  Value callee = mlir::LLVM::AddressOfOp::create(b_.mlir(), b_.location(), plain, cell_reducer(e_.reduction()));
  b_.call(callee, {f.args, f.dims, f.context, n, b_.address_of(cells), b_.address_of(b_.offset(out, e_.cell(), out_index))});
}

Value blocks_of(Builder& b, Value n) {
  return b.binary<mlir::arith::DivUIOp>(b.add(n, b.integer(kReduceBlock - 1)), b.integer(kReduceBlock));
}

std::int64_t block_limit(ReductionEmitter& e) {
  std::int64_t known = kReduceBlock;
  return Builder::is_constant(e.length(), known) ? std::clamp<std::int64_t>(known, 1, kReduceBlock) : kReduceBlock;
}

Value reduce_row(ReductionEmitter& e, BlockReducer& blocks, const BlockReducer::Element& element) {
  Builder& b = e.function().b;
  Value n = e.length();
  std::int64_t known = 0;
  if (Builder::is_constant(n, known) && known <= kReduceBlock) {
    return known == 0 ? e.empty() : blocks.block(b.integer(0), n, element);
  }
  // One loop over blocks serves short rows (one block, the usual case) and long ones.
  Levels levels(e);
  Value count = blocks_of(b, n);
  const Type type = b.value_type(e.reduction().dtype);
  return b.branch(
      b.equal(n, b.integer(0)), {type}, [&] { return Values{e.empty()}; },
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
        return b.branch(several, {type}, [&] { return Values{levels.result(blocks_of(b, count))}; }, [&] { return Values{last}; });
      })[0];
}

}  // namespace kiln::codegen
