// Loop kernels: every output element on its own. One axis of vectors inside, everything else one parallel loop outside.
// Tile kernels: the same over a rectangle.
#include <algorithm>

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

/// `by_fours`: begin is a multiple of 4.
void emit_row(const KernelModule& m, ElementEmitter& e, const RowPosition& row, Value begin, Value end, int lanes, bool by_fours) {
  element_loop(m, e.builder(), begin, end, lanes,
               [&](Value i, const Mask& mask) { emit_outputs(e, {row.at({i, lanes > 1 ? 1 : 0, {}, by_fours && lanes >= 4})}, mask); });
}

/// A concat of the nest's elements, whose parts are visited one after the other: asking for each element which part it lies in takes
/// several times as long.
class Parts {
 public:
  Parts(ElementEmitter& e, const LoopNest& nest) : e_(e), b_(e.builder()), rank_(nest.rank) {
    for (std::size_t n = 0; concat_ < 0 && n < e.spec().body.size(); ++n) {
      const runtime::BodyNode& node = e.spec().body[n];
      if (node.op != "concat" || node.shape != e.node(nest.node).shape) continue;
      concat_ = static_cast<int>(n);
      axis_ = static_cast<int>(node.attrs.get<std::int64_t>("axis"));
    }
  }

  bool any() const { return concat_ >= 0; }
  /// One element of each part a row.
  bool are_interleaved() const {
    return are_within_rows() &&
           llvm::all_of(e_.node(concat_).operands, [&](std::int32_t part) { return e_.shapes().is_length(part, axis_, 1); });
  }
  bool are_within_rows() const { return axis_ == rank_ - 1; }
  int axis() const { return axis_; }

  /// Calls visit(first, last) for each part, places [first, last) along the axis, with the concat being that part.
  void each(const std::function<void(Value first, Value last)>& visit) {
    Value first = b_.integer(0);
    const auto axis = static_cast<std::size_t>(axis_);
    for (const std::int32_t part : e_.node(concat_).operands) {
      Value last = b_.add(first, e_.shapes().length(part, axis_));
      e_.set_source(concat_, [this, part, first, axis](const Position& at, const Mask& mask) {
        Position from = e_.by_axes(concat_, at);
        from.at[axis] = e_.indexing().add(from.at[axis], Index{b_.sub(b_.integer(0), first)});
        return e_.value(part, from, mask);
      });
      visit(first, last);
      first = last;
    }
    e_.set_source(concat_, {});
  }

  /// The same for what of [begin, end) lies in each part of `scale` steps a place.
  void each_in(Value begin, Value end, Value scale, const std::function<void(Value begin, Value end)>& visit) {
    each([&](Value first, Value last) {
      Value from = b_.max_signed(begin, b_.mul(first, scale));
      visit(from, b_.max_signed(from, b_.min_signed(end, b_.mul(last, scale))));
    });
  }

 private:
  ElementEmitter& e_;
  Builder& b_;
  int rank_;
  int concat_ = -1, axis_ = 0;
};

/// Outputs from this size on are no longer in the caches when somebody reads them: they go past them, which saves reading their lines.
constexpr std::int64_t kStreamBytes = std::int64_t{32} << 20;
/// Elements that are computed into the L1 cache before they are streamed.
constexpr std::int64_t kPiece = 2048;

/// A linear kernel whose outputs may be large enough to be streamed, a piece at a time.
class StreamedLoop {
 public:
  StreamedLoop(const KernelModule& m, ElementEmitter& e, int lanes) : m_(m), e_(e), b_(e.builder()), lanes_(lanes), spec_(e.spec()) {}

  /// One output, which shares its memory with no input.
  static bool fits(ElementEmitter& e, int lanes) {
    return e.builder().hooks().can_stream() && e.spec().outputs.size() == 1 && e.spec().aliases.empty() && lanes > 1;
  }

