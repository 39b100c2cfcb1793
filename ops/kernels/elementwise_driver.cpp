// Elementwise ops over shapes and threads: reduces any broadcast to rows, which the inner loops walk.
#include "ops/kernels/elementwise_driver.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/require.h"
#include "base/thread_pool.h"
#include "ops/elementwise.h"
#include "ops/kernels/elementwise_run.h"

namespace kiln::ops {

namespace {

using Strides = std::array<std::int64_t, 3>;

/// The axes of a result, innermost first, neighbours merged where every operand allows; strides in elements.
struct Axes {
  int rank = 0;
  std::array<std::int64_t, kMaxRank + 2> size = {};
  std::array<Strides, kMaxRank + 2> stride = {};

  void add(std::int64_t length, const Strides& strides, std::size_t operands) {
    auto last = static_cast<std::size_t>(rank - 1);
    bool merges = rank > 0;
    for (std::size_t k = 0; k < operands && merges; ++k) merges = strides[k] == stride[last][k] * size[last];
    if (merges) {
      size[last] *= length;
    } else {
      size[last + 1] = length;
      stride[last + 1] = strides;
      ++rank;
    }
  }

  /// An axis of length 1 where there is none.
  void fill(int wanted) {
    for (; rank < wanted; ++rank) size[static_cast<std::size_t>(rank)] = 1;
  }
};

Axes axes_of(std::span<const View> operands, const Shape& shape) {
  Axes axes;
  bool same = std::all_of(operands.begin(), operands.end(), [&](const View& v) { return v.shape == shape; });
  if (same) {
    axes.add(shape.count(), {1, 1, 1}, operands.size());
    axes.fill(2);
    return axes;
  }
  Strides running = {1, 1, 1};
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    std::int64_t length = shape[axis];
    Strides strides = {};
    for (std::size_t k = 0; k < operands.size(); ++k) {
      int own = axis - shape.rank() + operands[k].shape.rank();
      std::int64_t own_length = own >= 0 ? static_cast<std::int64_t>(operands[k].shape[own]) : 1;
      strides[k] = own_length == 1 ? 0 : running[k];
      running[k] *= own_length;
    }
    if (length != 1) axes.add(length, strides, operands.size());
  }
  axes.fill(2);
  return axes;
}

/// One call of an op on memory.
class ElementwiseCall {
 public:
  ElementwiseCall(ElementwiseLoop loop, std::span<const View> operands, const View& result)
      : loop_(loop), axes_(axes_of(operands, result.shape)) {
    arity_ = operands.size();
    for (std::size_t k = 0; k < arity_; ++k) {
      operand_[k] = static_cast<const char*>(operands[k].data);
      bytes_[k] = static_cast<std::int64_t>(size_of(operands[k].dtype));
    }
    result_ = static_cast<char*>(result.data);
    result_bytes_ = static_cast<std::int64_t>(size_of(result.dtype));
  }

  std::int64_t row_length() const { return axes_.size[0]; }

  /// Computes elements [begin, end) of the result, in row-major order.
  void run(std::int64_t begin, std::int64_t end) const {
    std::int64_t length = axes_.size[0];
    while (begin < end) {
      std::int64_t row = begin / length;
      std::int64_t column = begin - row * length;
      std::int64_t left = end - begin;
      if (column != 0 || left < length) {
        begin += run_rows(row, 1, column, std::min(length - column, left));
      } else {
        begin += run_rows(row, std::min(left / length, axes_.size[1] - row % axes_.size[1]), 0, length);
      }
    }
  }

 private:
  /// `rows` rows from `row`, all in one block of axis 1; returns the number of elements computed.
  std::int64_t run_rows(std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t length) const {
    ElementwiseRun run;
    run.rows = rows;
    run.length = length;
    run.result = result_ + (row * axes_.size[0] + column) * result_bytes_;
    run.result_stride = axes_.size[0] * result_bytes_;
    Strides offset = {};
    std::int64_t rest = row;
    for (int axis = 1; axis < axes_.rank; ++axis) {
      auto a = static_cast<std::size_t>(axis);
      std::int64_t index = axis + 1 == axes_.rank ? rest : rest % axes_.size[a];
      rest /= axes_.size[a];
      for (std::size_t k = 0; k < arity_; ++k) offset[k] += index * axes_.stride[a][k];
    }
    for (std::size_t k = 0; k < arity_; ++k) {
      run.operand[k] = operand_[k] + (offset[k] + column * axes_.stride[0][k]) * bytes_[k];
      run.row_stride[k] = axes_.stride[1][k] * bytes_[k];
      run.single[k] = axes_.stride[0][k] == 0;
    }
    if (length < kShortRow && rows > 2 && rows_join(run)) {
      run_joined(run);
    } else {
      loop_(run);
    }
    return rows * length;
  }

  /// True if each operand continues from row to row, repeats its row, or is one element for all.
  bool rows_join(const ElementwiseRun& run) const {
    for (std::size_t k = 0; k < arity_; ++k) {
      if (run.row_stride[k] != 0 && run.row_stride[k] != run.length * bytes_[k]) return false;
    }
    return true;
  }

