// The blocked loops of a phase.
#include "ops/kernels/contraction_phase.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/require.h"

namespace kiln::ops {
namespace {

constexpr std::int64_t kDepthBlock = 512;        ///< depth of a packed block of the right operand
constexpr std::int64_t kSlidingDepth = 1280;     ///< the same where neighbouring rows share most of their left elements
constexpr std::int64_t kRightBytes = 640 << 10;  ///< size of such a block: part of the second-level cache
constexpr std::int64_t kUnpackedRows = 192;      ///< fewer rows do not pay for packing the right operand
constexpr std::int64_t kLeftBytes = 96 << 10;    ///< left rows packed together; the widest panel may need more
constexpr std::int64_t kLeftRows = 512;          ///< most rows packed together
constexpr std::int64_t kTransposeCols = 256;     ///< fewer columns do not pay for transposing left rows
constexpr std::int64_t kTransposeDepth = 64;     ///< nor does a depth that the first-level cache holds anyway
constexpr std::int64_t kPageBytes = 4096;
constexpr std::int64_t kLineBytes = 64;
constexpr std::int64_t kFetchedBytes = 512 << 10;    ///< a smaller left operand may well be in cache
constexpr std::int64_t kFetchedDepth = 64;           ///< shorter rows are not fetched ahead
constexpr std::int64_t kNextBytes = 128 << 10;       ///< a larger right operand is fetched when it gets packed
constexpr std::int64_t kStageElements = 160 << 10;   ///< left elements staged together
constexpr std::int64_t kWholeDepth = 2048;           ///< deeper sums of narrow results are kept aside between blocks
constexpr std::int64_t kGroupElements = 64 << 10;    ///< results kept in the second-level cache for the epilogue
constexpr std::int64_t kSortedElements = 128 << 10;  ///< results of a group whose rows are sorted by their taps

ContractionElements elements_of(DType dtype) {
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

}  // namespace

/// The depth that a class of rows uses.
struct ClassSegments {
  std::vector<TileSegment> whole;
  std::vector<TileSegment> pieces;  ///< the same in pieces, with each of which a tile fetches a line of later rows; may be empty

  /// Pieces of `most` terms; none if that is 0, or if segments are much shorter and each term has a line of its own.
  void cut(std::int64_t left_depth, std::int64_t most) {
    pieces.clear();
    if (most == 0) return;
    std::int64_t terms = 0;
    for (const TileSegment& segment : whole) terms += segment.length;
    if (left_depth != 1 && terms < most / 2 * static_cast<std::int64_t>(whole.size())) return;
    for (TileSegment segment : whole) {
      for (; segment.length > most; segment.length -= most) {
        pieces.push_back({segment.left, segment.right, most});
        segment.left += most * left_depth;
        segment.right += most;
      }
      pieces.push_back(segment);
    }
  }
};

/// Cache lines of a matrix: `rows`, `pitch` bytes apart, of `lines` neighbouring lines each.
struct MatrixLines {
  const std::byte* data = nullptr;
  std::int64_t rows = 0, pitch = 0, lines = 0;
};

/// Fetches a matrix, a few lines with each segment of each tile, so that it is in cache when it gets packed.
class NextLines {
 public:
  NextLines() = default;
  /// During `calls` tiles of `segments` segments.
  NextLines(const MatrixLines& matrix, std::int64_t calls, std::int64_t segments) : matrix_(matrix) {
    if (matrix.data == nullptr || segments < 1) return;
    segment_rows_ = (matrix.rows + segments - 1) / segments;
    line_calls_ = calls / matrix.lines;
  }
  bool any() const { return line_calls_ > 0; }
  /// The part of the next tile: some rows of one column of lines.
  void share(TileCall& call) {
    call.num_next = 0;
    if (!any()) return;
    std::int64_t line = call_ / line_calls_, part = call_ % line_calls_;
    ++call_;
    if (line >= matrix_.lines) return;
    std::int64_t first = segment_rows_ * part / line_calls_;
    call.next = matrix_.data + line * kLineBytes + first * matrix_.pitch;
    call.next_line = matrix_.pitch;
    call.next_segment = segment_rows_ * matrix_.pitch;
    call.num_next = segment_rows_ * (part + 1) / line_calls_ - first;
  }

