// Contractions: which operand is the left one, and what each thread computes.
#include "ops/kernels/contraction.h"

#include <algorithm>
#include <vector>

#include "base/thread_pool.h"
#include "ops/kernels/contraction_phase.h"

namespace kiln::ops {
namespace {

constexpr std::int64_t kTaskFlops = 1 << 20;       ///< less work than this is not worth a thread
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

void run_phase(const ContractionPhase& phase, const ContractionRun& run, bool swapped) {
  PhaseRunner runner(phase, run, swapped);
  std::int64_t batches = phase.batch.size, rows = phase.row.size, cols = phase.col.size;
  std::int64_t element_flops = 2 * std::max<std::int64_t>(phase.depth.size, 1);
  auto grain = [&](std::int64_t unit_flops) { return std::max<std::int64_t>(1, kTaskFlops / std::max<std::int64_t>(unit_flops, 1)); };
  int threads = num_threads();
  if (batches >= 4 * threads || batches * rows * cols * element_flops < 2 * kTaskFlops ||
      (batches > 1 && rows * cols * element_flops < 2 * kTaskFlops)) {
    parallel_for(batches, grain(rows * cols * element_flops), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) runner.run(b, 0, rows, 0, cols);
    });
    return;
  }
  // Columns if there are enough for every thread: then no part of the right operand is packed twice.
  std::int64_t unit = runner.tile_cols();
  bool by_cols = cols >= 2 * unit * threads && cols >= rows / 4;
  if (!by_cols) unit = runner.tile_rows();
  std::int64_t length = by_cols ? cols : rows, other = by_cols ? rows : cols;
  for (std::int64_t b = 0; b < batches; ++b) {
    parallel_for((length + unit - 1) / unit, grain(unit * other * element_flops), [&](std::int64_t begin, std::int64_t end) {
      std::int64_t from = begin * unit, to = std::min(length, end * unit);
      if (by_cols) {
        runner.run(b, 0, rows, from, to);
      } else {
        runner.run(b, from, to, 0, cols);
      }
    });
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
  auto run_one = [](const ContractionPhase& phase, const ContractionRun& part) {
    if (should_exchange(phase)) {
      run_phase(exchange(phase), part, true);
    } else {
      run_phase(phase, part, false);
    }
  };
  if (run.problem->num_windows == 0) {
    ContractionPhase phase = plain_phase(*run.problem);
    if (!phase.empty()) run_one(phase, run);
    return;
  }
  std::vector<ContractionPhase> phases = split_phases(*run.problem);
  ContractionRun part = run;
  if (phases.size() > 1) part.epilogue = nullptr;
  for (const ContractionPhase& phase : phases) run_one(phase, part);
  if (run.epilogue != nullptr && phases.size() > 1) run_epilogue_at_end(run);
}

}  // namespace kiln::ops
