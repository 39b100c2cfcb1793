// A contraction in normal form: dilation split into phases, loops merged, windows that never leave the operand gone.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/contraction.h"

namespace kiln::ops {

/// Loops of one group, outermost first, merged as far as all strides and windows allow.
struct LoopGroup {
  std::array<ContractionLoop, kMaxContractionLoops> loops;
  int count = 0;
  std::int64_t size = 1;  ///< product of the extents

  void push(const ContractionLoop& loop) {
    loops[static_cast<std::size_t>(count++)] = loop;
    size *= loop.extent;
  }
};

/// Window that reaches outside: a term counts if 0 <= row position + depth position < extent.
struct WindowCheck {
  int row = -1;    ///< loop of the row group, -1 if its length is 1
  int depth = -1;  ///< loop of the depth group
  std::int64_t extent = 0;
  std::int64_t row_step = 0, depth_step = 0;  ///< positions an iteration moves
  std::int64_t row_start = 0;                 ///< position of row iteration 0 (-padding)
};

inline constexpr int kMaxWindows = 4;

/// No holes, nothing reversed; offsets of an element are sums over loops (also through windows), from the group's base.
struct ContractionPhase {
  LoopGroup batch, row, col, depth;
  std::array<WindowCheck, kMaxWindows> windows;
  int num_windows = 0;
  std::int64_t lhs_base = 0, rhs_base = 0, out_base = 0;
  bool diagonal = false;  ///< columns are an axis of all three tensors, contiguous in each: column j of lhs meets column j of rhs

  bool empty() const { return batch.size == 0 || row.size == 0 || col.size == 0; }
};

/// The one phase of a contraction without windows.
ContractionPhase plain_phase(const Contraction& problem);
/// One phase for each combination of residues of the dilated windows (one alone without dilation). Together they write every output once.
std::vector<ContractionPhase> split_phases(const Contraction& problem);

/// The phase with its innermost batch loop as columns, for a contraction without columns of its own (a depthwise convolution, say);
/// nothing if that loop is short, or not contiguous everywhere.
std::optional<ContractionPhase> diagonal_phase(const ContractionPhase& phase);

/// A phase whose depth counts pairs: neighbours along the innermost depth loop.
struct PairedPhase {
  ContractionPhase phase;
  std::int64_t lhs_second = 0, rhs_second = 0;  ///< elements from the first to the second of a pair
  bool alone = false;                           ///< the last pair has no second element
  bool left_in_place = false;                   ///< pairs of the left operand are contiguous; the phase's left strides then count pairs
};
/// Nothing if an odd number of neighbours is repeated by outer loops, or a window slides over pairs. `aligned`: the left operand begins
/// where a pair may.
std::optional<PairedPhase> pair_depth(const ContractionPhase& phase, bool aligned);

/// Neighbouring indices of a group along its innermost loop, as lhs sees them.
struct Run {
  std::int64_t begin = 0;  ///< first index, counted from the start of the range asked for
  std::int64_t length = 0;
  std::int64_t offset = 0;  ///< of the first index, in elements
  std::int64_t stride = 0;
  std::array<std::int64_t, kMaxWindows> position = {};  ///< of the first index, its part of each window's position
  std::int32_t window = -1;                             ///< the window that the run moves along, -1 if none
  std::int64_t step = 0;                                ///< positions an index moves in that window
};

enum class Operand : std::uint8_t { lhs, rhs, out };
inline std::int64_t stride_of(const ContractionLoop& loop, Operand operand) {
  return operand == Operand::lhs ? loop.lhs_stride : operand == Operand::rhs ? loop.rhs_stride : loop.out_stride;
}

std::optional<std::int64_t> linear_stride_of_loops(const LoopGroup& group, Operand operand, std::int64_t alone);
/// The stride if offsets grow linearly over the whole group, else nothing. A group of one element has stride `alone`.
inline std::optional<std::int64_t> linear_stride(const LoopGroup& group, Operand operand, std::int64_t alone) {
  if (group.count == 0) return alone;
  if (group.count == 1 && group.loops[0].extent != 1) return stride_of(group.loops[0], operand);
  return linear_stride_of_loops(group, operand, alone);
}
/// Offsets of indices [begin, begin + count) of a group.
void fill_offsets(const LoopGroup& group, Operand operand, std::int64_t begin, std::int64_t count, std::int64_t* offsets);
/// The same for one of rhs or out without windows: runs of `operand`.
void fill_runs(const LoopGroup& group, Operand operand, std::int64_t begin, std::int64_t count, std::vector<Run>& runs);
/// Runs of lhs over indices [begin, begin + count) of the row (or the depth) group.
void fill_lhs_runs(const ContractionPhase& phase, bool rows, std::int64_t begin, std::int64_t count, std::vector<Run>& runs);

}  // namespace kiln::ops