 private:
  MatrixLines matrix_;
  std::int64_t segment_rows_ = 0, line_calls_ = 0, call_ = 0;
};

namespace {

struct ThreadScratch {
  Scratch left, right, out, stage, sums;
  std::vector<Run> rows, panel_rows, depth, right_depth, right_cols;
  std::vector<std::int64_t> row_offsets, col_offsets;
  std::vector<RowClass> classes;
  std::vector<ClassSegments> segments;  ///< of each class, in the current block
  std::vector<void*> args;              ///< of an epilogue whose product is kept aside
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
    if (run.window >= 0) run.position[static_cast<std::size_t>(run.window)] += skipped * run.step;
    run.length = std::min(run.length - skipped, begin + count - (run.begin + skipped));
    run.begin += skipped - begin;
    part.push_back(run);
  }
}

std::int64_t batch_offset(const ContractionPhase& phase, Operand operand, std::int64_t batch) {
  std::int64_t offset = 0;
  if (phase.batch.count > 0) fill_offsets(phase.batch, operand, batch, 1, &offset);
  return offset;
}

/// How many of `rest` rows to take at once: at most `limit` in whole tiles, but no small remainder.
std::int64_t share(std::int64_t rest, std::int64_t limit, std::int64_t tile) {
  if (rest <= std::max(tile, limit)) return rest;
  limit = std::max(tile, limit / tile * tile);
  if (rest >= 2 * limit) return limit;
  return ((rest + 1) / 2 + tile - 1) / tile * tile;
}

}  // namespace

namespace {

/// The phase over pairs of bfloat16, if the problem allows them, the target has an instruction for them, and padding needs no zeros.
std::optional<PairedPhase> bfloat16_pairs(const ContractionPhase& phase, const Contraction& problem, const void* left) {
  if (!problem.relaxed || problem.dtype != DType::bfloat16 || bfloat16_pair_kernels() == nullptr) return std::nullopt;
  std::optional<PairedPhase> pairs = pair_depth(phase, reinterpret_cast<std::uintptr_t>(left) % sizeof(std::uint32_t) == 0);
  if (pairs && phase.num_windows > 0 && !(pairs->left_in_place && RowTable(pairs->phase, true).skips_padding())) return std::nullopt;
  return pairs;
}

}  // namespace

PhaseRunner::PhaseRunner(const ContractionPhase& phase, const ContractionRun& run, bool swapped)
    : original_(phase),
      pairs_(bfloat16_pairs(phase, *run.problem, swapped ? run.rhs : run.lhs)),
      run_(run),
      swapped_(swapped),
      elements_(elements_of(run.problem->dtype)),
      stage_(pairs_ || phase.num_windows == 0 || RowTable(phase, elements_.same()).skips_padding()
                 ? std::nullopt
                 : LeftStage::make(phase, kStageElements)),
      phase_(pairs_   ? pairs_->phase
             : stage_ ? stage_->phase()
                      : original_),
      kernels_(choose_kernels()),
      table_(phase_, elements_.same() || (pairs_ && pairs_->left_in_place)),
      lhs_(static_cast<const std::byte*>(swapped ? run.rhs : run.lhs)),
      rhs_(static_cast<const std::byte*>(swapped ? run.lhs : run.rhs)),
      out_(static_cast<std::byte*>(run.out)) {
  lhs_ = element(lhs_, phase.lhs_base);
  rhs_ = element(rhs_, phase.rhs_base);
  out_ = element(out_, phase.out_base);
  if (phase_.depth.count > 0) lhs_depth_step_ = phase_.depth.loops[static_cast<std::size_t>(phase.depth.count - 1)].lhs_stride;
  rhs_depth_ = linear_stride(phase.depth, Operand::rhs, 0);
  bool same = elements_.same();
  left_transposed_ = should_transpose_left();
  left_direct_ = !left_transposed_ && (stage_.has_value() || (same && (phase.num_windows == 0 || table_.skips_padding())));
  if (pairs_) left_direct_ = pairs_->left_in_place;
  right_direct_ = same && rhs_depth_ && linear_stride(phase.col, Operand::rhs, 1) == 1;
  out_direct_ = same && linear_stride(phase.col, Operand::out, 1) == 1;
  auto inner_run = [](const LoopGroup& group) {
    if (group.count == 0) return std::int64_t{1};
    const ContractionLoop& loop = group.loops[static_cast<std::size_t>(group.count - 1)];
    return loop.lhs_stride == 1 ? loop.extent : std::int64_t{0};
  };
  std::int64_t depth_run = inner_run(phase.depth), row_run = inner_run(phase.row);
  depth_inside_ = depth_run >= std::min<std::int64_t>(row_run, 8);
  choose_tile();
}

const MicroKernels& PhaseRunner::choose_kernels() const {
  if (pairs_) return *bfloat16_pair_kernels();
  return original_.diagonal ? KILN_FOR_TARGET(diagonal_kernels)(elements_.compute) : KILN_FOR_TARGET(micro_kernels)(elements_.compute);
}

/// Columns of a left operand that are contiguous are read in place, unless neighbours along the depth are whole pages apart: then they
/// compete for the same few lines of the caches.
bool PhaseRunner::should_transpose_left() const {
  if (!elements_.same() || original_.num_windows > 0 || original_.diagonal) return false;
  std::optional<std::int64_t> depth_stride = linear_stride(phase_.depth, Operand::lhs, 1);
  if (!depth_stride || linear_stride(phase_.row, Operand::lhs, 0) != 1) return false;
  bool same_lines = *depth_stride * elements_.stored_bytes % kPageBytes == 0;
  return same_lines && phase_.col.size >= kTransposeCols && phase_.depth.size >= kTransposeDepth && phase_.row.size >= kernels_.lanes;
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
  if (cols <= tile_vectors_ * kernels_.lanes) return (cols + kernels_.lanes - 1) / kernels_.lanes * kernels_.lanes;
  std::int64_t vectors = (cols + kernels_.lanes - 1) / kernels_.lanes;
  std::int64_t tiles = (vectors + tile_vectors_ - 1) / tile_vectors_;
  return (vectors + tiles - 1) / tiles * kernels_.lanes;
}

void PhaseRunner::run(std::int64_t batch, std::int64_t row0, std::int64_t row1, std::int64_t col0, std::int64_t col1,
                      std::int64_t next) const {
  std::int64_t depth = phase_.depth.size;
  const std::byte* left = element(lhs_, batch_offset(original_, Operand::lhs, batch));
  std::byte* sums = nullptr;
  bool cut = stage_ && stage_->depths() < depth;
  if (!out_direct_ && (cut || depth > kWholeDepth)) sums = scratch.sums.get((row1 - row0) * (col1 - col0) * elements_.compute_bytes);
  if (!stage_) return run_part({batch, row0, row1, col0, col1, 0, depth, left, sums, next});
  std::byte* copy = scratch.stage.get(stage_->elements() * elements_.compute_bytes);
  for (std::int64_t row = row0 / stage_->rows() * stage_->rows(); row < row1; row += stage_->rows()) {
    std::int64_t first = std::max(row, row0), end = std::min(row + stage_->rows(), row1);
    std::byte* part_sums = sums == nullptr ? nullptr : sums + (first - row0) * (col1 - col0) * elements_.compute_bytes;
    for (std::int64_t d = 0; d < depth; d += stage_->depths()) {
      std::int64_t offset = stage_->fill(elements_.widening, left, elements_.stored_bytes, copy, row, d);
      run_part(
          {batch, first, end, col0, col1, d, std::min(d + stage_->depths(), depth), copy + offset * elements_.compute_bytes, part_sums});
    }
  }
}

void PhaseRunner::run_part(const Part& part) const {
  std::int64_t depth = part.depth1 - part.depth0;
  bool packed = !right_direct_ || part.row1 - part.row0 > kUnpackedRows;
  // Without memory for partial sums the depth stays whole.
  std::int64_t limit = table_.num_classes() > 1 && lhs_depth_step_ == 1 ? kSlidingDepth : kDepthBlock;
  std::int64_t depth_blocks = out_direct_ || part.sums != nullptr ? (depth + limit - 1) / limit : 1;
  depth_blocks = std::max<std::int64_t>(depth_blocks, 1);
  std::int64_t depth_block = std::max<std::int64_t>(1, (depth + depth_blocks - 1) / depth_blocks);
  std::int64_t width = right_panel_cols(part.col1 - part.col0);
  std::int64_t panels = (part.col1 - part.col0 + width - 1) / width;
  std::int64_t most_panels = std::max<std::int64_t>(1, kRightBytes / (elements_.compute_bytes * depth_block * width));
  std::int64_t blocks = (panels + most_panels - 1) / most_panels;
  std::int64_t col_block = (panels + blocks - 1) / blocks * width;
  for (std::int64_t col = part.col0; col < part.col1; col += col_block) {
    for (std::int64_t d = part.depth0; d == part.depth0 || d < part.depth1; d += depth_block) {
      std::int64_t cols = std::min(col_block, part.col1 - col), depths = std::min(depth_block, part.depth1 - d);
      Block block{.batch = part.batch,
                  .row0 = part.row0,
                  .row1 = part.row1,
                  .col = col,
                  .cols = cols,
                  .width = right_panel_cols(cols),
                  .depth = d,
                  .depths = depths,
                  .first = d == 0,
                  .last = d + depths >= phase_.depth.size,
                  .right = nullptr,
                  .left = part.left,
                  .sums = part.sums == nullptr ? nullptr : part.sums + (col - part.col0) * elements_.compute_bytes,
                  .sums_row = part.col1 - part.col0,
                  .next = packed && cols == part.col1 - part.col0 && depths == depth ? part.next : -1,
                  .aside = run_.epilogue != nullptr && run_.product >= 0 && !swapped_ && out_direct_ && original_.out_base == 0 &&
                           depths == phase_.depth.size};
      if (packed) {
        std::int64_t padded = (cols + block.width - 1) / block.width * block.width;
        std::byte* right = scratch.right.get(padded * std::max<std::int64_t>(block.depths, 1) * elements_.compute_bytes);
        pack_right(block, right);
        block.right = right;
      }
      run_rows(block);
    }
  }
}

/// Panels of right_panel_cols columns, [depth][cols] each, zeros beyond the last column.
void PhaseRunner::pack_right(const Block& block, std::byte* to) const {
  std::int64_t width = block.width;
  const std::byte* from = element(rhs_, batch_offset(phase_, Operand::rhs, block.batch));
  if (right_direct_) {
    from = element(from, block.depth * *rhs_depth_ + block.col);
    KILN_FOR_TARGET(pack_panels)({from, to, *rhs_depth_, block.depths, block.cols, width, elements_.compute_bytes == 8});
    return;
  }
  fill_runs(phase_.depth, Operand::rhs, block.depth, block.depths, scratch.right_depth);
  std::int64_t depth_stride = pairs_ ? pairs_->rhs_second : scratch.right_depth.empty() ? 0 : scratch.right_depth[0].stride;
  for (std::int64_t col = 0; col < block.cols; col += width) {
    std::int64_t cols = std::min(width, block.cols - col);
    fill_runs(phase_.col, Operand::rhs, block.col + col, cols, scratch.right_cols);
    bool along_cols = scratch.right_cols[0].stride == 1 || block.depths <= 1 || depth_stride != 1;
    auto fill = [&](auto& job) {
      job.outer = along_cols ? scratch.right_depth : scratch.right_cols;
      job.inner = along_cols ? scratch.right_cols : scratch.right_depth;
      job.to_outer = along_cols ? width : 1;
      job.to_inner = along_cols ? 1 : width;
    };
    if (pairs_) {
      PackPairsJob job = pairs_job(from, to, block, pairs_->rhs_second);
      job.depth_outside = along_cols;
      fill(job);
      KILN_FOR_TARGET(pack_pairs)(job);
    } else {
      PackJob job{.widening = elements_.widening, .from = from, .to = to};
      fill(job);
      KILN_FOR_TARGET(pack)(job);
    }
    to += width * block.depths * elements_.compute_bytes;
  }
}

PackPairsJob PhaseRunner::pairs_job(const std::byte* from, std::byte* to, const Block& block, std::int64_t second) const {
  bool alone = pairs_->alone && block.depth + block.depths == phase_.depth.size;
  return {.from = from, .to = to, .second = second, .alone = alone ? block.depths - 1 : -1};
}

/// Rows [row, row + rows) of the block: [row][depth] if depth runs are copied, else [depth][row].
PhaseRunner::Left PhaseRunner::pack_left(const Block& block, std::int64_t row, std::int64_t rows) const {
  const std::byte* lhs = element(lhs_, batch_offset(phase_, Operand::lhs, block.batch));
  std::byte* panel = scratch.left.get(rows * std::max<std::int64_t>(block.depths, 1) * elements_.compute_bytes);
  cut_runs(scratch.rows, row - block.row0, rows, scratch.panel_rows);
  auto fill = [&](auto& job) {
    job.outer = depth_inside_ && !left_transposed_ ? scratch.panel_rows : scratch.depth;
    job.inner = depth_inside_ && !left_transposed_ ? scratch.depth : scratch.panel_rows;
    job.to_outer = left_transposed_ ? 1 : depth_inside_ ? block.depths : rows;
    job.to_inner = left_transposed_ ? block.depths : 1;
  };
  if (pairs_) {
    PackPairsJob job = pairs_job(lhs, panel, block, pairs_->lhs_second);
    job.depth_outside = !depth_inside_;
    fill(job);
    KILN_FOR_TARGET(pack_pairs)(job);
  } else {
    PackJob job{.widening = elements_.widening, .from = lhs, .to = panel};
    job.windows = {phase_.windows.data(), static_cast<std::size_t>(phase_.num_windows)};
    fill(job);
    KILN_FOR_TARGET(pack)(job);
  }
  if (depth_inside_ || left_transposed_) return {panel, row, block.depths, 1, true};
  return {panel, row, 1, rows, true};
}

/// Rows that are finished together: their results stay in cache for the epilogue. Sorted rows take whole lines or images where they can,
/// so that classes have more rows than a tile.
std::int64_t PhaseRunner::group_rows(const Block& block) const {
  if (table_.num_classes() == 1) return (run_.epilogue == nullptr && out_direct_ ? kSortedElements : kGroupElements) / block.cols;
  std::int64_t limit = std::max<std::int64_t>(kSortedElements / block.cols, 64), whole = 1;
  for (int i = phase_.row.count; i-- > 0;) {
    std::int64_t extent = phase_.row.loops[static_cast<std::size_t>(i)].extent;
    if (whole * extent > limit) break;
    whole *= extent;
  }
  return limit / whole * whole;
}

void PhaseRunner::prepare_segments(const Block& block, const Left& left) const {
  auto classes = static_cast<std::size_t>(table_.num_classes());
  if (scratch.classes.size() < classes) scratch.classes.resize(classes);
  if (scratch.segments.size() < classes) scratch.segments.resize(classes);
  bool large = phase_.batch.size * phase_.row.size * phase_.depth.size * elements_.compute_bytes >= kFetchedBytes;
  bool fetches = large && block.depths >= kFetchedDepth && !phase_.diagonal && (block.cols > block.width || classes == 1);
  for (std::size_t i = 0; i < classes; ++i) {
    ClassSegments& segments = scratch.segments[i];
    if (left.packed) {
      segments.whole.assign(1, TileSegment{0, 0, block.depths});
    } else {
      table_.segments(static_cast<int>(i), block.depth, block.depths, segments.whole);
    }
    segments.cut(left.packed ? left.depth : lhs_depth_step_, fetches ? kLineBytes / elements_.compute_bytes : 0);
  }
}

/// The right operand of the thread's next batch element.
MatrixLines PhaseRunner::next_right(const Block& block) const {
  std::optional<std::int64_t> cols = linear_stride(phase_.col, Operand::rhs, 0);
  if (block.next < 0 || pairs_ || !cols || !rhs_depth_ || block.depths * block.cols * elements_.stored_bytes > kNextBytes) return {};
  auto lines = [&](std::int64_t length) { return (length * elements_.stored_bytes + kLineBytes - 1) / kLineBytes; };
  const std::byte* data = element(rhs_, batch_offset(phase_, Operand::rhs, block.next) + block.depth * *rhs_depth_ + block.col * *cols);
  if (*cols == 1) return {data, block.depths, *rhs_depth_ * elements_.stored_bytes, lines(block.cols)};
  if (*rhs_depth_ == 1) return {data, block.cols, *cols * elements_.stored_bytes, lines(block.depths)};
  return {};
}

/// The rows [row, row + rows) of a left operand that is transposed when it is packed.
MatrixLines PhaseRunner::next_left(const Block& block, std::int64_t row, std::int64_t rows) const {
  std::optional<std::int64_t> depth = linear_stride(phase_.depth, Operand::lhs, 1);
  if (!left_transposed_ || !depth || rows <= 0) return {};
  const std::byte* data = element(lhs_, batch_offset(phase_, Operand::lhs, block.batch) + block.depth * *depth + row);
  return {data, block.depths, *depth * elements_.stored_bytes, (rows * elements_.stored_bytes + kLineBytes - 1) / kLineBytes};
}

/// What is packed after the rows before `row`: the strip of rows up to `end`, or the next batch element's right operand.
NextLines PhaseRunner::lines_after(const Block& block, std::int64_t row, std::int64_t end, std::int64_t rows_now) const {
  std::vector<TileSegment>& pieces = scratch.segments[0].pieces;
  if (table_.num_classes() != 1 || pieces.empty()) return {};
  std::int64_t tile = kernels_.rows[block.width / kernels_.lanes];
  std::int64_t calls = (rows_now + tile - 1) / tile * ((block.cols + block.width - 1) / block.width);
  MatrixLines matrix = row < block.row1 ? next_left(block, row, end - row) : next_right(block);
  return {matrix, calls, static_cast<std::int64_t>(pieces.size())};
}

void PhaseRunner::run_rows(const Block& block) const {
  std::int64_t tile = kernels_.rows[block.width / kernels_.lanes];
  std::int64_t group_limit = group_rows(block), strip_limit = block.row1 - block.row0;
  if (!left_direct_) {
    fill_lhs_runs(phase_, true, block.row0, block.row1 - block.row0, scratch.rows);
    fill_lhs_runs(phase_, false, block.depth, block.depths, scratch.depth);
    strip_limit = kLeftBytes / (std::max<std::int64_t>(block.depths, 1) * elements_.compute_bytes);
    strip_limit = std::clamp<std::int64_t>(strip_limit, tile, kLeftRows);
  }
  Left left;
  if (left_direct_) prepare_segments(block, left);
  for (std::int64_t strip = block.row0; strip < block.row1;) {
    std::int64_t strip_end = strip + share(block.row1 - strip, strip_limit, tile);
    if (!left_direct_) {
      left = pack_left(block, strip, strip_end - strip);
      prepare_segments(block, left);
    }
    NextLines next = lines_after(block, strip_end, strip_end + share(block.row1 - strip_end, strip_limit, tile), strip_end - strip);
    for (std::int64_t row = strip; row < strip_end;) {
      std::int64_t rows = share(strip_end - row, group_limit, table_.num_classes() == 1 ? tile : 1);
      run_group(block, left, row, row + rows, next);
      row += rows;
    }
    strip = strip_end;
  }
}

/// Rows [row0, row1) against the columns of the block, and what follows when they are complete.
void PhaseRunner::run_group(const Block& block, const Left& left, std::int64_t row0, std::int64_t row1, NextLines& next) const {
  table_.fill(row0, row1, scratch.classes);
  TileCall call{.left_depth = left.depth, .right_depth = block.width, .accumulate = !block.first};
  call.left = left.packed ? left.data + (row0 - left.first) * left.row * elements_.compute_bytes : block.left;
  call.right = block.right;
  if (block.right == nullptr) {
    call.right_depth = *rhs_depth_;
    call.right = element(rhs_, batch_offset(phase_, Operand::rhs, block.batch) + block.depth * *rhs_depth_ + block.col);
  }
  if (!left.packed) call.left_depth = lhs_depth_step_;
  if (phase_.diagonal) call.left = static_cast<const std::byte*>(call.left) + block.col * elements_.compute_bytes;
  std::byte *finished = nullptr, *kept = nullptr;
  std::int64_t finished_row = block.cols;
  if (block.aside) {
    kept = aside(block, row0, row1);
    call.out = kept + (batch_offset(phase_, Operand::out, block.batch) + block.col) * elements_.compute_bytes;
  } else if (out_direct_) {
    call.out = element(out_, batch_offset(phase_, Operand::out, block.batch) + block.col);
  } else if (block.sums != nullptr) {
    finished_row = block.sums_row;
    call.out = finished = block.sums + (row0 - block.row0) * finished_row * elements_.compute_bytes;
  } else {
    call.out = finished = scratch.out.get((row1 - row0) * block.cols * elements_.compute_bytes);
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(table_.num_classes()); ++i) {
    RowClass& rows = scratch.classes[i];
    if (rows.rows == 0 || (scratch.segments[i].whole.empty() && !block.first)) continue;
    for (RowRun& run : rows.runs) {
      if (left.packed) {
        run.left = run.row * left.row;
        run.left_step = left.row;
      }
      if (!out_direct_) {
        run.out = run.row * finished_row;
        run.out_step = finished_row;
      }
    }
    run_class(block, rows, scratch.segments[i], call, next);
  }
  if (!block.last) return;
  finish(block, row0, row1, finished, finished_row);
  if (run_.epilogue != nullptr) call_epilogue(block, row0, row1, kept);
}

/// Memory for the results of rows [row0, row1), as the address that the first row of the first batch element would have.
std::byte* PhaseRunner::aside(const Block& block, std::int64_t row0, std::int64_t row1) const {
  std::int64_t row_bytes = phase_.col.size * elements_.compute_bytes;
  return scratch.out.get((row1 - row0) * row_bytes) - (block.batch * phase_.row.size + row0) * row_bytes;
}

namespace {

/// Hands out the rows of a class, tile by tile.
class TileRows {
 public:
  TileRows(const RowClass& rows, std::int64_t tile) : run_(rows.runs.data()) {
    tiles_ = (rows.rows + tile - 1) / tile;
    small_ = rows.rows / tiles_;
    taller_ = rows.rows % tiles_;
  }

