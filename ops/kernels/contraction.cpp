// Loops of a contraction over cache blocks: columns (jc), depth (pc), pack the right operand, rows, columns of a register tile.
#include "ops/kernels/contraction.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/require.h"
#include "base/thread_pool.h"
#include "ops/kernels/contraction_plan.h"
#include "ops/kernels/microkernel.h"
#include "ops/kernels/pack.h"

namespace kiln::ops {
namespace {

constexpr std::int64_t kDepthBlock = 512;        ///< depth of a packed block of the right operand
constexpr std::int64_t kRightBytes = 640 << 10;  ///< size of such a block: part of the second-level cache
constexpr std::int64_t kUnpackedRows = 192;      ///< fewer rows do not pay for packing the right operand
constexpr std::int64_t kLeftBytes = 96 << 10;    ///< left rows packed together; the widest panel may need more
constexpr std::int64_t kLeftRows = 512;          ///< most rows packed together
constexpr std::int64_t kGroupElements = 4096;    ///< results kept in the first-level cache for the epilogue
constexpr std::int64_t kTaskFlops = 1 << 20;     ///< less work than this is not worth a thread

/// What a dtype computes with and how it is stored.
struct Elements {
  ComputeType compute = ComputeType::f32;
  Widening widening = Widening::raw32;
  std::int64_t stored_bytes = 4, compute_bytes = 4;
  bool same() const { return widening == Widening::raw32 || widening == Widening::raw64; }
};

Elements elements_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return {ComputeType::f32, Widening::raw32, 4, 4};
    case DType::float64:
      return {ComputeType::f64, Widening::raw64, 8, 8};
    case DType::float16:
      return {ComputeType::f32, Widening::float16, 2, 4};
    case DType::bfloat16:
      return {ComputeType::f32, Widening::bfloat16, 2, 4};
    case DType::int32:
      return {ComputeType::u32, Widening::raw32, 4, 4};
    case DType::int64:
      return {ComputeType::u64, Widening::raw64, 8, 8};
    case DType::int8:
      return {ComputeType::u32, Widening::int8, 1, 4};
    case DType::uint8:
      return {ComputeType::u32, Widening::uint8, 1, 4};
    case DType::boolean:
      break;
  }
  KILN_ASSERT(false, "no contraction of {}", name(dtype));
  std::abort();
}

/// Growing aligned memory, one of each kind per thread.
class Scratch {
 public:
  std::byte* get(std::int64_t bytes) {
    if (bytes > size_) {
      size_ = bytes + bytes / 2;
      memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, static_cast<std::size_t>((size_ + 63) / 64 * 64))));
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::int64_t size_ = 0;
};

struct ThreadScratch {
  Scratch left, right, out;
  std::vector<Run> rows, panel_rows, depth, right_depth, right_cols;
  std::vector<std::int64_t> row_offsets, col_offsets;
};
thread_local ThreadScratch scratch;

/// Part of a list of runs: indices [begin, begin + count), renumbered from 0.
void cut_runs(const std::vector<Run>& runs, std::int64_t begin, std::int64_t count, std::vector<Run>& part) {
  part.clear();
  auto at = std::upper_bound(runs.begin(), runs.end(), begin, [](std::int64_t i, const Run& run) { return i < run.begin; }) - 1;
  for (; at != runs.end() && at->begin < begin + count; ++at) {
    Run run = *at;
    std::int64_t skipped = std::max<std::int64_t>(begin - run.begin, 0);
    run.offset += skipped * run.stride;
    if (run.window >= 0) run.position[static_cast<std::size_t>(run.window)] += static_cast<std::int32_t>(skipped) * run.step;
    run.length = std::min(run.length - skipped, begin + count - (run.begin + skipped));
    run.begin += skipped - begin;
    part.push_back(run);
  }
}

