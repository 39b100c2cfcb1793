// Tiles of W x W elements, W the lanes of a vector: W loads, log2(W) rounds of shuffles, W rows of results.
#include "codegen/transposed_loop.h"

#include "ops/op.h"

namespace kiln::codegen {

namespace {

/// Rows of results that one part computes: whole cache lines of the operands.
constexpr std::int64_t kBlockRows = 32;

class ReadFinder {
 public:
  ReadFinder(ElementEmitter& e, const LoopNest& nest)
      : e_(e), rank_(nest.rank), shape_(e.node(nest.node).shape), in_place_(e.spec().body.size()), moved_(e.spec().body.size()) {}

  std::optional<TransposedReads> run() {
    mark();
    TransposedReads reads{-1, {}};
    for (std::size_t n = 0; n < in_place_.size(); ++n) {
      const runtime::BodyNode& node = e_.spec().body[n];
      if (!in_place_[n] || moved_[n] || node.op != "transpose" || node.dtype == DType::boolean) continue;
      const int axis = contiguous_axis(node);
      if (axis == rank_ - 1 || (reads.axis >= 0 && axis != reads.axis)) continue;
      reads.axis = axis;
      reads.nodes.push_back(static_cast<int>(n));
    }
    if (reads.nodes.empty()) return std::nullopt;
    return reads;
  }

 private:
  /// Which nodes the outputs read at their own position, and which are read elsewhere as well.
  void mark() {
    for (std::int32_t o : e_.spec().outputs) in_place_[static_cast<std::size_t>(o)] = true;
    for (std::size_t n = in_place_.size(); n-- > 0;) {
      const runtime::BodyNode& node = e_.spec().body[n];
      if (node.op.empty()) continue;
      const bool stays = in_place_[n] && (node.op == "cast" || ops::op(node.op).kind == ops::OpKind::elementwise);
      for (std::int32_t o : node.operands) {
        const auto operand = static_cast<std::size_t>(o);
        if (stays && e_.node(o).shape == shape_)
          in_place_[operand] = true;
        else
          moved_[operand] = true;
      }
    }
  }
  /// The axis of the result along which the operand's last one runs.
  int contiguous_axis(const runtime::BodyNode& transpose) const {
    const Ints& perm = transpose.attrs.get<Ints>("perm");
    return static_cast<int>(std::find(perm.begin(), perm.end(), rank_ - 1) - perm.begin());
  }

  ElementEmitter& e_;
  int rank_;
  std::vector<std::int32_t> shape_;
  std::vector<bool> in_place_, moved_;
};

/// rows[i] becomes the vector of element i of all rows: lanes whose numbers differ in one bit change places, bit by bit.
void transpose_in_registers(Builder& b, Values& rows) {
  const int n = static_cast<int>(rows.size());
  for (int bit = 1; bit < n; bit *= 2) {
    llvm::SmallVector<std::int64_t> upper, lower;
    for (int lane = 0; lane < n; ++lane) {
      upper.push_back((lane & bit) == 0 ? lane : n + lane - bit);
      lower.push_back((lane & bit) == 0 ? lane + bit : n + lane);
    }
    for (int i = 0; i < n; ++i) {
      if ((i & bit) != 0) continue;
      Value a = rows[i], c = rows[i + bit];
      rows[i] = b.shuffle(a, c, upper);
      rows[i + bit] = b.shuffle(a, c, lower);
    }
  }
}

class TileEmitter {
 public:
  TileEmitter(KernelModule& m, ElementEmitter& e, const LoopNest& nest, const TransposedReads& reads)
      : b_(e.builder()), e_(e), nest_(nest), reads_(reads), lanes_(m.vector_lanes()), last_(nest.rank - 1) {
    for (int n : reads.nodes) memory_.push_back(b_.stack(b_.value_type(e.node(n).dtype), std::int64_t{lanes_} * lanes_));
  }

  /// The block of rows from `first` on of one setting of the other axes, which `outer` holds.
  void block(const Position& outer, Value first) {
    outer_ = outer;
    Value rows = e_.shapes().length(nest_.node, reads_.axis);
    Value columns = e_.shapes().length(nest_.node, last_);
    Value end = b_.min_signed(b_.add(first, b_.integer(kBlockRows)), rows);
    Value step = b_.integer(lanes_);
    b_.loop(b_.integer(0), columns, step, [&](Value column) {
      b_.loop(first, end, step, [&](Value row) {
        Value height = b_.min_signed(b_.sub(end, row), step), width = b_.min_signed(b_.sub(columns, column), step);
        Value whole = b_.bit_and(b_.equal(height, step), b_.equal(width, step));
        b_.branch(whole, [&] { tile(row, column, step, step, true); });
        b_.branch(b_.bit_not(whole), [&] { tile(row, column, height, width, false); });
      });
    });
  }