  /// Short rows, several at a time: rows that repeat are copied side by side.
  void run_joined(const ElementwiseRun& rows) const {
    alignas(64) char tile[3][kTileElements * sizeof(double)];
    std::int64_t together = kTileElements / rows.length;
    ElementwiseRun run = rows;
    run.length = rows.length * together;
    run.rows = rows.rows / together;
    run.result_stride = rows.result_stride * together;
    for (std::size_t k = 0; k < arity_; ++k) {
      run.row_stride[k] = rows.row_stride[k] * together;
      if (rows.row_stride[k] != 0 || rows.single[k]) continue;
      auto bytes = static_cast<std::size_t>(rows.length * bytes_[k]);
      for (std::int64_t i = 0; i < std::min(together, rows.rows); ++i)
        std::memcpy(tile[k] + static_cast<std::size_t>(i) * bytes, rows.operand[k], bytes);
      run.operand[k] = tile[k];
    }
    loop_(run);
    std::int64_t done = run.rows;
    run.rows = 1;
    run.length = rows.length * (rows.rows % together);
    for (std::size_t k = 0; k < arity_; ++k) run.operand[k] = static_cast<const char*>(run.operand[k]) + done * run.row_stride[k];
    run.result = static_cast<char*>(run.result) + done * run.result_stride;
    loop_(run);
  }

  static constexpr std::int64_t kShortRow = 64;
  static constexpr std::int64_t kTileElements = 512;

  ElementwiseLoop loop_;
  Axes axes_;
  std::size_t arity_ = 0;
  std::array<const char*, 3> operand_ = {};
  std::array<std::int64_t, 3> bytes_ = {};
  char* result_ = nullptr;
  std::int64_t result_bytes_ = 0;
};

/// The loops of all elementwise ops at one ISA level.
std::vector<ElementwiseLoops> all_loops(Isa isa) {
  std::vector<ElementwiseLoops> all;
  for (int i = 0; i < static_cast<int>(elementwise_ops().size()); ++i) {
    int part = i % kElementwiseParts;
    const ElementwiseLoops* loops = isa == Isa::avx512 ? avx512::elementwise_part(part)
                                    : isa == Isa::avx2 ? avx2::elementwise_part(part)
                                                       : baseline::elementwise_part(part);
    all.push_back(loops[i / kElementwiseParts]);
  }
  return all;
}

ElementwiseLoop loop_of(const std::vector<ElementwiseLoops>& all, const OpDef& op, DType t) {
  auto index = static_cast<std::size_t>(&op - elementwise_ops().data());
  KILN_ASSERT(index < all.size(), "{} is not in the table of elementwise ops", op.name);
  ElementwiseLoop loop = all[index].by_dtype[static_cast<int>(t)];
  KILN_ASSERT(loop != nullptr, "{} has no kernel for {}", op.name, name(t));
  return loop;
}

template <class T>
bool has_zero(const View& v) {
  const T* p = static_cast<const T*>(v.data);
  std::int64_t count = v.shape.count();
  for (std::int64_t i = 0; i < count; ++i) {
    if (p[i] == 0) return true;
  }
  return false;
}

void check_divisor(const OpDef& op, const View& divisor) {
  bool zero = false;
  switch (divisor.dtype) {
    case DType::uint8:
    case DType::int8:
      zero = has_zero<std::int8_t>(divisor);
      break;
    case DType::int32:
      zero = has_zero<std::int32_t>(divisor);
      break;
    case DType::int64:
      zero = has_zero<std::int64_t>(divisor);
      break;
    default:
      return;
  }
  KILN_REQUIRE(!zero, RuntimeError, "{}: integer division by zero ({}{})", op.name, name(divisor.dtype), divisor.shape.str());
}

/// Work below which another thread does not pay, in vectors of cost 1.
constexpr std::int64_t kGrainCost = 16384;
constexpr std::int64_t kGrainUnit = 64;  // elements: threads begin at multiples of this

/// Work that one row of equal shapes covers, done without a plan.
constexpr std::int64_t kSmall = 4096;

bool run_small(ElementwiseLoop loop, std::span<const View> operands, const View& result, std::int64_t count) {
  ElementwiseRun run;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    run.single[k] = operands[k].shape.empty();
    if (!run.single[k] && !(operands[k].shape == result.shape)) return false;
    run.operand[k] = operands[k].data;
  }
  run.result = result.data;
  run.rows = 1;
  run.length = count;
  loop(run);
  return true;
}

void run_op(const OpDef& op, ElementwiseLoop loop, std::span<const View> operands, const View& result) {
  std::int64_t count = result.shape.count();
  if (count == 0) return;
  if (op.traits.fallible) check_divisor(op, operands.back());
  if (count <= kSmall && run_small(loop, operands, result, count)) return;
  ElementwiseCall call(loop, operands, result);
  std::int64_t grain = std::max<std::int64_t>(16, 4 * kGrainCost / op.traits.cost / kGrainUnit);
  std::int64_t units = (count + kGrainUnit - 1) / kGrainUnit;
  if (units <= grain) {
    call.run(0, count);
    return;
  }
  parallel_for(units, grain,
               [&](std::int64_t begin, std::int64_t end) { call.run(begin * kGrainUnit, std::min(end * kGrainUnit, count)); });
}

}  // namespace

void elementwise_kernel(const OpDef& op, std::span<const View> operands, const View& result, const Attrs&) {
  static const std::vector<ElementwiseLoops> all = all_loops(current_target().isa);
  run_op(op, loop_of(all, op, operands.back().dtype), operands, result);
}

void elementwise_kernel_at(Isa isa, const OpDef& op, std::span<const View> operands, const View& result) {
  run_op(op, loop_of(all_loops(isa), op, operands.back().dtype), operands, result);
}

}  // namespace kiln::ops