/// One phase with what is known about its operands, ready to compute any rectangle of it.
class PhaseRunner {
 public:
  PhaseRunner(const ContractionPhase& phase, const ContractionRun& run, bool swapped);
  /// Computes rows [row0, row1) x columns [col0, col1) of one batch element.
  void run(std::int64_t batch, std::int64_t row0, std::int64_t row1, std::int64_t col0, std::int64_t col1) const;
  std::int64_t tile_rows() const { return kernels_.rows[tile_vectors_]; }
  std::int64_t tile_cols() const { return tile_vectors_ * kernels_.lanes; }

 private:
  struct Block {
    std::int64_t batch, row0, row1, col, cols, width, depth, depths;  ///< width: columns of a full tile
    bool first, last;
  };
  struct Left {
    const std::byte* data = nullptr;
    std::int64_t row = 0, depth = 0;
  };
  void choose_tile();
  std::int64_t right_panel_cols(std::int64_t cols) const;
  void pack_right(const Block& block, std::byte* to) const;
  void run_rows(const Block& block, const std::byte* right) const;
  void run_panel(const Block& block, std::int64_t rows, const Left& left, const std::byte* right, std::byte* out,
                 std::int64_t out_row) const;
  Left pack_left(const Block& block, std::int64_t row, std::int64_t rows) const;
  Left direct_left(const Block& block, std::int64_t row) const;
  void finish(const Block& block, std::int64_t row0, std::int64_t row1, const std::byte* finished, std::int64_t finished_row) const;
  template <class T>
  T* element(T* base, std::int64_t offset) const {
    return base + offset * elements_.stored_bytes;
  }

  const ContractionPhase& phase_;
  const ContractionRun& run_;
  bool swapped_;
  Elements elements_;
  const MicroKernels& kernels_;
  const std::byte *lhs_, *rhs_;
  std::byte* out_;
  std::optional<std::int64_t> lhs_row_, lhs_depth_, rhs_depth_, rhs_col_, out_row_, out_col_;
  bool left_direct_ = false, right_direct_ = false, out_direct_ = false;
  bool depth_inside_ = false;  ///< packed left panels are row-major: depth runs are copied
  std::int64_t tile_vectors_ = 1;
};

PhaseRunner::PhaseRunner(const ContractionPhase& phase, const ContractionRun& run, bool swapped)
    : phase_(phase),
      run_(run),
      swapped_(swapped),
      elements_(elements_of(run.problem->dtype)),
      kernels_(KILN_FOR_TARGET(micro_kernels)(elements_.compute)),
      lhs_(static_cast<const std::byte*>(swapped ? run.rhs : run.lhs)),
      rhs_(static_cast<const std::byte*>(swapped ? run.lhs : run.rhs)),
      out_(static_cast<std::byte*>(run.out)) {
  lhs_ = element(lhs_, phase.lhs_base);
  rhs_ = element(rhs_, phase.rhs_base);
  out_ = element(out_, phase.out_base);
  lhs_row_ = linear_stride(phase.row, Operand::lhs, 0);
  lhs_depth_ = linear_stride(phase.depth, Operand::lhs, 1);
  rhs_depth_ = linear_stride(phase.depth, Operand::rhs, 0);
  rhs_col_ = linear_stride(phase.col, Operand::rhs, 1);
  out_row_ = linear_stride(phase.row, Operand::out, 0);
  out_col_ = linear_stride(phase.col, Operand::out, 1);
  bool same = elements_.same();
  left_direct_ = same && phase.num_windows == 0 && lhs_row_ && lhs_depth_;
  right_direct_ = same && rhs_depth_ && rhs_col_ == 1;
  out_direct_ = same && out_row_ && out_col_ == 1;
  auto inner_run = [](const LoopGroup& group) {
    if (group.count == 0) return std::int64_t{1};
    const ContractionLoop& loop = group.loops[static_cast<std::size_t>(group.count - 1)];
    return loop.lhs_stride == 1 ? loop.extent : std::int64_t{0};
  };
  std::int64_t depth_run = inner_run(phase.depth), row_run = inner_run(phase.row);
  depth_inside_ = depth_run >= std::min<std::int64_t>(row_run, 8);
  choose_tile();
}

