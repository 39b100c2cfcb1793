// Normalization of contractions.
#include "ops/kernels/contraction_plan.h"

#include <algorithm>
#include <numeric>

namespace kiln::ops {
namespace {

constexpr std::int64_t kDiagonalCols = 4;  ///< a shorter axis stays one of the batch

/// One window's share of a phase: which outputs, which taps, and the window without holes.
struct WindowPhase {
  std::int64_t row_first = 0, row_step = 1, rows = 0;
  std::int64_t tap_first = 0, tap_step = 1, taps = 0;
  std::int64_t stride = 1, rhs_dilation = 1, padding = 0;
};

std::int64_t count_from(std::int64_t first, std::int64_t step, std::int64_t extent) {
  return first >= extent ? 0 : (extent - first + step - 1) / step;
}

/// Output residue `r` of a dilated window: the taps k with (r * stride + k * rhs_dilation - padding) divisible by lhs_dilation form a
/// progression.
WindowPhase window_phase(const ContractionWindow& w, std::int64_t r, std::int64_t row_step, std::int64_t rows, std::int64_t taps) {
  WindowPhase phase{.row_first = r, .row_step = row_step, .rows = count_from(r, row_step, rows)};
  phase.tap_step = w.lhs_dilation / std::gcd(w.lhs_dilation, w.rhs_dilation);
  for (std::int64_t k = 0; k < phase.tap_step; ++k) {
    std::int64_t position = r * w.stride + k * w.rhs_dilation - w.padding_low;
    if (position % w.lhs_dilation != 0) continue;
    phase.tap_first = k;
    phase.taps = count_from(k, phase.tap_step, taps);
    phase.stride = row_step * w.stride / w.lhs_dilation;
    phase.rhs_dilation = phase.tap_step * w.rhs_dilation / w.lhs_dilation;
    phase.padding = -position / w.lhs_dilation;
    break;
  }
  return phase;
}

void append(LoopGroup& group, const ContractionLoop& loop, bool pinned_before, bool pinned) {
  if (loop.extent == 1 && !pinned) return;
  if (group.count > 0 && !pinned && !pinned_before) {
    ContractionLoop& outer = group.loops[static_cast<std::size_t>(group.count - 1)];
    bool merges = outer.lhs_stride == loop.lhs_stride * loop.extent && outer.rhs_stride == loop.rhs_stride * loop.extent &&
                  outer.out_stride == loop.out_stride * loop.extent;
    if (merges) {
      outer = {outer.extent * loop.extent, loop.lhs_stride, loop.rhs_stride, loop.out_stride};
      group.size *= loop.extent;
      return;
    }
  }
  group.push(loop);
}

/// Copies `count` loops into a group, merging; `kept[i]` says that a window needs loop i by itself, and gets its new place.
template <class Loops>
void merge(const Loops& loops, int count, std::array<int, kMaxContractionLoops>& kept, LoopGroup& group) {
  bool before = false;
  for (int i = 0; i < count; ++i) {
    auto at = static_cast<std::size_t>(i);
    bool pinned = kept[at] >= 0;
    int size_before = group.count;
    append(group, loops[at], before, pinned);
    if (pinned) kept[at] = group.count - 1;
    if (pinned || group.count != size_before) before = pinned;
  }
}

ContractionPhase make_phase(const Contraction& problem, const std::array<WindowPhase, kMaxWindows>& parts) {
  ContractionPhase phase;
  Contraction c = problem;
  std::array<int, kMaxContractionLoops> kept_row, kept_depth, none;
  kept_row.fill(-1);
  kept_depth.fill(-1);
  none.fill(-1);
  for (int i = 0; i < problem.num_windows; ++i) {
    const ContractionWindow& w = problem.windows[static_cast<std::size_t>(i)];
    const WindowPhase& part = parts[static_cast<std::size_t>(i)];
    ContractionLoop& row = c.row[static_cast<std::size_t>(w.row)];
    ContractionLoop& depth = c.depth[static_cast<std::size_t>(w.depth)];
    phase.out_base += part.row_first * row.out_stride;
    phase.rhs_base += part.tap_first * depth.rhs_stride;
    row.out_stride *= part.row_step;
    row.extent = part.rows;
    depth.rhs_stride *= part.tap_step;
    if (w.reverse) {
      // Tap k reads rhs index (all taps - 1 - k): start at the far end and walk back.
      phase.rhs_base += (depth.extent - 1 - 2 * part.tap_first) * (depth.rhs_stride / part.tap_step);
      depth.rhs_stride = -depth.rhs_stride;
    }
    depth.extent = part.taps;
    row.lhs_stride = part.stride * w.lhs_stride;
    depth.lhs_stride = part.rhs_dilation * w.lhs_stride;
    phase.lhs_base -= part.padding * w.lhs_stride;
    std::int64_t last = (part.rows - 1) * part.stride + (part.taps - 1) * part.rhs_dilation - part.padding;
    bool inside = part.padding <= 0 && last < w.extent;
    if (inside || part.rows == 0 || part.taps == 0) continue;
    kept_row[static_cast<std::size_t>(w.row)] = 0;
    kept_depth[static_cast<std::size_t>(w.depth)] = 0;
    phase.windows[static_cast<std::size_t>(phase.num_windows++)] = {w.row,       w.depth,           w.extent,
                                                                    part.stride, part.rhs_dilation, -part.padding};
  }
  merge(c.batch, c.num_batch, none, phase.batch);
  merge(c.row, c.num_row, kept_row, phase.row);
  merge(c.col, c.num_col, none, phase.col);
  merge(c.depth, c.num_depth, kept_depth, phase.depth);
  for (int i = 0; i < phase.num_windows; ++i) {
    WindowCheck& check = phase.windows[static_cast<std::size_t>(i)];
    check.row = kept_row[static_cast<std::size_t>(check.row)];
    check.depth = kept_depth[static_cast<std::size_t>(check.depth)];
  }
  return phase;
}

}  // namespace

ContractionPhase plain_phase(const Contraction& problem) {
  std::array<int, kMaxContractionLoops> none;
  none.fill(-1);
  ContractionPhase phase;
  merge(problem.batch, problem.num_batch, none, phase.batch);
  merge(problem.row, problem.num_row, none, phase.row);
  merge(problem.col, problem.num_col, none, phase.col);
  merge(problem.depth, problem.num_depth, none, phase.depth);
  return phase;
}

std::vector<ContractionPhase> split_phases(const Contraction& problem) {
  std::array<std::int64_t, kMaxWindows> residues = {1, 1, 1, 1}, residue = {};
  for (int i = 0; i < problem.num_windows; ++i) {
    const ContractionWindow& w = problem.windows[static_cast<std::size_t>(i)];
    residues[static_cast<std::size_t>(i)] = w.lhs_dilation / std::gcd(w.lhs_dilation, w.stride);
  }
  std::vector<ContractionPhase> phases;
  while (true) {
    std::array<WindowPhase, kMaxWindows> parts;
    for (int i = 0; i < problem.num_windows; ++i) {
      auto at = static_cast<std::size_t>(i);
      const ContractionWindow& w = problem.windows[at];
      parts[at] = window_phase(w, residue[at], residues[at], problem.row[static_cast<std::size_t>(w.row)].extent,
                               problem.depth[static_cast<std::size_t>(w.depth)].extent);
    }
    phases.push_back(make_phase(problem, parts));
    if (phases.back().empty()) phases.pop_back();
    int i = problem.num_windows - 1;
    while (i >= 0 && ++residue[static_cast<std::size_t>(i)] == residues[static_cast<std::size_t>(i)])
      residue[static_cast<std::size_t>(i--)] = 0;
    if (i < 0) return phases;
  }
}

std::optional<ContractionPhase> diagonal_phase(const ContractionPhase& phase) {
  if (phase.col.size != 1 || phase.batch.count == 0) return std::nullopt;
  const ContractionLoop& inner = phase.batch.loops[static_cast<std::size_t>(phase.batch.count - 1)];
  bool contiguous = inner.lhs_stride == 1 && inner.rhs_stride == 1 && inner.out_stride == 1;
  if (!contiguous || inner.extent < kDiagonalCols) return std::nullopt;
  ContractionPhase diagonal = phase;
  diagonal.diagonal = true;
  diagonal.col = {};
  diagonal.col.push(inner);
  --diagonal.batch.count;
  diagonal.batch.size /= inner.extent;
  return diagonal;
}

std::optional<PairedPhase> pair_depth(const ContractionPhase& phase, bool aligned) {
  if (phase.depth.count == 0 || phase.depth.size == 0 || phase.diagonal) return std::nullopt;
  PairedPhase paired{.phase = phase};
  const auto innermost = static_cast<std::size_t>(phase.depth.count - 1);
  ContractionLoop& inner = paired.phase.depth.loops[innermost];
  for (int i = 0; i < phase.num_windows; ++i) {
    if (phase.windows[static_cast<std::size_t>(i)].depth == phase.depth.count - 1) return std::nullopt;
  }
  paired.alone = inner.extent % 2 != 0;
  if (paired.alone && phase.depth.count > 1) return std::nullopt;
  paired.lhs_second = inner.lhs_stride;
  paired.rhs_second = inner.rhs_stride;
  paired.phase.depth.size = phase.depth.size / inner.extent * ((inner.extent + 1) / 2);
  inner.extent = (inner.extent + 1) / 2;
  inner.lhs_stride *= 2;
  inner.rhs_stride *= 2;
  bool even = aligned && phase.lhs_base % 2 == 0;
  for (const LoopGroup* group : {&paired.phase.batch, &paired.phase.row, &paired.phase.depth}) {
    for (int i = 0; i < group->count; ++i) even = even && group->loops[static_cast<std::size_t>(i)].lhs_stride % 2 == 0;
  }
  paired.left_in_place = even && !paired.alone && paired.lhs_second == 1;
  if (!paired.left_in_place) return paired;
  for (LoopGroup* group : {&paired.phase.batch, &paired.phase.row, &paired.phase.depth}) {
    for (int i = 0; i < group->count; ++i) group->loops[static_cast<std::size_t>(i)].lhs_stride /= 2;
  }
  return paired;
}

std::optional<std::int64_t> linear_stride_of_loops(const LoopGroup& group, Operand operand, std::int64_t alone) {
  std::optional<std::int64_t> stride;
  std::int64_t reach = 0;
  for (int i = group.count; i-- > 0;) {
    const ContractionLoop& loop = group.loops[static_cast<std::size_t>(i)];
    if (loop.extent == 1) continue;
    if (!stride) {
      stride = stride_of(loop, operand);
      reach = *stride * loop.extent;
    } else if (stride_of(loop, operand) == reach) {
      reach *= loop.extent;
    } else {
      return std::nullopt;
    }
  }
  return stride ? stride : alone;
}

void fill_offsets(const LoopGroup& group, Operand operand, std::int64_t begin, std::int64_t count, std::int64_t* offsets) {
  std::vector<Run> runs;
  fill_runs(group, operand, begin, count, runs);
  for (const Run& run : runs) {
    for (std::int64_t i = 0; i < run.length; ++i) offsets[run.begin + i] = run.offset + i * run.stride;
  }
}

void fill_runs(const LoopGroup& group, Operand operand, std::int64_t begin, std::int64_t count, std::vector<Run>& runs) {
  runs.clear();
  if (count == 0) return;
  std::array<std::int64_t, kMaxContractionLoops> digits = {};
  std::int64_t rest = begin;
  for (int i = group.count; i-- > 0;) {
    auto at = static_cast<std::size_t>(i);
    digits[at] = rest % group.loops[at].extent;
    rest /= group.loops[at].extent;
  }
  auto innermost = static_cast<std::size_t>(group.count > 0 ? group.count - 1 : 0);
  ContractionLoop inner = group.count > 0 ? group.loops[innermost] : ContractionLoop{};
  for (std::int64_t n = 0; n < count;) {
    Run run{.begin = n, .length = std::min(count - n, inner.extent - digits[innermost]), .stride = stride_of(inner, operand)};
    for (int i = 0; i < group.count; ++i)
      run.offset += digits[static_cast<std::size_t>(i)] * stride_of(group.loops[static_cast<std::size_t>(i)], operand);
    runs.push_back(run);
    n += run.length;
    digits[innermost] = 0;
    for (int i = group.count - 1; i-- > 0;) {
      auto at = static_cast<std::size_t>(i);
      if (++digits[at] < group.loops[at].extent) break;
      digits[at] = 0;
    }
  }
}

void fill_lhs_runs(const ContractionPhase& phase, bool rows, std::int64_t begin, std::int64_t count, std::vector<Run>& runs) {
  const LoopGroup& group = rows ? phase.row : phase.depth;
  fill_runs(group, Operand::lhs, begin, count, runs);
  for (int i = 0; i < phase.num_windows; ++i) {
    const WindowCheck& w = phase.windows[static_cast<std::size_t>(i)];
    int loop = rows ? w.row : w.depth;
    std::int64_t step = rows ? w.row_step : w.depth_step;
    std::int64_t below = 1;
    for (int j = loop + 1; j < group.count; ++j) below *= group.loops[static_cast<std::size_t>(j)].extent;
    std::int64_t extent = group.loops[static_cast<std::size_t>(loop)].extent;
    for (Run& run : runs) {
      std::int64_t digit = (begin + run.begin) / below % extent;
      run.position[static_cast<std::size_t>(i)] = (rows ? w.row_start : 0) + digit * step;
      if (loop == group.count - 1) {
        run.window = i;
        run.step = step;
      }
    }
  }
}

}  // namespace kiln::ops
