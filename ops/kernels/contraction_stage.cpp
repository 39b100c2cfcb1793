// Layout and filling of the copy.
#include "ops/kernels/contraction_stage.h"

#include <algorithm>
#include <vector>

namespace kiln::ops {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

std::optional<LeftStage> LeftStage::make(const ContractionPhase& phase, std::int64_t most) {
  if (phase.num_windows == 0) return std::nullopt;
  LeftStage stage(phase);
  stage.add_axes();
  stage.cut(most);
  if (stage.elements_ > most || stage.elements_ == 0) return std::nullopt;
  stage.lay_out();
  return stage;
}

/// Axes in the order in which the left operand has them.
void LeftStage::add_axes() {
  std::array<bool, kMaxContractionLoops> row_slides = {}, depth_slides = {};
  for (int i = 0; i < phase_.num_windows; ++i) {
    const WindowCheck& w = phase_.windows[at(i)];
    const ContractionLoop& depth = phase_.depth.loops[at(w.depth)];
    std::int64_t rows = w.row >= 0 ? phase_.row.loops[at(w.row)].extent : 1;
    std::int64_t extent = (rows - 1) * w.row_step + (depth.extent - 1) * w.depth_step + 1;
    axes_[at(count_++)] = {extent, depth.lhs_stride / w.depth_step, 0, i, w.row, w.depth};
    if (w.row >= 0) row_slides[at(w.row)] = true;
    depth_slides[at(w.depth)] = true;
  }
  for (int i = 0; i < phase_.row.count; ++i) {
    const ContractionLoop& loop = phase_.row.loops[at(i)];
    if (!row_slides[at(i)]) axes_[at(count_++)] = {loop.extent, loop.lhs_stride, 0, -1, i, -1};
  }
  for (int i = 0; i < phase_.depth.count; ++i) {
    const ContractionLoop& loop = phase_.depth.loops[at(i)];
    if (!depth_slides[at(i)]) axes_[at(count_++)] = {loop.extent, loop.lhs_stride, 0, -1, -1, i};
  }
  for (int i = 0; phase_.diagonal && i < phase_.col.count; ++i) {
    const ContractionLoop& loop = phase_.col.loops[at(i)];
    axes_[at(count_++)] = {loop.extent, loop.lhs_stride, 0, -1, -1, -1, i};
  }
  std::sort(axes_.begin(), axes_.begin() + count_, [](const Axis& a, const Axis& b) { return a.from > b.from; });
}

/// Takes only a part of an outermost loop that no window moves along, so that a copy has about `most` elements.
void LeftStage::cut(std::int64_t most) {
  rows_ = phase_.row.size;
  depths_ = phase_.depth.size;
  for (int i = 0; i < count_; ++i) elements_ *= axes_[at(i)].extent;
  if (elements_ <= most) return;
  for (int i = 0; i < count_; ++i) {
    Axis& axis = axes_[at(i)];
    bool outermost = axis.window < 0 && (axis.row_loop == 0 || axis.depth_loop == 0);
    if (!outermost) continue;
    std::int64_t others = elements_ / axis.extent;
    std::int64_t part = std::clamp<std::int64_t>(most / others, 1, axis.extent);
    (axis.row_loop == 0 ? rows_ : depths_) /= axis.extent;
    (axis.row_loop == 0 ? rows_ : depths_) *= part;
    axis.extent = part;
    elements_ = others * part;
    cut_ = i;
    return;
  }
}

void LeftStage::lay_out() {
  std::int64_t stride = 1;
  for (int i = count_; i-- > 0;) {
    Axis& axis = axes_[at(i)];
    axis.to = stride;
    stride *= axis.extent;
    if (axis.window >= 0) {
      const WindowCheck& w = phase_.windows[at(axis.window)];
      if (w.row >= 0) staged_.row.loops[at(w.row)].lhs_stride = axis.to * w.row_step;
      staged_.depth.loops[at(w.depth)].lhs_stride = axis.to * w.depth_step;
    } else if (axis.row_loop >= 0) {
      staged_.row.loops[at(axis.row_loop)].lhs_stride = axis.to;
    } else if (axis.col_loop >= 0) {
      staged_.col.loops[at(axis.col_loop)].lhs_stride = axis.to;
    } else {
      staged_.depth.loops[at(axis.depth_loop)].lhs_stride = axis.to;
    }
  }
  staged_.num_windows = 0;
  staged_.lhs_base = 0;
}

std::int64_t LeftStage::fill(Widening widening, const void* from, std::int64_t stored_bytes, void* to, std::int64_t row,
                             std::int64_t depth) const {
  std::array<std::int64_t, 2 * kMaxContractionLoops> extents;
  for (int i = 0; i < count_; ++i) extents[at(i)] = axes_[at(i)].extent;
  const auto* base = static_cast<const std::byte*>(from);
  std::int64_t skipped = 0;
  if (cut_ >= 0) {
    const Axis& axis = axes_[at(cut_)];
    const ContractionLoop& loop = axis.row_loop == 0 ? phase_.row.loops[0] : phase_.depth.loops[0];
    std::int64_t first = axis.row_loop == 0 ? row / (rows_ / axis.extent) : depth / (depths_ / axis.extent);
    extents[at(cut_)] = std::min(axis.extent, loop.extent - first);
    base += first * axis.from * stored_bytes;
    skipped = first * axis.to;
  }
  auto run_of = [&](int i) {
    Run run{.begin = 0, .length = extents[at(i)], .offset = 0, .stride = axes_[at(i)].from};
    run.window = axes_[at(i)].window;
    run.step = run.window >= 0 ? 1 : 0;
    return run;
  };
  int inner = count_ - 1, outer = count_ - 2;
  Run inner_run = run_of(inner);
  for (int w = 0; w < phase_.num_windows; ++w) inner_run.position[at(w)] = phase_.windows[at(w)].row_start;
  std::vector<Run> runs;
  std::array<std::int64_t, 2 * kMaxContractionLoops> digits = {};
  // Outer runs are numbered by their place in the copy, in rows of the innermost axis.
  while (true) {
    Run run = outer >= 0 ? run_of(outer) : Run{.length = 1};
    std::int64_t place = 0;
    for (int i = 0; i < outer; ++i) {
      run.offset += digits[at(i)] * axes_[at(i)].from;
      place += digits[at(i)] * axes_[at(i)].to;
      if (axes_[at(i)].window >= 0) run.position[at(axes_[at(i)].window)] += digits[at(i)];
    }
    run.begin = place / axes_[at(inner)].extent;
    runs.push_back(run);
    int i = outer;
    while (i > 0 && ++digits[at(i - 1)] == extents[at(i - 1)]) digits[at(--i)] = 0;
    if (i <= 0) break;
  }
  PackJob job{.widening = widening, .from = base, .to = to, .outer = runs, .inner = {&inner_run, 1}};
  job.to_outer = axes_[at(inner)].extent;
  job.windows = {phase_.windows.data(), static_cast<std::size_t>(phase_.num_windows)};
  KILN_FOR_TARGET(pack)(job);
  return -skipped;
}

}  // namespace kiln::ops