void PhaseRunner::choose_tile() {
  std::int64_t vectors = (phase_.col.size + kernels_.lanes - 1) / kernels_.lanes;
  tile_vectors_ = std::min<std::int64_t>(kernels_.vectors, vectors);
  // The widest tile unless it leaves a remainder that the next narrower one does not; all widths keep enough accumulators busy.
  if (vectors > kernels_.vectors && vectors % kernels_.vectors != 0) {
    std::int64_t narrower = kernels_.vectors - 1;
    if (kernels_.vectors > 1 && (vectors % narrower == 0 || kernels_.rows[narrower] > kernels_.rows[tile_vectors_]))
      tile_vectors_ = narrower;
  }
}

/// Columns of the widest tile in a block: its vectors are shared out evenly among as few tiles as possible.
std::int64_t PhaseRunner::right_panel_cols(std::int64_t cols) const {
  std::int64_t vectors = (cols + kernels_.lanes - 1) / kernels_.lanes;
  std::int64_t tiles = (vectors + tile_vectors_ - 1) / tile_vectors_;
  return (vectors + tiles - 1) / tiles * kernels_.lanes;
}

void PhaseRunner::run(std::int64_t batch, std::int64_t row0, std::int64_t row1, std::int64_t col0, std::int64_t col1) const {
  std::int64_t depth = phase_.depth.size;
  bool packed = !right_direct_ || row1 - row0 > kUnpackedRows;
  // Without memory for partial sums (a result of other type or layout) the depth stays whole.
  std::int64_t depth_blocks = out_direct_ ? (depth + kDepthBlock - 1) / kDepthBlock : 1;
  depth_blocks = std::max<std::int64_t>(depth_blocks, 1);
  std::int64_t depth_block = std::max<std::int64_t>(1, (depth + depth_blocks - 1) / depth_blocks);
  std::int64_t width = right_panel_cols(col1 - col0);
  std::int64_t col_block =
      std::max(width, kRightBytes / (elements_.compute_bytes * std::max<std::int64_t>(depth_block, 1)) / width * width);
  for (std::int64_t col = col0; col < col1; col += col_block) {
    for (std::int64_t d = 0; d == 0 || d < depth; d += depth_block) {
      std::int64_t cols = std::min(col_block, col1 - col);
      Block block{
          batch, row0, row1, col, cols, right_panel_cols(cols), d, std::min(depth_block, depth - d), d == 0, d + depth_block >= depth};
      std::byte* right = nullptr;
      if (packed) {
        std::int64_t padded = (cols + block.width - 1) / block.width * block.width;
        right = scratch.right.get(padded * std::max<std::int64_t>(block.depths, 1) * elements_.compute_bytes);
        pack_right(block, right);
      }
      run_rows(block, right);
    }
  }
}

std::int64_t batch_offset(const ContractionPhase& phase, Operand operand, std::int64_t batch) {
  std::int64_t offset = 0;
  if (phase.batch.count > 0) fill_offsets(phase.batch, operand, batch, 1, &offset);
  return offset;
}

