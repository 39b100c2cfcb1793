// Loop kernels: every output element on its own. One axis of vectors inside, everything else one parallel loop outside.
// Tile kernels: the same over a rectangle.
#include "base/require.h"
#include "codegen/kernel_emitter.h"

namespace kiln::codegen {

namespace {

using Function = KernelModule::Function;

/// Elements of the inner axis that one iteration of the parallel loop takes.
constexpr std::int64_t kChunk = 4096;

/// How the outputs' elements are visited: specs come with as few axes as possible.
struct LoopNest {
  bool linear = false;  ///< one loop over the row-major order; else the last axis is the inner one
  int node = 0;         ///< an output's node
  int rank = 0;
};

LoopNest plan_loops(ElementEmitter& e) {
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

Value inner_length(ElementEmitter& e, const LoopNest& nest) {
  return nest.linear ? e.shapes().count(nest.node) : e.shapes().length(nest.node, nest.rank - 1);
}

Value outer_length(ElementEmitter& e, const LoopNest& nest) {
  Value length = e.builder().integer(1);
  for (int axis = 0; !nest.linear && axis + 1 < nest.rank; ++axis) length = e.builder().mul(length, e.shapes().length(nest.node, axis));
  return length;
}

Value chunks_per_row(ElementEmitter& e, const LoopNest& nest) {
  Builder& b = e.builder();
  return b.binary<mlir::arith::DivUIOp>(b.add(inner_length(e, nest), b.integer(kChunk - 1)), b.integer(kChunk));
}

/// The positions of one row: all axes but the last are fixed.
class RowPosition {
 public:
  RowPosition(ElementEmitter& e, const LoopNest& nest, Value row) : linear_(nest.linear) {
    if (linear_) return;
    Index rest{row};
    outer_.at.resize(static_cast<std::size_t>(nest.rank - 1));
    for (int axis = nest.rank - 2; axis > 0; --axis) {
      auto [quotient, remainder] = e.indexing().divide(rest, e.shapes().length(nest.node, axis));
      outer_.at[static_cast<std::size_t>(axis)] = remainder;
      rest = quotient;
    }
    if (nest.rank > 1) outer_.at[0] = rest;
  }

  Position at(const Index& inner) const {
    if (linear_) return {{inner}, true};
    Position p = outer_;
    p.at.push_back(inner);
    return p;
  }

 private:
  bool linear_;
  Position outer_;
};

/// All outputs at a position: first every value, then every store, since outputs may be inputs.
void emit_outputs(ElementEmitter& e, const Position& at, const Mask& mask) {
  const std::size_t n = e.spec().outputs.size();
  Values values;
  for (std::size_t i = 0; i < n; ++i) values.push_back(e.value(e.spec().outputs[i], at, mask));
  for (std::size_t i = 0; i < n; ++i) e.store(static_cast<int>(i), at, values[i], mask);
}

void emit_row(ElementEmitter& e, const RowPosition& row, Value begin, Value end, int lanes) {
  vector_loop(e.builder(), begin, end, lanes,
              [&](Value i, const Mask& mask) { emit_outputs(e, row.at({i, e.builder().lanes() > 1 ? 1 : 0, {}}), mask); });
}

void emit_range(KernelModule& m, Function& f) {
  Builder& b = f.b;
  const LoopNest nest = plan_loops(f.e);
  Value inner = inner_length(f.e, nest);
  std::int64_t known = 0;
  const int lanes = Builder::is_constant(inner, known) && known == 1 ? 1 : m.vector_lanes();
  Value per_row = chunks_per_row(f.e, nest);
  if (nest.linear) {
    Value begin = b.mul(f.extra[0], b.integer(kChunk));
    Value end = b.min_signed(b.mul(f.extra[1], b.integer(kChunk)), inner);
    emit_row(f.e, RowPosition(f.e, nest, {}), begin, end, lanes);
    return;
  }
  b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value unit) {
    auto [row, chunk] = f.e.indexing().divide({unit}, per_row);
    Value begin = b.mul(chunk.base, b.integer(kChunk));
    Value end = b.min_signed(b.add(begin, b.integer(kChunk)), inner);
    emit_row(f.e, RowPosition(f.e, nest, row.base), begin, end, lanes);
  });
}

}  // namespace

void emit_loop_kernel(KernelModule& m) {
  m.add_function("range", 2, false, [&](Function& f) { emit_range(m, f); });
  m.add_parallel_entry("range", [&](Function& f) {
    Builder& b = f.b;
    const LoopNest nest = plan_loops(f.e);
    Value per_row = chunks_per_row(f.e, nest);
    Value units = b.mul(outer_length(f.e, nest), per_row);
    Value unit_elements = b.min_signed(inner_length(f.e, nest), b.integer(kChunk));
    Value grain = b.binary<mlir::arith::DivUIOp>(b.integer(m.grain_elements()), b.max_signed(unit_elements, b.integer(1)));
    return KernelModule::Extent{units, b.max_signed(grain, b.integer(1))};
  });
}

void emit_tile_kernel(KernelModule& m) {
  m.add_function(runtime::kKernelEntry, 4, true, [&](Function& f) {
    Builder& b = f.b;
    LoopNest nest;
    nest.node = f.e.spec().outputs.front();
    nest.rank = f.e.shapes().rank(nest.node);
    b.loop(f.extra[0], f.extra[1], b.integer(1),
           [&](Value row) { emit_row(f.e, RowPosition(f.e, nest, row), f.extra[2], f.extra[3], m.vector_lanes()); });
  });
}

}  // namespace kiln::codegen
