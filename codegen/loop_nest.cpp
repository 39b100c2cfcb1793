// Loop nests and positions in them.
#include "codegen/loop_nest.h"

#include <numeric>

#include "base/require.h"

namespace kiln::codegen {

LoopNest LoopNest::of(ElementEmitter& e) {
  LoopNest nest;
  nest.node = e.spec().outputs.front();
  nest.rank = e.shapes().rank(nest.node);
  nest.linear = true;
  bool same_shape = true;
  for (const int output : e.spec().outputs) {
    nest.linear = nest.linear && e.is_linear(output);
    same_shape = same_shape && e.node(output).shape == e.node(nest.node).shape;
  }
  if (!nest.linear && !same_shape) throw CompileError("code generation: outputs of a loop kernel differ in shape", {});
  return nest;
}

Value LoopNest::inner_length(ElementEmitter& e) const { return linear ? e.shapes().count(node) : e.shapes().length(node, rank - 1); }

Value LoopNest::outer_length(ElementEmitter& e) const {
  Value length = e.builder().integer(1);
  for (int axis = 0; !linear && axis + 1 < rank; ++axis) length = e.builder().mul(length, e.shapes().length(node, axis));
  return length;
}

RowPosition::RowPosition(ElementEmitter& e, const LoopNest& nest, Value row) : linear_(nest.linear) {
  if (linear_) return;
  outer_.at.resize(static_cast<std::size_t>(nest.rank - 1));
  set_outer(e, nest, nest.rank - 1, row);
}

RowPosition::RowPosition(ElementEmitter& e, const LoopNest& nest, Value block, Value row) : linear_(false) {
  outer_.at.resize(static_cast<std::size_t>(nest.rank - 1));
  set_outer(e, nest, nest.rank - 2, block);
  outer_.at.back() = {row};
}

RowPosition RowPosition::with_row(const Index& row) const {
  RowPosition other = *this;
  other.outer_.at.back() = row;
  return other;
}

void RowPosition::set_outer(ElementEmitter& e, const LoopNest& nest, int axes, Value number) {
  Index rest{number};
  for (int axis = axes - 1; axis > 0; --axis) {
    auto [quotient, remainder] = e.indexing().divide(rest, e.shapes().length(nest.node, axis));
    outer_.at[static_cast<std::size_t>(axis)] = remainder;
    rest = quotient;
  }
  if (axes > 0) outer_.at[0] = rest;
}

Position RowPosition::at(const Index& inner) const {
  if (linear_) return {{inner}, true};
  Position p = outer_;
  p.at.push_back(inner);
  return p;
}

void emit_outputs(ElementEmitter& e, llvm::ArrayRef<std::size_t> outputs, llvm::ArrayRef<Position> at, const Mask& mask) {
  Values values;
  for (const Position& p : at) {
    for (std::size_t o : outputs) values.push_back(e.value(e.spec().outputs[o], p, mask));
  }
  const Value* next = values.begin();
  for (const Position& p : at) {
    for (std::size_t o : outputs) e.store(static_cast<int>(o), p, *next++, mask);
  }
}

void emit_outputs(ElementEmitter& e, llvm::ArrayRef<Position> at, const Mask& mask) {
  llvm::SmallVector<std::size_t> all(e.spec().outputs.size());
  std::iota(all.begin(), all.end(), 0);
  emit_outputs(e, all, at, mask);
}

}  // namespace kiln::codegen