/// Panels of right_panel_cols columns, [depth][cols] each, zeros beyond the last column.
void PhaseRunner::pack_right(const Block& block, std::byte* to) const {
  std::int64_t width = block.width;
  fill_runs(phase_.depth, Operand::rhs, block.depth, block.depths, scratch.right_depth);
  const std::byte* from = element(rhs_, batch_offset(phase_, Operand::rhs, block.batch));
  for (std::int64_t col = 0; col < block.cols; col += width) {
    std::int64_t cols = std::min(width, block.cols - col);
    fill_runs(phase_.col, Operand::rhs, block.col + col, cols, scratch.right_cols);
    PackJob job{.widening = elements_.widening, .from = from, .to = to};
    bool along_cols = scratch.right_cols[0].stride == 1 || block.depths <= 1 || scratch.right_depth[0].stride != 1;
    if (along_cols) {
      job.outer = scratch.right_depth;
      job.inner = scratch.right_cols;
      job.to_outer = width;
      job.to_inner = 1;
    } else {
      job.outer = scratch.right_cols;
      job.inner = scratch.right_depth;
      job.to_outer = 1;
      job.to_inner = width;
    }
    KILN_FOR_TARGET(pack)(job);
    to += width * block.depths * elements_.compute_bytes;
  }
}

void PhaseRunner::run_rows(const Block& block, const std::byte* right) const {
  std::int64_t rows = block.row1 - block.row0;
  std::int64_t tile = kernels_.rows[block.width / kernels_.lanes];
  std::int64_t tiles = (rows + tile - 1) / tile, small = rows / tiles, taller = rows % tiles;
  std::int64_t group_rows = std::max(tile, kGroupElements / block.cols);
  std::byte* out = element(out_, batch_offset(phase_, Operand::out, block.batch));
  if (!left_direct_) {
    fill_lhs_runs(phase_, true, block.row0, rows, scratch.rows);
    fill_lhs_runs(phase_, false, block.depth, block.depths, scratch.depth);
  }
  auto tile_height = [&](std::int64_t i) { return small + (i < taller ? 1 : 0); };
  std::int64_t strip_limit =
      std::clamp<std::int64_t>(kLeftBytes / (std::max<std::int64_t>(block.depths, 1) * elements_.compute_bytes), tile, kLeftRows);
  Left left;
  std::int64_t row = block.row0, strip = row, strip_end = row;
  for (std::int64_t i = 0; i < tiles;) {
    std::int64_t group = row;
    std::byte* to = out;
    std::int64_t to_row = out_direct_ ? *out_row_ : block.cols;
    if (out_direct_) {
      to = element(out, group * to_row + block.col);
    } else {
      to = scratch.out.get((group_rows + tile) * block.cols * elements_.compute_bytes);
    }
    std::byte* first = to;
    for (; i < tiles && row - group < group_rows; ++i) {
      std::int64_t count = tile_height(i);
      if (left_direct_) {
        left = direct_left(block, row);
      } else if (row == strip_end) {
        strip = row;
        for (std::int64_t j = i; j < tiles && strip_end + tile_height(j) - strip <= strip_limit; ++j) strip_end += tile_height(j);
        left = pack_left(block, strip, strip_end - strip);
      }
      Left panel = left;
      panel.data += (left_direct_ ? 0 : (row - strip) * left.row) * elements_.compute_bytes;
      run_panel(block, count, panel, right, to, to_row);
      to += count * to_row * elements_.compute_bytes;
      row += count;
    }
    if (block.last) finish(block, group, row, first, to_row);
  }
}

PhaseRunner::Left PhaseRunner::direct_left(const Block& block, std::int64_t row) const {
  const std::byte* lhs = element(lhs_, batch_offset(phase_, Operand::lhs, block.batch));
  return {element(lhs, row * *lhs_row_ + block.depth * *lhs_depth_), *lhs_row_, *lhs_depth_};
}

