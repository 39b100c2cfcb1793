// Contractions: which operand is the left one, and what each thread computes.
#include "ops/kernels/contraction.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/thread_pool.h"
#include "ops/kernels/contraction_phase.h"

namespace kiln::ops {
namespace {

constexpr std::int64_t kTaskFlops = 1 << 20;       ///< less work than this is not worth a thread
constexpr std::int64_t kBatchesOfThread = 8;       ///< with that many, no batch element is shared by threads
constexpr std::int64_t kTurnElements = 128 << 10;  ///< of the left operand and the result that groups share, one after the other
constexpr std::int64_t kLeastTurn = 256;           ///< rows
constexpr std::int64_t kLeastTurns = 8;            ///< fewer do not pay for packing the right operand each time
constexpr std::int64_t kEpilogueElements = 16384;  ///< results of one call of an epilogue that had to wait

/// The same contraction with its operands exchanged: rows become columns.
ContractionPhase exchange(const ContractionPhase& phase) {
  ContractionPhase other = phase;
  std::swap(other.row, other.col);
  std::swap(other.lhs_base, other.rhs_base);
  for (LoopGroup* group : {&other.batch, &other.row, &other.col, &other.depth}) {
    for (int i = 0; i < group->count; ++i) {
      ContractionLoop& loop = group->loops[static_cast<std::size_t>(i)];
      std::swap(loop.lhs_stride, loop.rhs_stride);
    }
  }
  return other;
}

/// Exchanging the operands pays where it makes the result's columns contiguous, or spares transposing a right operand that is much larger
/// than the left operand and the result.
bool should_exchange(const ContractionPhase& phase) {
  if (phase.num_windows > 0) return false;
  std::int64_t rows = phase.row.size, cols = phase.col.size, depth = phase.depth.size;
  bool out_by_rows = linear_stride(phase.row, Operand::out, 1) == 1 && linear_stride(phase.col, Operand::out, 1) != 1;
  if (out_by_rows && rows > 1) return true;
  bool right_by_depth =
      cols > 1 && depth > 1 && linear_stride(phase.depth, Operand::rhs, 1) == 1 && linear_stride(phase.col, Operand::rhs, 1) != 1;
  bool left_by_depth = linear_stride(phase.depth, Operand::lhs, 1) == 1;
  return right_by_depth && left_by_depth && rows >= 8 && 2 * (rows * depth + rows * cols) < cols * depth;
}

/// How threads share a phase: each batch element is cut into pieces along its rows or its columns.
struct Division {
  bool by_cols = false;
  std::int64_t unit = 1;    ///< a piece has a multiple of so many rows or columns, except at the end
  std::int64_t length = 1;  ///< all rows or columns
  std::int64_t pieces = 1;
  std::int64_t inner = 1;  ///< batch elements that take turns, piece by piece: they lie side by side in memory

