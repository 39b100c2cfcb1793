// How a loop kernel's elements are visited, on any target: specs come with as few axes as possible.
#pragma once
#include "codegen/element_emitter.h"

namespace kiln::codegen {

/// One loop over the row-major order of all elements, or the last axis inside and all others outside.
struct LoopNest {
  bool linear = false;
  int node = 0;  ///< an output's node
  int rank = 0;

  /// The nest of that body's outputs. Throws CompileError if they cannot share one.
  static LoopNest of(ElementEmitter& e);
  /// Elements of the inner loop, a row; number of rows.
  Value inner_length(ElementEmitter& e) const;
  Value outer_length(ElementEmitter& e) const;
};

/// The positions of one row: all axes but the last are fixed.
class RowPosition {
 public:
  /// Row `row` of all.
  RowPosition(ElementEmitter& e, const LoopNest& nest, Value row);
  /// Row `row` of block `block`: a place on the axis before the last, at one of the places on the axes before that.
  RowPosition(ElementEmitter& e, const LoopNest& nest, Value block, Value row);
  /// Another row of the same block, perhaps another one in each lane.
  RowPosition with_row(const Index& row) const;
  Position at(const Index& inner) const;

 private:
  void set_outer(ElementEmitter& e, const LoopNest& nest, int axes, Value number);
  bool linear_;
  Position outer_;
};

/// Computes and stores outputs (by number) at some positions: first every value, then every store, since outputs may be inputs and since
/// the computations for several positions shall overlap.
void emit_outputs(ElementEmitter& e, llvm::ArrayRef<std::size_t> outputs, llvm::ArrayRef<Position> at, const Mask& mask);
/// The same for all outputs.
void emit_outputs(ElementEmitter& e, llvm::ArrayRef<Position> at, const Mask& mask);

}  // namespace kiln::codegen