  void emit(const RowPosition& row, Value begin, Value end, Value count) {
    const int node = spec_.outputs[0];
    const Type type = b_.memory_type(e_.node(node).dtype);
    const auto bytes = static_cast<std::int64_t>(size_of(e_.node(node).dtype));
    Value pointer = e_.output_pointer(0);
    Value scratch = b_.stack(type, kPiece);
    constexpr std::int64_t kLine = 64;
    Value aligned = b_.equal(b_.bit_and(b_.address_of(pointer), b_.integer(kLine - 1)), b_.integer(0));
    Value large = b_.bit_and(aligned, b_.less(b_.integer(kStreamBytes / bytes - 1), count));
    Value step = b_.select(large, b_.integer(kPiece), b_.max_signed(b_.sub(end, begin), b_.integer(1)));
    b_.loop(begin, end, step, [&](Value first) {
      Value stop = b_.min_signed(b_.add(first, step), end);
      Value streamed = b_.bit_and(large, b_.equal(b_.sub(stop, first), b_.integer(kPiece)));
      e_.set_output_pointer(0, b_.select(streamed, b_.offset(scratch, type, b_.sub(b_.integer(0), first)), pointer));
      emit_row(m_, e_, row, first, stop, lanes_, true);
      b_.branch(streamed, [&] { stream(scratch, b_.offset(pointer, type, first), type, bytes); });
    });
    e_.set_output_pointer(0, pointer);
    b_.branch(large, [&] { b_.hooks().fence(b_); });
  }

 private:
  void stream(Value from, Value to, Type type, std::int64_t bytes) {
    const auto vector = mlir::VectorType::get({b_.hooks().vector_bytes() / bytes}, type);
    b_.loop(b_.integer(0), b_.integer(kPiece), b_.integer(vector.getNumElements()), [&](Value i) {
      b_.hooks().stream(b_, b_.hooks().load(b_, b_.offset(from, type, i), vector, {}, false), b_.offset(to, type, i));
    });
  }

  const KernelModule& m_;
  ElementEmitter& e_;
  Builder& b_;
  int lanes_;
  const runtime::KernelSpec& spec_;
};

/// Calls emit(row, begin, end) for the rows of units [first, last), chunks of rows one after the other; [begin, end) is what of the row
/// they are. Positions are counted, not divided for: rows may be short.
void emit_units(ElementEmitter& e, const LoopNest& nest, Value first, Value last,
                const std::function<void(const RowPosition& row, Value begin, Value end)>& emit) {
  Builder& b = e.builder();
  Value inner = nest.inner_length(e), chunk = b.integer(kChunk), zero = b.integer(0), one = b.integer(1);
  if (nest.rank == 1) return emit(RowPosition(e, nest, {}), b.mul(first, chunk), b.min_signed(b.mul(last, chunk), inner));
  Value per_row = b.max_signed(chunks_per_row(e, nest), one);
  Value per_block = b.max_signed(b.mul(e.shapes().length(nest.node, nest.rank - 2), per_row), one);
  const auto whole = [&](Value units, Value of) { return b.binary<mlir::arith::DivUIOp>(b.add(units, b.sub(of, one)), of); };
  b.loop(b.binary<mlir::arith::DivUIOp>(first, per_block), whole(last, per_block), one, [&](Value block) {
    Value before = b.mul(block, per_block);
    Value from = b.max_signed(b.sub(first, before), zero), to = b.min_signed(b.sub(last, before), per_block);
    const RowPosition rows(e, nest, block, zero);
    b.loop(b.binary<mlir::arith::DivUIOp>(from, per_row), whole(to, per_row), one, [&](Value row) {
      Value offset = b.mul(row, per_row);
      Value begin = b.mul(b.max_signed(b.sub(from, offset), zero), chunk);
      emit(rows.with_row({row}), begin, b.min_signed(b.mul(b.sub(to, offset), chunk), inner));
    });
  });
}

/// Lanes of rows side by side.
int packed_lanes(const KernelModule& m) { return std::max(m.wide_lanes(), 2 * m.vector_lanes()); }

/// How many rows lie side by side in a vector: several where their length is short and known, which says that it pays.
int rows_in_vector(const KernelModule& m, ElementEmitter& e, const LoopNest& nest) {
  std::int64_t length = 0;
  if (nest.linear || nest.rank < 2 || !Builder::is_constant(nest.inner_length(e), length) || length < 2) return 1;
  const Parts parts(e, nest);
  if (parts.any() && !parts.are_interleaved()) return 1;
  return std::max(1, packed_lanes(m) / static_cast<int>(length));
}