  struct Tile {
    std::int64_t height = 0;
    std::int64_t left[kMaxTileRows], out[kMaxTileRows];
  };
  /// The next tile; of height 0 after the last.
  void next(Tile& tile) {
    tile.height = taken_ == tiles_ ? 0 : small_ + (taken_ < taller_ ? 1 : 0);
    taken_ += tile.height > 0 ? 1 : 0;
    for (std::int64_t i = 0; i < tile.height; ++i) {
      if (used_ == run_->length) {
        ++run_;
        used_ = 0;
      }
      tile.left[i] = run_->left + used_ * run_->left_step;
      tile.out[i] = run_->out + used_ * run_->out_step;
      ++used_;
    }
  }

 private:
  const RowRun* run_;
  std::int64_t tiles_ = 0, small_ = 0, taller_ = 0, taken_ = 0, used_ = 0;
};

}  // namespace

namespace {

/// What tiles fetch of the next tile's left rows, which the hardware would notice late: each row begins a new stream.
class AheadRows {
 public:
  AheadRows(bool wanted, std::int64_t bytes) : wanted_(wanted), bytes_(bytes) {}

  /// While `tile` is computed, for `next`.
  void choose(const TileCall& call, const TileRows::Tile& tile, const TileRows::Tile& next) {
    rows_ = next.left;
    count_ = wanted_ ? next.height : 0;
    if (count_ == 0 || call.left_depth == 1) return;
    // Columns are contiguous: a line of each term, unless it is the one that this tile uses.
    std::int64_t last = next.left[next.height - 1];
    auto line = [&](std::int64_t row) {
      return (reinterpret_cast<std::uintptr_t>(call.left) + static_cast<std::uintptr_t>(row * bytes_)) / kLineBytes;
    };
    count_ = line(last) == line(tile.left[tile.height - 1]) ? 0 : kLineBytes / bytes_;
    for (std::int64_t i = 0; i < count_; ++i) terms_[i] = last + i * call.left_depth;
    rows_ = terms_;
  }
  bool any() const { return count_ > 0; }
  /// Each panel of columns fetches a part.
  void share(TileCall& call, std::int64_t panel, std::int64_t panels) const {
    std::int64_t first = count_ * panel / panels;
    call.ahead_rows = rows_ + first;
    call.num_ahead = count_ * (panel + 1) / panels - first;
  }

