// Reductions whose innermost axis is reduced: vectors run along it, and a tree combines the lanes. Also the reduction to one number, in
// parallel blocks.
#include "codegen/row_reducer.h"

namespace kiln::codegen {

namespace {

using ops::kReduceBlock;
using Function = KernelModule::Function;

/// Bodies up to this cost are written out once for each vector of the 64 lanes.
constexpr int kCheapBody = 60;

/// One for each reduction.
std::deque<BlockReducer> block_reducers(const KernelModule& m, SiblingEmitters& emitters) {
  std::deque<BlockReducer> blocks;
  for (ReductionEmitter& e : emitters) blocks.emplace_back(e, m.vector_lanes(), m.body_cost() <= kCheapBody, block_limit(e));
  return blocks;
}

void add_cell_reducers(KernelModule& m, std::span<const Reduction> reductions) {
  for (const Reduction& r : reductions) add_cell_reducer(m, r);
}

/// What `range` of a full reduction gets after the kernel's own arguments: memory for the second level of each reduction, and the first
/// block.
struct FullArguments {
  FullArguments(const runtime::KernelSpec& spec, std::size_t reductions)
      : first(spec.num_inputs + static_cast<int>(spec.outputs.size())), reductions(static_cast<int>(reductions)) {}
  int first, reductions;
  int cells(std::size_t reduction) const { return first + static_cast<int>(reduction); }
  int block() const { return first + reductions; }
  int count() const { return first + reductions + 1; }
};

void emit_full_range(KernelModule& m, Function& f, std::span<const Reduction> reductions) {
  Builder& b = f.b;
  SiblingEmitters emitters(f, reductions);
  std::deque<BlockReducer> blocks = block_reducers(m, emitters);
  const FullArguments at(m.spec(), reductions.size());
  Values cells;
  for (std::size_t k = 0; k < emitters.size(); ++k) {
    cells.push_back(b.load_scalar(b.offset(f.args, b.ptr(), b.integer(at.cells(k))), b.ptr(), true));
  }
  Value group = b.load_scalar(b.offset(f.args, b.i64(), b.integer(at.block())), b.i64(), false);
  b.loop(f.extra[0], f.extra[1], b.integer(1), [&](Value i) {
    Value begin = b.mul(b.add(group, i), b.integer(kReduceBlock));
    Value end = b.min_signed(b.add(begin, b.integer(kReduceBlock)), emitters.first().length());
    for (std::size_t k = 0; k < emitters.size(); ++k) {
      Value result = blocks[k].block(begin, end, [&](const Index& at, const Mask& mask) { return emitters[k].element({}, at, mask); });
      emitters[k].store_cells(result, cells[k], i);
    }
  });
}

/// Groups of blocks one after the other, the blocks of each in parallel.
void emit_full_entry(KernelModule& m, Function& f, std::span<const Reduction> reductions) {
  Builder& b = f.b;
  SiblingEmitters emitters(f, reductions);
  const FullArguments at(m.spec(), reductions.size());
  std::deque<Levels> levels;
  Value args = b.stack(b.ptr(), at.count());
  for (int i = 0; i < at.first; ++i) b.store_scalar(f.e.input_pointer(i), b.offset(args, b.ptr(), b.integer(i)));
  for (std::size_t k = 0; k < emitters.size(); ++k) {
    levels.emplace_back(emitters[k]);
    b.store_scalar(levels[k].second(), b.offset(args, b.ptr(), b.integer(at.cells(k))));
  }
  Value count = blocks_of(b, emitters.first().length());
  Value grain = b.integer(std::max<std::int64_t>(1, m.grain_elements() / kReduceBlock));
  b.loop(b.integer(0), count, b.integer(kReduceBlock), [&](Value group) {
    b.store_scalar(group, b.offset(args, b.i64(), b.integer(at.block())));
    Value size = b.min_signed(b.sub(count, group), b.integer(kReduceBlock));
    m.call_parallel(f, "range", args, {size, grain});
    for (Levels& l : levels) l.close(size, b.binary<mlir::arith::DivUIOp>(group, b.integer(kReduceBlock)));
  });
  Values results;
  for (std::size_t k = 0; k < emitters.size(); ++k) {
    results.push_back(b.branch(
        b.equal(count, b.integer(0)), {b.value_type(emitters[k].reduction().dtype)}, [&] { return Values{emitters[k].empty()}; },
        [&] { return Values{levels[k].result(blocks_of(b, count))}; })[0]);
  }
  b.set_lanes(1);
  emitters.finish({}, results, {});
}

}  // namespace

void emit_row_reductions(KernelModule& m, std::span<const Reduction> reductions) {
  add_cell_reducers(m, reductions);
  m.add_function("range", 2, false, [&](Function& f) {
    SiblingEmitters emitters(f, reductions);
    std::deque<BlockReducer> blocks = block_reducers(m, emitters);
    f.b.loop(f.extra[0], f.extra[1], f.b.integer(1), [&](Value row) {
      const llvm::SmallVector<Index, 4> kept = emitters.first().kept_at(row);
      Values results;
      for (std::size_t k = 0; k < emitters.size(); ++k) {
        ReductionEmitter& e = emitters[k];
        results.push_back(reduce_row(e, blocks[k], [&](const Index& i, const Mask& mask) { return e.element(kept, i, mask); }));
      }
      f.b.set_lanes(1);
      emitters.finish(kept, results, {});
    });
  });
  m.add_parallel_entry("range", [&](Function& f) {
    ReductionEmitter e(f, reductions[0]);
    return m.extent(f.b, e.results(), e.length());
  });
}

void emit_full_reductions(KernelModule& m, std::span<const Reduction> reductions) {
  add_cell_reducers(m, reductions);
  m.add_function("range", 2, false, [&](Function& f) { emit_full_range(m, f, reductions); });
  m.add_function(runtime::kKernelEntry, 0, true, [&](Function& f) { emit_full_entry(m, f, reductions); });
}

}  // namespace kiln::codegen