/// Rows [first, last) with `rows` of them side by side in the lanes.
void emit_packed_rows(const KernelModule& m, ElementEmitter& e, const LoopNest& nest, Value first, Value last, int rows) {
  Builder& b = e.builder();
  const int before = b.lanes(), lanes = packed_lanes(m);
  b.set_lanes(lanes);
  std::int64_t length = 0;
  Builder::is_constant(nest.inner_length(e), length);
  Value row_of_lane = b.constant_lanes([&](int lane) { return lane / length; });
  const Index place{{}, 0, b.constant_lanes([&](int lane) { return lane % length; })};
  Value one = b.integer(1), per_block = b.max_signed(e.shapes().length(nest.node, nest.rank - 2), one);
  Value blocks = b.binary<mlir::arith::DivUIOp>(b.add(last, b.sub(per_block, one)), per_block);
  b.loop(b.binary<mlir::arith::DivUIOp>(first, per_block), blocks, one, [&](Value block) {
    Value offset = b.mul(block, per_block);
    Value end = b.min_signed(b.sub(last, offset), per_block);
    const RowPosition position(e, nest, block, b.integer(0));
    const auto emit = [&](Value row, Value mask) { emit_outputs(e, {position.with_row({row, 0, row_of_lane}).at(place)}, {mask, {}, {}}); };
    Value begin = b.max_signed(b.sub(first, offset), b.integer(0));
    Value whole = b.binary<mlir::arith::DivUIOp>(b.max_signed(b.sub(end, begin), b.integer(0)), b.integer(rows));
    Value middle = b.add(begin, b.mul(whole, b.integer(rows)));
    Value full = b.first_lanes(b.opaque(rows * length), lanes);
    b.loop(begin, middle, b.integer(rows), [&](Value row) { emit(row, full); });
    b.branch(b.less(middle, end), [&] { emit(middle, b.first_lanes(b.mul(b.sub(end, middle), b.integer(length)), lanes)); });
  });
  b.set_lanes(before);
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
    if (StreamedLoop::fits(f.e, lanes))
      StreamedLoop(m, f.e, lanes).emit(RowPosition(f.e, nest, {}), begin, end, inner);
    else
      emit_row(m, f.e, RowPosition(f.e, nest, {}), begin, end, lanes, true);
    return;
  }
  Parts parts(f.e, nest);
  if (const int rows = rows_in_vector(m, f.e, nest); rows > 1) return emit_packed_rows(m, f.e, nest, f.extra[0], f.extra[1], rows);
  if (const auto reads = TransposedReads::of(f.e, nest)) {
    emit_transposed_units(m, f.e, nest, *reads, f.extra[0], f.extra[1]);
    return;
  }
  const auto row_of_parts = [&](const RowPosition& row, Value begin, Value end) {
    parts.each_in(begin, end, b.integer(1), [&](Value begin, Value end) { emit_row(m, f.e, row, begin, end, lanes, false); });
  };
  const auto plain_row = [&](const RowPosition& row, Value begin, Value end) { emit_row(m, f.e, row, begin, end, lanes, false); };
  if (!parts.any()) {
    emit_units(f.e, nest, f.extra[0], f.extra[1], plain_row);
  } else if (parts.are_within_rows()) {
    emit_units(f.e, nest, f.extra[0], f.extra[1], row_of_parts);
  } else if (parts.axis() == 0) {
    Value units_of_place = per_row;
    for (int axis = 1; axis + 1 < nest.rank; ++axis) units_of_place = b.mul(units_of_place, f.e.shapes().length(nest.node, axis));
    parts.each_in(f.extra[0], f.extra[1], units_of_place, [&](Value begin, Value end) { emit_units(f.e, nest, begin, end, plain_row); });
  } else {
    emit_units(f.e, nest, f.extra[0], f.extra[1], [&](const RowPosition& row, Value begin, Value end) {
      Value place = row.at({}).at[static_cast<std::size_t>(parts.axis())].base;
      parts.each([&](Value first, Value last) {
        Value here = b.bit_and(b.compare(mlir::arith::CmpIPredicate::sge, place, first), b.less(place, last));
        b.branch(here, [&] { plain_row(row, begin, end); });
      });
    });
  }
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
    if (const auto reads = TransposedReads::of(f.e, nest); reads && rows_in_vector(m, f.e, nest) == 1) {
      units = transposed_units(f.e, nest, *reads);
      unit_elements = transposed_unit_elements(f.e, nest);
    }
    return m.extent(b, units, unit_elements);
  });
}

void emit_tile_kernel(KernelModule& m) {
  m.add_function(runtime::kKernelEntry, 4, true, [&](Function& f) {
    Builder& b = f.b;
    LoopNest nest;
    nest.node = f.e.spec().outputs.front();
    nest.rank = f.e.shapes().rank(nest.node);
    b.loop(f.extra[0], f.extra[1], b.integer(1),
           [&](Value row) { emit_row(m, f.e, RowPosition(f.e, nest, row), f.extra[2], f.extra[3], m.wide_lanes(), false); });
  });
}

}  // namespace kiln::codegen