  std::int64_t boundary(std::int64_t piece) const {
    std::int64_t units = (length + unit - 1) / unit;
    std::int64_t whole = units / pieces, rest = units % pieces;
    return std::min(length, (whole * piece + rest * piece / pieces) * unit);
  }
};

/// Groups of channels lie side by side in the rows of both the left operand and the result: rows that are taken by one group after the
/// other, while they are in the second-level cache. 0 if the batch is none of groups, or its rows fit anyway.
std::int64_t rows_of_turn(const ContractionPhase& phase, const PhaseRunner& runner) {
  if (phase.batch.count == 0 || phase.row.count == 0 || runner.row_unit() > 1) return 0;
  const ContractionLoop& group = phase.batch.loops[static_cast<std::size_t>(phase.batch.count - 1)];
  const ContractionLoop& row = phase.row.loops[static_cast<std::size_t>(phase.row.count - 1)];
  bool side_by_side =
      group.extent > 1 && group.lhs_stride * group.extent <= row.lhs_stride && group.out_stride * group.extent <= row.out_stride;
  if (!side_by_side) return 0;
  std::int64_t rows = kTurnElements / (row.lhs_stride + row.out_stride);
  // Whole lines or images.
  std::int64_t whole = 1;
  for (int i = phase.row.count; i-- > 0;) {
    std::int64_t extent = phase.row.loops[static_cast<std::size_t>(i)].extent;
    if (whole * extent > rows) break;
    whole *= extent;
  }
  rows = std::max(rows / whole * whole, kLeastTurn);
  return kLeastTurns * rows <= phase.row.size ? rows : 0;
}

/// Columns if each thread gets enough of them: then no part of the right operand is read or packed twice. Rows where these are fewer, or
/// where reading the left operand twice costs more.
Division divide(const ContractionPhase& phase, const PhaseRunner& runner) {
  if (std::int64_t rows = rows_of_turn(phase, runner); rows > 0) {
    Division division{.unit = rows, .length = phase.row.size};
    division.pieces = (phase.row.size + rows - 1) / rows;
    division.inner = phase.batch.loops[static_cast<std::size_t>(phase.batch.count - 1)].extent;
    return division;
  }
  std::int64_t batches = phase.batch.size, rows = phase.row.size, cols = phase.col.size, threads = num_threads();
  Division division{.length = rows};
  if (batches >= kBatchesOfThread * threads) return division;
  std::int64_t pieces = threads / std::gcd(batches, threads);
  std::int64_t tiles = cols / runner.tile_cols();
  bool few = runner.left_by_depth() ? 4 * cols < rows : cols <= rows;
  division.by_cols = !few && tiles >= (cols >= rows ? pieces : 2 * pieces);
  division.length = division.by_cols ? cols : rows;
  division.unit = division.by_cols ? runner.lanes() : runner.row_unit();
  if (division.length < division.unit * pieces) division.unit = 1;
  division.pieces = std::min(pieces, division.length);
  return division;
}

/// False, with nothing done, if the phase is one of columns that the driver cannot read in place.
bool run_phase(const ContractionPhase& phase, const ContractionRun& run, bool swapped) {
  PhaseRunner runner(phase, run, swapped);
  if (phase.diagonal && !runner.left_direct()) return false;
  std::int64_t batches = phase.batch.size, rows = phase.row.size, cols = phase.col.size;
  Division division = divide(phase, runner);
  std::int64_t piece_flops = 2 * rows * cols * std::max<std::int64_t>(phase.depth.size, 1) / division.pieces;
  std::int64_t grain = std::max<std::int64_t>(1, kTaskFlops / std::max<std::int64_t>(piece_flops, 1));
  parallel_for(batches * division.pieces, grain, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      // Numbered by outer batch element, piece, inner batch element.
      std::int64_t turn = begin / division.inner, first = turn % division.pieces;
      std::int64_t batch = turn / division.pieces * division.inner + begin % division.inner;
      std::int64_t last = division.inner > 1 ? first + 1 : std::min(division.pieces, first + end - begin);
      std::int64_t from = division.boundary(first), to = division.boundary(last);
      begin += last - first;
      std::int64_t next = division.pieces == 1 && begin < end ? begin : -1;
      if (division.by_cols) {
        runner.run(batch, 0, rows, from, to, next);
      } else {
        runner.run(batch, from, to, 0, cols, next);
      }
    }
  });
  return true;
}

void run_phase(const ContractionPhase& phase, const ContractionRun& run) {
  bool floating = run.problem->dtype == DType::float32 || run.problem->dtype == DType::float64;
  std::optional<ContractionPhase> diagonal;
  if (floating && run.epilogue == nullptr) diagonal = diagonal_phase(phase);
  if (diagonal && run_phase(*diagonal, run, false)) return;
  if (should_exchange(phase)) {
    run_phase(exchange(phase), run, true);
  } else {
    run_phase(phase, run, false);
  }
}

/// Rows and columns of the whole problem, for an epilogue that must wait for several phases.
void run_epilogue_at_end(const ContractionRun& run) {
  const Contraction& c = *run.problem;
  std::int64_t rows = 1, cols = 1;
  for (int i = 0; i < c.num_batch; ++i) rows *= c.batch[static_cast<std::size_t>(i)].extent;
  for (int i = 0; i < c.num_row; ++i) rows *= c.row[static_cast<std::size_t>(i)].extent;
  for (int i = 0; i < c.num_col; ++i) cols *= c.col[static_cast<std::size_t>(i)].extent;
  if (rows == 0 || cols == 0) return;
  std::int64_t grain = std::max<std::int64_t>(1, kEpilogueElements / cols);
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; row += grain) {
      run.epilogue(run.epilogue_args, run.epilogue_dims, run.context, row, std::min(end, row + grain), 0, cols);
    }
  });
}

}  // namespace

void run_contraction(const ContractionRun& run) {
  if (run.problem->num_windows == 0) {
    ContractionPhase phase = plain_phase(*run.problem);
    if (!phase.empty()) run_phase(phase, run);
    return;
  }
  std::vector<ContractionPhase> phases = split_phases(*run.problem);
  ContractionRun part = run;
  if (phases.size() > 1) part.epilogue = nullptr;
  for (const ContractionPhase& phase : phases) run_phase(phase, part);
  if (run.epilogue != nullptr && phases.size() > 1) run_epilogue_at_end(run);
}

}  // namespace kiln::ops
