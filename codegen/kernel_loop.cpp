// Loop kernels: every output element on its own. One axis of vectors inside, everything else one parallel loop outside.
// Tile kernels: the same over a rectangle.
#include "codegen/kernel_emitter.h"
#include "codegen/loop_nest.h"
#include "codegen/transposed_loop.h"

namespace kiln::codegen {

namespace {

using Function = KernelModule::Function;

/// Elements of the inner axis that one iteration of the parallel loop takes.
constexpr std::int64_t kChunk = 4096;

Value chunks_per_row(ElementEmitter& e, const LoopNest& nest) {
  Builder& b = e.builder();
  return b.binary<mlir::arith::DivUIOp>(b.add(nest.inner_length(e), b.integer(kChunk - 1)), b.integer(kChunk));
}

void emit_row(ElementEmitter& e, const RowPosition& row, Value begin, Value end, int lanes) {
  vector_loop(e.builder(), begin, end, lanes,
              [&](Value i, const Mask& mask) { emit_outputs(e, {row.at({i, lanes > 1 ? 1 : 0, {}})}, mask); });
}

/// More parts are told apart element by element.
constexpr std::size_t kMaxParts = 8;

/// A concat along the inner axis of the nest, or -1: its parts are visited one after the other.
int inner_concat(const ElementEmitter& e, const LoopNest& nest) {
  for (std::size_t n = 0; n < e.spec().body.size(); ++n) {
    const runtime::BodyNode& node = e.spec().body[n];
    if (node.op != "concat" || node.operands.size() > kMaxParts || node.shape != e.node(nest.node).shape) continue;
    if (node.attrs.get<std::int64_t>("axis") == nest.rank - 1) return static_cast<int>(n);
  }
  return -1;
}

/// emit_row in pieces, in each of which the concat is one of its operands.
void emit_row_of_parts(ElementEmitter& e, const RowPosition& row, Value begin, Value end, int lanes, int concat) {
  Builder& b = e.builder();
  Value first = b.integer(0);
  for (const std::int32_t part : e.node(concat).operands) {
    const std::size_t axis = e.node(concat).shape.size() - 1;
    Value last = b.add(first, e.shapes().length(part, static_cast<int>(axis)));
    e.set_source(concat, [&e, &b, concat, part, first, axis](const Position& at, const Mask& mask) {
      Position from = e.by_axes(concat, at);
      from.at[axis] = e.indexing().add(from.at[axis], Index{b.sub(b.integer(0), first)});
      return e.value(part, from, mask);
    });
    emit_row(e, row, b.max_signed(begin, first), b.max_signed(b.max_signed(begin, first), b.min_signed(end, last)), lanes);
    first = last;
  }
  e.set_source(concat, {});
}

void emit_range(KernelModule& m, Function& f) {
  Builder& b = f.b;
  const LoopNest nest = LoopNest::of(f.e);
  Value inner = nest.inner_length(f.e);
  std::int64_t known = 0;
  const int lanes = Builder::is_constant(inner, known) && known == 1 ? 1 : m.wide_lanes();
  Value per_row = chunks_per_row(f.e, nest);
  if (nest.linear) {
    Value begin = b.mul(f.extra[0], b.integer(kChunk));
    Value end = b.min_signed(b.mul(f.extra[1], b.integer(kChunk)), inner);
    emit_row(f.e, RowPosition(f.e, nest, {}), begin, end, lanes);
    return;
  }
  if (const auto reads = TransposedReads::of(f.e, nest)) {
    emit_transposed_units(m, f.e, nest, *reads, f.extra[0], f.extra[1]);
    return;
  }
  const int concat = inner_concat(f.e, nest);
  b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value unit) {
    auto [row, chunk] = f.e.indexing().divide({unit}, per_row);
    Value begin = b.mul(chunk.base, b.integer(kChunk));
    Value end = b.min_signed(b.add(begin, b.integer(kChunk)), inner);
    const RowPosition position(f.e, nest, row.base);
    if (concat >= 0) return emit_row_of_parts(f.e, position, begin, end, lanes, concat);
    emit_row(f.e, position, begin, end, lanes);
  });
}

}  // namespace

void emit_loop_kernel(KernelModule& m) {
  m.add_function("range", 2, false, [&](Function& f) { emit_range(m, f); });
  m.add_parallel_entry("range", [&](Function& f) {
    Builder& b = f.b;
    const LoopNest nest = LoopNest::of(f.e);
    Value per_row = chunks_per_row(f.e, nest);
    Value units = b.mul(nest.outer_length(f.e), per_row);
    Value unit_elements = b.min_signed(nest.inner_length(f.e), b.integer(kChunk));
    if (const auto reads = TransposedReads::of(f.e, nest)) {
      units = transposed_units(f.e, nest, *reads);
      unit_elements = transposed_unit_elements(f.e, nest);
    }
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
           [&](Value row) { emit_row(f.e, RowPosition(f.e, nest, row), f.extra[2], f.extra[3], m.wide_lanes()); });
  });
}

}  // namespace kiln::codegen
