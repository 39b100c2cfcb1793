// Classes of rows and their depth segments.
#include "ops/kernels/contraction_rows.h"

#include <algorithm>

#include "ops/numeric_order.h"

namespace kiln::ops {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Smallest k >= 0 with position + k * step >= bound.
std::int64_t first_reaching(std::int64_t position, std::int64_t step, std::int64_t bound) {
  return position >= bound ? 0 : (bound - position + step - 1) / step;
}

}  // namespace

RowTable::RowTable(const ContractionPhase& phase, bool may_skip) : phase_(phase) {
  skips_padding_ = may_skip && find_windows();
  if (skips_padding_) num_windows_ = phase.num_windows;
}

bool RowTable::find_windows() {
  const ContractionPhase& phase = phase_;
  std::int64_t classes = 1;
  for (int i = 0; i < phase.num_windows; ++i) {
    const WindowCheck& check = phase.windows[at(i)];
    Window& window = windows_[at(i)];
    window.row = check.row;
    window.depth = check.depth;
    window.taps = phase.depth.loops[at(check.depth)].extent;
    for (int j = check.depth + 1; j < phase.depth.count; ++j) window.below *= phase.depth.loops[at(j)].extent;
    window.weight = static_cast<int>(classes);
    std::int64_t rows = check.row >= 0 ? phase.row.loops[at(check.row)].extent : 1;
    for (std::int64_t r = 0; r < rows; ++r) {
      std::int64_t position = check.row_start + r * check.row_step;
      Interval next{r, r + 1, std::min(first_reaching(position, check.depth_step, 0), window.taps),
                    std::min(first_reaching(position, check.depth_step, check.extent), window.taps)};
      if (next.first >= next.last) next.first = next.last = 0;
      bool same = !window.intervals.empty() && window.intervals.back().first == next.first && window.intervals.back().last == next.last;
      if (same) {
        window.intervals.back().end = r + 1;
      } else {
        window.intervals.push_back(next);
      }
    }
    classes *= static_cast<std::int64_t>(window.intervals.size());
    if (classes * kRowsToSkipPadding > phase.row.size) return false;
  }
  num_classes_ = static_cast<int>(classes);
  return true;
}

const RowTable::Window* RowTable::window_of_row_loop(int loop) const {
  for (int i = 0; i < num_windows_; ++i) {
    if (windows_[at(i)].row == loop) return &windows_[at(i)];
  }
  return nullptr;
}

/// The class number without the share of a window that slides along the innermost loop.
int RowTable::outer_class(const std::array<std::int64_t, kMaxContractionLoops>& digits) const {
  int number = 0;
  for (int i = 0; i < num_windows_; ++i) {
    const Window& window = windows_[at(i)];
    if (window.row < 0 || window.row == phase_.row.count - 1) continue;
    auto interval = std::upper_bound(window.intervals.begin(), window.intervals.end(), digits[at(window.row)],
                                     [](std::int64_t digit, const Interval& x) { return digit < x.end; });
    number += window.weight * static_cast<int>(interval - window.intervals.begin());
  }
  return number;
}

void RowTable::fill(std::int64_t row0, std::int64_t row1, std::vector<RowClass>& classes) const {
  for (RowClass& c : classes) c.clear();
  const LoopGroup& group = phase_.row;
  int last = std::max(group.count - 1, 0);
  const ContractionLoop inner = group.count > 0 ? group.loops[at(last)] : ContractionLoop{};
  const Window* sliding = group.count > 0 ? window_of_row_loop(last) : nullptr;
  std::array<std::int64_t, kMaxContractionLoops> digits = {};
  std::int64_t rest = row0;
  for (int i = group.count; i-- > 0;) {
    digits[at(i)] = rest % group.loops[at(i)].extent;
    rest /= group.loops[at(i)].extent;
  }
  for (std::int64_t row = row0; row < row1;) {
    std::int64_t left = 0, out = 0, begin = digits[at(last)], end = std::min(inner.extent, begin + row1 - row);
    for (int i = 0; i < last; ++i) {
      left += digits[at(i)] * group.loops[at(i)].lhs_stride;
      out += digits[at(i)] * group.loops[at(i)].out_stride;
    }
    auto push = [&](int number, std::int64_t from, std::int64_t to) {
      if (from >= to) return;
      classes[at(number)].push({row - row0 + from - begin, to - from, left + from * inner.lhs_stride, inner.lhs_stride,
                                out + from * inner.out_stride, inner.out_stride});
    };
    int number = outer_class(digits);
    if (sliding == nullptr) {
      push(number, begin, end);
    } else {
      for (const Interval& x : sliding->intervals) {
        push(number, std::max(begin, x.begin), std::min(end, x.end));
        number += sliding->weight;
      }
    }
    row += end - begin;
    digits[at(last)] = 0;
    for (int i = last; i-- > 0;) {
      if (++digits[at(i)] < group.loops[at(i)].extent) break;
      digits[at(i)] = 0;
    }
  }
}

void RowTable::segments(int row_class, std::int64_t begin, std::int64_t count, std::vector<TileSegment>& result) const {
  result.clear();
  const LoopGroup& group = phase_.depth;
  static thread_local std::vector<Run> runs;
  fill_runs(group, Operand::lhs, begin, count, runs);
  std::array<Interval, kMaxWindows> taps;
  for (int i = 0; i < num_windows_; ++i) {
    const Window& window = windows_[at(i)];
    taps[at(i)] = window.intervals[static_cast<std::size_t>(row_class / window.weight) % window.intervals.size()];
  }
  for (const Run& run : runs) {
    std::int64_t from = 0, to = run.length;
    for (int i = 0; i < num_windows_; ++i) {
      const Window& window = windows_[at(i)];
      std::int64_t tap = (begin + run.begin) / window.below % window.taps;
      if (window.depth == group.count - 1) {
        from = std::max(from, taps[at(i)].first - tap);
        to = std::min(to, taps[at(i)].last - tap);
      } else if (tap < taps[at(i)].first || tap >= taps[at(i)].last) {
        to = 0;
      }
    }
    if (from >= to) continue;
    TileSegment segment{run.offset + from * run.stride, run.begin + from, to - from};
    bool follows = !result.empty() && result.back().left + result.back().length * run.stride == segment.left &&
                   result.back().right + result.back().length == segment.right;
    if (follows) {
      result.back().length += segment.length;
    } else {
      result.push_back(segment);
    }
  }
}

}  // namespace kiln::ops