/// Rows [row, row + rows) of the block: [row][depth] if depth runs are copied, else [depth][row].
PhaseRunner::Left PhaseRunner::pack_left(const Block& block, std::int64_t row, std::int64_t rows) const {
  const std::byte* lhs = element(lhs_, batch_offset(phase_, Operand::lhs, block.batch));
  std::byte* panel = scratch.left.get(rows * std::max<std::int64_t>(block.depths, 1) * elements_.compute_bytes);
  cut_runs(scratch.rows, row - block.row0, rows, scratch.panel_rows);
  PackJob job{.widening = elements_.widening, .from = lhs, .to = panel};
  job.windows = {phase_.windows.data(), static_cast<std::size_t>(phase_.num_windows)};
  if (depth_inside_) {
    job.outer = scratch.panel_rows;
    job.inner = scratch.depth;
    job.to_outer = block.depths;
  } else {
    job.outer = scratch.depth;
    job.inner = scratch.panel_rows;
    job.to_outer = rows;
  }
  job.to_inner = 1;
  KILN_FOR_TARGET(pack)(job);
  if (depth_inside_) return {panel, block.depths, 1};
  return {panel, 1, rows};
}

/// One panel of rows against all columns of the block.
void PhaseRunner::run_panel(const Block& block, std::int64_t rows, const Left& left, const std::byte* right, std::byte* out,
                            std::int64_t out_row) const {
  std::int64_t width = block.width;
  std::int64_t right_depth = width;
  std::int64_t right_step = width * block.depths * elements_.compute_bytes;
  if (right == nullptr) {
    right = element(rhs_, batch_offset(phase_, Operand::rhs, block.batch) + block.depth * *rhs_depth_ + block.col);
    right_depth = *rhs_depth_;
    right_step = width * elements_.compute_bytes;
  }
  for (std::int64_t col = 0; col < block.cols; col += width) {
    std::int64_t cols = std::min(width, block.cols - col);
    std::int64_t vectors = (cols + kernels_.lanes - 1) / kernels_.lanes;
    kernels_.at(rows, vectors)(block.depths, left.data, left.row, left.depth, right, right_depth, out + col * elements_.compute_bytes,
                               out_row, cols, block.first ? 0 : 1);
    right += right_step;
  }
}

/// Rows [row0, row1) of the block are complete: store them if they are elsewhere, and run the epilogue on them.
void PhaseRunner::finish(const Block& block, std::int64_t row0, std::int64_t row1, const std::byte* finished,
                         std::int64_t finished_row) const {
  if (!out_direct_) {
    scratch.row_offsets.resize(static_cast<std::size_t>(row1 - row0));
    scratch.col_offsets.resize(static_cast<std::size_t>(block.cols));
    fill_offsets(phase_.row, Operand::out, row0, row1 - row0, scratch.row_offsets.data());
    fill_offsets(phase_.col, Operand::out, block.col, block.cols, scratch.col_offsets.data());
    std::byte* out = element(out_, batch_offset(phase_, Operand::out, block.batch));
    KILN_FOR_TARGET(unpack)({elements_.widening, finished, out, finished_row, scratch.row_offsets, scratch.col_offsets});
  }
  if (run_.epilogue == nullptr) return;
  std::int64_t col0 = block.col, col1 = block.col + block.cols;
  if (swapped_) {
    std::swap(row0, col0);
    std::swap(row1, col1);
  }
  std::int64_t first = block.batch * (swapped_ ? phase_.col.size : phase_.row.size);
  run_.epilogue(run_.epilogue_args, run_.epilogue_dims, run_.context, first + row0, first + row1, col0, col1);
}

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
  std::int64_t grain = std::max<std::int64_t>(1, 4 * kGroupElements / cols);
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; row += grain) {
      run.epilogue(run.epilogue_args, run.epilogue_dims, run.context, row, std::min(end, row + grain), 0, cols);
    }
  });
}

}  // namespace

void run_contraction(const ContractionRun& run) {
  std::vector<ContractionPhase> phases = split_phases(*run.problem);
  ContractionRun part = run;
  if (phases.size() > 1) part.epilogue = nullptr;
  for (const ContractionPhase& phase : phases) {
    if (should_exchange(phase)) {
      run_phase(exchange(phase), part, true);
    } else {
      run_phase(phase, part, false);
    }
  }
  if (run.epilogue != nullptr && phases.size() > 1) run_epilogue_at_end(run);
}

}  // namespace kiln::ops
