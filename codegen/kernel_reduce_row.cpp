// Reductions whose innermost axis is reduced: vectors run along it, and a tree combines the lanes. Also the reduction to one number, in
// parallel blocks.
#include "codegen/row_reducer.h"

namespace kiln::codegen {

namespace {

using ops::kReduceBlock;
using Function = KernelModule::Function;

/// Bodies up to this cost are written out once for each vector of the 64 lanes.
constexpr int kCheapBody = 60;

bool is_cheap(const KernelModule& m) { return m.body_cost() <= kCheapBody; }

}  // namespace

void emit_row_reduction(KernelModule& m, const Reduction& r) {
  add_cell_reducer(m, r);
  m.add_function("range", 2, false, [&](Function& f) {
    ReductionEmitter e(f, r);
    BlockReducer blocks(e, m.vector_lanes(), is_cheap(m), block_limit(e));
    f.b.loop(f.extra[0], f.extra[1], f.b.integer(1), [&](Value row) {
      const llvm::SmallVector<Index, 4> kept = e.kept_at(row);
      Value result = reduce_row(e, blocks, [&](const Index& i, const Mask& mask) { return e.element(kept, i, mask); });
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
    Levels levels(e);
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
