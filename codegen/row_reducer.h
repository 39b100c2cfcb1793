// Reductions along an innermost axis, in the order of ops/numeric_order.h: blocks, 64 lanes, trees. Shared by the kernels that reduce rows.
#pragma once
#include "codegen/reduction.h"
#include "ops/numeric_order.h"

namespace kiln::codegen {

/// The blocks and lanes of ops/numeric_order.h over elements that `element` gives.
class BlockReducer {
 public:
  /// Element i (lanes from i on) under a mask.
  using Element = std::function<Value(const Index& i, const Mask& mask)>;

  /// `unrolled`: the elements are written out once for each vector of the 64 lanes, with the accumulators in registers. `limit`: the
  /// longest block there will be, if known to be short; lanes that it leaves absent are left out.
  BlockReducer(ReductionEmitter& e, int lanes, bool unrolled, std::int64_t limit = ops::kReduceBlock);

  /// Elements [begin, end), one block: at most kReduceBlock of them, at least one.
  Value block(Value begin, Value end, const Element& element);

 private:
  Value one_vector(Value begin, Value end, const Element& element);
  Values whole_rounds(Value begin, Value stop, const Element& element);
  void single_vectors(Value begin, Value end, const Element& element);
  Value vector(const Element& element, Value i, const Mask& mask);

  ReductionEmitter& e_;
  Builder& b_;
  int lanes_, vectors_;
  bool unrolled_;
  Value cells_;
};

/// Adds the function that reduces n >= 1 accumulators in memory, at most a block, into one; rows of several blocks need it.
void add_cell_reducer(KernelModule& m, const Reduction& r);

/// Second and third level: results of blocks are collected, and reduced whenever a block of them is full.
class Levels {
 public:
  explicit Levels(ReductionEmitter& e);
  Value second() const { return second_; }
  /// `count` results (at least one) lie in second(): reduces them to result number n of the third level.
  void close(Value count, Value n);
  /// The result of n closed groups.
  Value result(Value n);

 private:
  void reduce_cells(Value cells, Value n, Value out, Value out_index);
  ReductionEmitter& e_;
  Builder& b_;
  Value second_, third_;
};

/// Number of blocks of n elements.
Value blocks_of(Builder& b, Value n);

/// The length of a block, as far as it is known.
std::int64_t block_limit(ReductionEmitter& e);

/// One result from all its elements, in this thread.
Value reduce_row(ReductionEmitter& e, BlockReducer& blocks, const BlockReducer::Element& element);

}  // namespace kiln::codegen
