// One phase of a contraction, blocked for the caches: columns, depth, a packed block of the right operand, rows, register tiles.
#pragma once
#include <cstdint>
#include <optional>

#include "ops/kernels/contraction.h"
#include "ops/kernels/contraction_plan.h"
#include "ops/kernels/contraction_rows.h"
#include "ops/kernels/contraction_stage.h"
#include "ops/kernels/microkernel.h"
#include "ops/kernels/pack.h"

namespace kiln::ops {

/// What a dtype computes with and how it is stored.
struct ContractionElements {
  ComputeType compute = ComputeType::f32;
  Widening widening = Widening::raw32;
  std::int64_t stored_bytes = 4, compute_bytes = 4;
  bool same() const { return widening == Widening::raw32 || widening == Widening::raw64; }
};

struct ClassSegments;
struct MatrixLines;
class NextLines;

/// One phase with what is known about its operands, ready to compute any rectangle of it on any thread.
class PhaseRunner {
 public:
  /// `swapped`: the phase has the operands of `run` exchanged, rows for columns.
  PhaseRunner(const ContractionPhase& phase, const ContractionRun& run, bool swapped);
  PhaseRunner(const PhaseRunner&) = delete;
  /// Computes rows [row0, row1) x columns [col0, col1) of one batch element. The thread goes on with batch element `next`, if not negative.
  void run(std::int64_t batch, std::int64_t row0, std::int64_t row1, std::int64_t col0, std::int64_t col1, std::int64_t next) const;
  /// Whether the left operand (or a copy of the parts that windows slide over) is read in place.
  bool left_direct() const { return left_direct_; }
  /// Whether, besides, its elements are contiguous along the depth.
  bool left_by_depth() const { return left_direct_ && lhs_depth_step_ == 1; }
  std::int64_t lanes() const { return kernels_.lanes; }
  /// Rows that are best not shared by threads.
  std::int64_t row_unit() const { return stage_ && stage_->rows() < phase_.row.size ? stage_->rows() : 1; }
  std::int64_t tile_cols() const { return tile_vectors_ * kernels_.lanes; }

 private:
  /// A rectangle and a part of the depth.
  struct Part {
    std::int64_t batch, row0, row1, col0, col1, depth0, depth1;
    const std::byte* left;   ///< where rows that are read in place count from
    std::byte* sums;         ///< [rows][cols] of the rectangle, where sums wait for the next part; null: in the result
    std::int64_t next = -1;  ///< the batch element after this one
  };
  struct Block {
    std::int64_t batch, row0, row1, col, cols, width, depth, depths;  ///< width: columns of a full tile
    bool first, last;                                                 ///< of the blocks along the depth
    const std::byte* right;                                           ///< packed; null: read in place
    const std::byte* left;                                            ///< as in Part
    std::byte* sums;                                                  ///< as in Part, from this block's columns on
    std::int64_t sums_row;
    std::int64_t next;  ///< as in Part, if its right operand is packed after this block
    bool aside;         ///< results are kept for the epilogue only, a group of rows at a time
  };
  /// Rows of the left operand from `first` on.
  struct Left {
    const std::byte* data = nullptr;
    std::int64_t first = 0, row = 0, depth = 0;
    bool packed = false;
  };
  void choose_tile();
  bool should_transpose_left() const;
  const MicroKernels& choose_kernels() const;
  PackPairsJob pairs_job(const std::byte* from, std::byte* to, const Block& block, std::int64_t second) const;
  std::int64_t right_panel_cols(std::int64_t cols) const;
  std::int64_t group_rows(const Block& block) const;
  void run_part(const Part& part) const;
  void pack_right(const Block& block, std::byte* to) const;
  Left pack_left(const Block& block, std::int64_t row, std::int64_t rows) const;
  void prepare_segments(const Block& block, const Left& left) const;
  void run_rows(const Block& block) const;
  MatrixLines next_right(const Block& block) const;
  MatrixLines next_left(const Block& block, std::int64_t row, std::int64_t rows) const;
  NextLines lines_after(const Block& block, std::int64_t row, std::int64_t end, std::int64_t rows_now) const;
  void run_group(const Block& block, const Left& left, std::int64_t row0, std::int64_t row1, NextLines& next) const;
  void run_class(const Block& block, const RowClass& rows, const ClassSegments& segments, TileCall call, NextLines& next) const;
  void finish(const Block& block, std::int64_t row0, std::int64_t row1, const std::byte* finished, std::int64_t finished_row) const;
  void call_epilogue(const Block& block, std::int64_t row0, std::int64_t row1, std::byte* aside) const;
  std::byte* aside(const Block& block, std::int64_t row0, std::int64_t row1) const;
  template <class T>
  T* element(T* base, std::int64_t offset) const {
    return base + offset * elements_.stored_bytes;
  }

  const ContractionPhase& original_;
  std::optional<PairedPhase> pairs_;  ///< if terms are pairs of bfloat16
  const ContractionRun& run_;
  bool swapped_;
  ContractionElements elements_;
  std::optional<LeftStage> stage_;
  const ContractionPhase& phase_;  ///< the original one, that over pairs, or that over the staged left operand
  const MicroKernels& kernels_;
  RowTable table_;
  const std::byte *lhs_, *rhs_;
  std::byte* out_;
  std::int64_t lhs_depth_step_ = 0;  ///< along the innermost depth loop
  std::optional<std::int64_t> rhs_depth_;
  bool left_direct_ = false, right_direct_ = false, out_direct_ = false;
  bool left_transposed_ = false;  ///< packed left rows are row-major, though depth is not contiguous in memory
  bool depth_inside_ = false;     ///< packed left rows are row-major: depth runs are copied
  std::int64_t tile_vectors_ = 1;
};

}  // namespace kiln::ops