 private:
  Position at(const Index& row, const Index& column) const {
    Position p = outer_;
    p.at[static_cast<std::size_t>(reads_.axis)] = row;
    p.at[static_cast<std::size_t>(last_)] = column;
    return p;
  }

  void tile(Value row, Value column, Value height, Value width, bool whole) {
    b_.set_lanes(lanes_);
    Mask down, across;
    if (!whole) {
      down.lanes = b_.first_lanes(height, lanes_);
      across.lanes = b_.first_lanes(width, lanes_);
    }
    Value last = b_.sub(width, b_.integer(1));
    for (std::size_t i = 0; i < reads_.nodes.size(); ++i) {
      Values lines;
      for (int j = 0; j < lanes_; ++j) {
        // Columns past the end are read from the last one: lanes that no store takes.
        Value offset = whole ? b_.integer(j) : b_.min_signed(b_.integer(j), last);
        lines.push_back(b_.splat(e_.value(reads_.nodes[i], at({row, 1, {}}, {b_.add(column, offset)}), down)));
      }
      transpose_in_registers(b_, lines);
      const Type type = b_.value_type(e_.node(reads_.nodes[i]).dtype);
      for (int j = 0; j < lanes_; ++j)
        b_.hooks().store(b_, lines[static_cast<unsigned>(j)], b_.offset(memory_[i], type, b_.integer(j * lanes_)), {});
    }
    for (std::size_t i = 0; i < reads_.nodes.size(); ++i) read_from_tile(i, row);
    b_.loop(b_.integer(0), height, b_.integer(1),
            [&](Value i) { emit_outputs(e_, {at({b_.add(row, i)}, {column, lanes_ > 1 ? 1 : 0, {}})}, across); });
    for (int n : reads_.nodes) e_.set_source(n, {});
  }

  void read_from_tile(std::size_t i, Value first_row) {
    const Type type = b_.value_type(e_.node(reads_.nodes[i]).dtype);
    e_.set_source(reads_.nodes[i], [this, i, type, first_row](const Position& p, const Mask&) {
      Value line = b_.sub(p.at[static_cast<std::size_t>(reads_.axis)].base, first_row);
      Value address = b_.offset(memory_[i], type, b_.mul(line, b_.integer(lanes_)));
      return b_.hooks().load(b_, address, mlir::VectorType::get({lanes_}, type), {}, false);
    });
  }

  Builder& b_;
  ElementEmitter& e_;
  const LoopNest& nest_;
  const TransposedReads& reads_;
  int lanes_, last_;
  Values memory_;
  Position outer_;
};

Value blocks_per_axis(ElementEmitter& e, const LoopNest& nest, const TransposedReads& reads) {
  Builder& b = e.builder();
  Value rows = e.shapes().length(nest.node, reads.axis);
  return b.binary<mlir::arith::DivUIOp>(b.add(rows, b.integer(kBlockRows - 1)), b.integer(kBlockRows));
}

}  // namespace

std::optional<TransposedReads> TransposedReads::of(ElementEmitter& e, const LoopNest& nest) {
  if (nest.linear || nest.rank < 2) return std::nullopt;
  return ReadFinder(e, nest).run();
}

Value transposed_units(ElementEmitter& e, const LoopNest& nest, const TransposedReads& reads) {
  Value units = blocks_per_axis(e, nest, reads);
  for (int axis = 0; axis + 1 < nest.rank; ++axis) {
    if (axis != reads.axis) units = e.builder().mul(units, e.shapes().length(nest.node, axis));
  }
  return units;
}

Value transposed_unit_elements(ElementEmitter& e, const LoopNest& nest) {
  return e.builder().mul(e.builder().integer(kBlockRows), e.shapes().length(nest.node, nest.rank - 1));
}

void emit_transposed_units(KernelModule& m, ElementEmitter& e, const LoopNest& nest, const TransposedReads& reads, Value begin, Value end) {
  Builder& b = e.builder();
  TileEmitter tiles(m, e, nest, reads);
  Value blocks = blocks_per_axis(e, nest, reads);
  b.loop(begin, end, b.integer(1), [&](Value unit) {
    auto [rest, block] = e.indexing().divide({unit}, blocks);
    Position outer;
    outer.at.resize(static_cast<std::size_t>(nest.rank));
    for (int axis = nest.rank - 2; axis >= 0; --axis) {
      if (axis == reads.axis) continue;
      auto [quotient, remainder] = e.indexing().divide(rest, e.shapes().length(nest.node, axis));
      outer.at[static_cast<std::size_t>(axis)] = remainder;
      rest = quotient;
    }
    tiles.block(outer, b.mul(block.base, b.integer(kBlockRows)));
  });
}

}  // namespace kiln::codegen