 private:
  bool wanted_;
  std::int64_t bytes_, count_ = 0;
  const std::int64_t* rows_ = nullptr;
  std::int64_t terms_[kLineBytes / 4];
};

}  // namespace

/// Tiles of rows with equal taps, as evenly high as possible, each against all columns.
void PhaseRunner::run_class(const Block& block, const RowClass& rows, const ClassSegments& segments, TileCall call, NextLines& next) const {
  std::int64_t right_step = (block.right != nullptr ? block.width * block.depths : block.width) * elements_.compute_bytes;
  std::int64_t left_step = phase_.diagonal ? block.width * elements_.compute_bytes : 0;
  const std::byte* left = static_cast<const std::byte*>(call.left);
  const std::byte* right = static_cast<const std::byte*>(call.right);
  std::byte* out = static_cast<std::byte*>(call.out);
  std::int64_t panels = (block.cols + block.width - 1) / block.width;
  AheadRows ahead(!segments.pieces.empty(), elements_.compute_bytes);
  TileRows source(rows, kernels_.rows[block.width / kernels_.lanes]);
  TileRows::Tile tiles[2];
  source.next(tiles[0]);
  for (int i = 0; tiles[i].height > 0; i = 1 - i) {
    const TileRows::Tile& tile = tiles[i];
    source.next(tiles[1 - i]);
    call.left_rows = tile.left;
    call.out_rows = tile.out;
    call.left = left;
    call.right = right;
    call.out = out;
    ahead.choose(call, tile, tiles[1 - i]);
    const std::vector<TileSegment>& list = ahead.any() || next.any() ? segments.pieces : segments.whole;
    call.segments = list.data();
    call.num_segments = static_cast<std::int64_t>(list.size());
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      ahead.share(call, panel, panels);
      next.share(call);
      call.cols = std::min(block.width, block.cols - panel * block.width);
      kernels_.at(tile.height, (call.cols + kernels_.lanes - 1) / kernels_.lanes)(call);
      call.left = static_cast<const std::byte*>(call.left) + left_step;
      call.right = static_cast<const std::byte*>(call.right) + right_step;
      call.out = static_cast<std::byte*>(call.out) + block.width * elements_.compute_bytes;
    }
  }
}

