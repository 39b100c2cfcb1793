// Loop kernels: every output element on its own. One axis of vectors inside, everything else one parallel loop outside.
// Tile kernels: the same over a rectangle.
#include "base/require.h"
#include "codegen/axis_groups.h"
#include "codegen/kernel_emitter.h"

namespace kiln::codegen {

namespace {

using Function = KernelModule::Function;

/// Elements of the inner axis that one iteration of the parallel loop takes.
constexpr std::int64_t kChunk = 4096;

/// Inner axis and outer axes of the outputs.
struct LoopNest {
  bool linear = false;            ///< one loop over the row-major order
  std::vector<AxisGroup> groups;  ///< else: the last one is the inner axis
  int node = 0;                   ///< an output's node
};

LoopNest plan_loops(ElementEmitter& e) {
  const runtime::KernelSpec& spec = e.spec();
  LoopNest nest;
  nest.node = spec.outputs.front();
  std::vector<int> roots(spec.outputs.begin(), spec.outputs.end());
  nest.linear = true;
  bool same_shape = true;
  for (int root : roots) {
    nest.linear = nest.linear && e.is_linear(root);
    same_shape = same_shape && e.node(root).shape == e.node(nest.node).shape;
  }
  if (nest.linear) return nest;
  if (!same_shape) throw CompileError("code generation: outputs of a loop kernel differ in shape", {});
  nest.groups = group_axes(e, roots);
  // Trailing axes of length 1 would leave one lane to a vector.
  while (nest.groups.size() > 1 && Builder::is_constant_equal(group_length(e, nest.node, nest.groups.back()), 1)) nest.groups.pop_back();
  return nest;
}

Value inner_length(ElementEmitter& e, const LoopNest& nest) {
  return nest.linear ? e.shapes().count(nest.node) : group_length(e, nest.node, nest.groups.back());
}

Value chunks_per_row(ElementEmitter& e, const LoopNest& nest) {
  Builder& b = e.builder();
  return b.binary<mlir::arith::DivUIOp>(b.add(inner_length(e, nest), b.integer(kChunk - 1)), b.integer(kChunk));
}

Value outer_length(ElementEmitter& e, const LoopNest& nest) {
  Value length = e.builder().integer(1);
  for (std::size_t i = 0; i + 1 < nest.groups.size(); ++i) length = e.builder().mul(length, group_length(e, nest.node, nest.groups[i]));
  return length;
}

/// The position of the inner index in the row `outer`.
class RowPosition {
 public:
  RowPosition(ElementEmitter& e, const LoopNest& nest, Value row) : e_(e), nest_(nest) {
    if (nest.linear) return;
    Index rest{row};
    outer_.resize(nest.groups.size() - 1);
    for (std::size_t i = outer_.size(); i-- > 1;) {
      auto [quotient, remainder] = e.indexing().divide(rest, group_length(e, nest.node, nest.groups[i]));
      outer_[i] = remainder;
      rest = quotient;
    }
    if (!outer_.empty()) outer_[0] = rest;
  }

  Position at(const Index& inner) const {
    if (nest_.linear) return {{inner}, true};
    llvm::SmallVector<Index, 4> all(outer_.begin(), outer_.end());
    all.push_back(inner);
    Position p = position_of(e_, nest_.groups, all);
    while (static_cast<int>(p.at.size()) < e_.shapes().rank(nest_.node)) p.at.push_back(e_.indexing().constant(0));
    return p;
  }

 private:
  ElementEmitter& e_;
  const LoopNest& nest_;
  std::vector<Index> outer_;
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
    const int node = f.e.spec().outputs.front();
    const int rank = f.e.shapes().rank(node);
    LoopNest nest;
    nest.node = node;
    nest.groups = group_axes(f.e, std::vector<int>(f.e.spec().outputs.begin(), f.e.spec().outputs.end()));
    // Columns are the last axis alone.
    if (rank > 0 && nest.groups.back().first < rank - 1) {
      nest.groups.back().last = rank - 2;
      nest.groups.push_back({rank - 1, rank - 1});
    }
    b.loop(f.extra[0], f.extra[1], b.integer(1),
           [&](Value row) { emit_row(f.e, RowPosition(f.e, nest, row), f.extra[2], f.extra[3], m.vector_lanes()); });
  });
}

}  // namespace kiln::codegen
