// Rows of a contraction sorted by the taps that they use: what lets a convolution read its left operand in place and skip its padding.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "ops/kernels/contraction_plan.h"
#include "ops/kernels/microkernel.h"

namespace kiln::ops {

/// Neighbouring rows: where they begin in the left operand and in the result, and how far the next one is, in elements.
struct RowRun {
  std::int64_t row = 0, length = 0;  ///< first row, counted from the start of the range asked for
  std::int64_t left = 0, left_step = 0;
  std::int64_t out = 0, out_step = 0;
};

/// Rows that use the same taps.
struct RowClass {
  std::vector<RowRun> runs;
  std::int64_t rows = 0;

  void clear() {
    runs.clear();
    rows = 0;
  }
  void push(const RowRun& run) {
    runs.push_back(run);
    rows += run.length;
  }
};

/// Which taps of each window are inside the operand, for every row. Rows with the same taps make a class; a phase without windows has one.
class RowTable {
 public:
  /// Without `may_skip` there is one class, whatever the windows.
  RowTable(const ContractionPhase& phase, bool may_skip);

  int num_classes() const { return num_classes_; }
  /// Whether padding is skipped (see numeric_order.h), rather than filled with zeros that take part.
  bool skips_padding() const { return skips_padding_; }
  /// Sorts rows [row0, row1) into classes, which has num_classes() elements.
  void fill(std::int64_t row0, std::int64_t row1, std::vector<RowClass>& classes) const;
  /// Depth indices [begin, begin + count) that rows of the class use. TileSegment::right counts from `begin`.
  void segments(int row_class, std::int64_t begin, std::int64_t count, std::vector<TileSegment>& result) const;

 private:
  /// Rows [begin, end) of a window's row loop use taps [first, last).
  struct Interval {
    std::int64_t begin = 0, end = 0, first = 0, last = 0;
  };
  struct Window {
    int row = -1, depth = 0;
    std::int64_t taps = 1, below = 1;  ///< below: depth indices that a tap spans
    int weight = 1;                    ///< of an interval's number in the class number
    std::vector<Interval> intervals;
  };
  const Window* window_of_row_loop(int loop) const;
  int outer_class(const std::array<std::int64_t, kMaxContractionLoops>& digits) const;

  /// False if too few rows share their taps.
  bool find_windows();

  const ContractionPhase& phase_;
  std::array<Window, kMaxWindows> windows_;
  int num_windows_ = 0;
  int num_classes_ = 1;
  bool skips_padding_ = false;
};

}  // namespace kiln::ops