/// Rows [row0, row1) of the block are complete: store them if they are elsewhere.
void PhaseRunner::finish(const Block& block, std::int64_t row0, std::int64_t row1, const std::byte* finished,
                         std::int64_t finished_row) const {
  if (out_direct_) return;
  scratch.row_offsets.resize(static_cast<std::size_t>(row1 - row0));
  scratch.col_offsets.resize(static_cast<std::size_t>(block.cols));
  fill_offsets(phase_.row, Operand::out, row0, row1 - row0, scratch.row_offsets.data());
  fill_offsets(phase_.col, Operand::out, block.col, block.cols, scratch.col_offsets.data());
  std::byte* out = element(out_, batch_offset(phase_, Operand::out, block.batch));
  KILN_FOR_TARGET(unpack)({elements_.widening, finished, out, finished_row, scratch.row_offsets, scratch.col_offsets});
}

void PhaseRunner::call_epilogue(const Block& block, std::int64_t row0, std::int64_t row1, std::byte* aside) const {
  void** args = run_.epilogue_args;
  if (aside != nullptr) {
    scratch.args.assign(args, args + run_.num_epilogue_args);
    scratch.args[static_cast<std::size_t>(run_.product)] = aside;
    args = scratch.args.data();
  }
  std::int64_t col0 = block.col, col1 = block.col + block.cols;
  if (swapped_) {
    std::swap(row0, col0);
    std::swap(row1, col1);
  }
  std::int64_t first = block.batch * (swapped_ ? phase_.col.size : phase_.row.size);
  run_.epilogue(args, run_.epilogue_dims, run_.context, first + row0, first + row1, col0, col1);
}

}  // namespace kiln::ops
