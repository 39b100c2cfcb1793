// Eager kernels of reduce and arg_reduce: which blocks there are, and who computes them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "base/thread_pool.h"
#include "ops/kernels/contraction_plan.h"
#include "ops/kernels/copy.h"
#include "ops/kernels/reduce.h"
#include "ops/structural.h"

namespace kiln::ops {
namespace {

constexpr std::int64_t kGrainElements = 32 << 10;

ReduceKind kind_of(const std::string& name) {
  if (name == "add") return ReduceKind::add;
  if (name == "mul") return ReduceKind::mul;
  if (name == "max") return ReduceKind::max;
  if (name == "min") return ReduceKind::min;
  return name == "and" ? ReduceKind::logical_and : ReduceKind::logical_or;
}

/// float for halves, else the type itself.
DType accumulator_of(DType dtype) { return dtype == DType::float16 || dtype == DType::bfloat16 ? DType::float32 : dtype; }

/// An operand as outer kept loops, reduced loops, and `cols` contiguous kept elements (1 if the innermost axis is reduced).
struct Reduction {
  DType dtype = DType::float32;
  ReduceKind kind = ReduceKind::add;
  LoopGroup outer, reduced;
  std::int64_t cols = 1;
  bool by_rows = false;

  std::int64_t blocks() const { return (reduced.size + kReduceBlock - 1) / kReduceBlock; }
};

void push_merged(LoopGroup& group, std::int64_t extent, std::int64_t stride) {
  if (extent == 1) return;
  if (group.count > 0 && extent > 0) {
    ContractionLoop& last = group.loops[static_cast<std::size_t>(group.count - 1)];
    if (last.lhs_stride == stride * extent) {
      last.extent *= extent;
      last.lhs_stride = stride;
      group.size *= extent;
      return;
    }
  }
  group.push({extent, stride, 0, 0});
}

Reduction make_reduction(const View& x, const Ints& axes, ReduceKind kind) {
  Reduction r{.dtype = x.dtype, .kind = kind};
  auto strides = row_major(x.shape);
  int rank = x.shape.rank();
  r.by_rows = reduce_lanes(rank, axes) == kLanesRow;
  int trailing = rank;
  while (!r.by_rows && trailing > 0 && std::find(axes.begin(), axes.end(), trailing - 1) == axes.end())
    r.cols *= static_cast<std::int64_t>(x.shape[--trailing]);
  for (int i = 0; i < trailing; ++i) {
    bool reduced = std::find(axes.begin(), axes.end(), i) != axes.end();
    push_merged(reduced ? r.reduced : r.outer, x.shape[i], strides[static_cast<std::size_t>(i)]);
  }
  return r;
}

std::int64_t offset_of(const LoopGroup& group, std::int64_t index) {
  std::int64_t offset = 0;
  if (group.count > 0) fill_offsets(group, Operand::lhs, index, 1, &offset);
  return offset;
}

/// Elements [begin, begin + count) of the reduced loops from `from`, contiguous: in place if they are, else copied to `buffer`.
const std::byte* contiguous_block(const Reduction& r, const std::byte* from, std::int64_t begin, std::int64_t count,
                                  std::vector<std::byte>& buffer) {
  auto size = static_cast<std::int64_t>(size_of(r.dtype));
  bool whole = r.reduced.count == 0 || (r.reduced.count == 1 && r.reduced.loops[0].lhs_stride == 1);
  if (whole) return from + begin * size;
  std::vector<Run> runs;
  fill_runs(r.reduced, Operand::lhs, begin, count, runs);
  buffer.resize(static_cast<std::size_t>(count * size));
  for (const Run& run : runs) {
    for (std::int64_t i = 0; i < run.length; i += run.stride == 1 ? run.length : 1) {
      std::int64_t n = run.stride == 1 ? run.length : 1;
      std::memcpy(buffer.data() + (run.begin + i) * size, from + (run.offset + i * run.stride) * size, static_cast<std::size_t>(n * size));
    }
  }
  return buffer.data();
}

/// Accumulators [outer][block] of a reduction whose innermost axis is reduced.
void reduce_rows(const Reduction& r, const std::byte* x, std::byte* accumulators) {
  auto size = static_cast<std::int64_t>(size_of(r.dtype)), width = static_cast<std::int64_t>(size_of(accumulator_of(r.dtype)));
  std::int64_t blocks = r.blocks(), tasks = r.outer.size * blocks;
  const bool run_of_memory = r.reduced.count == 0 || (r.reduced.count == 1 && r.reduced.loops[0].lhs_stride == 1);
  const bool end_to_end = run_of_memory && r.outer.count == 1 && r.outer.loops[0].lhs_stride == r.reduced.size;
  if (end_to_end && r.reduced.size <= kLanesRow) {
    auto run = KILN_FOR_TARGET(reduce_short_rows);
    return parallel_for(tasks, std::max<std::int64_t>(1, kGrainElements / r.reduced.size), [&](std::int64_t begin, std::int64_t end) {
      run(r.dtype, r.kind, x + begin * r.reduced.size * size, r.reduced.size, end - begin, accumulators + begin * width);
    });
  }
  auto run = KILN_FOR_TARGET(reduce_row);
  parallel_for(tasks, std::max<std::int64_t>(1, kGrainElements / std::min(r.reduced.size, kReduceBlock)),
               [&](std::int64_t begin, std::int64_t end) {
                 std::vector<std::byte> buffer;
                 std::vector<std::int64_t> offsets(static_cast<std::size_t>((end - 1) / blocks - begin / blocks + 1), 0);
                 if (r.outer.count > 0)
                   fill_offsets(r.outer, Operand::lhs, begin / blocks, static_cast<std::int64_t>(offsets.size()), offsets.data());
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::byte* from = x + offsets[static_cast<std::size_t>(task / blocks - begin / blocks)] * size;
                   std::int64_t first = task % blocks * kReduceBlock, count = std::min(kReduceBlock, r.reduced.size - first);
                   run(r.dtype, r.kind, contiguous_block(r, from, first, count, buffer), count, accumulators + task * width);
                 }
               });
}

/// Accumulators [outer][block][cols] of a reduction whose innermost axis is kept.
void reduce_columns(const Reduction& r, const std::byte* x, std::byte* accumulators) {
  auto size = static_cast<std::int64_t>(size_of(r.dtype)), width = static_cast<std::int64_t>(size_of(accumulator_of(r.dtype)));
  std::int64_t blocks = r.blocks();
  // Strips of columns, so that a tall narrow reduction and a wide one both have tasks.
  std::int64_t strip = std::min<std::int64_t>(r.cols, std::max<std::int64_t>(256, kGrainElements / std::min(r.reduced.size, kReduceBlock)));
  std::int64_t strips = (r.cols + strip - 1) / strip, tasks = r.outer.size * blocks * strips;
  auto run = KILN_FOR_TARGET(reduce_columns);
  std::int64_t task_elements = strip * std::min(r.reduced.size, kReduceBlock);
  parallel_for(tasks, std::max<std::int64_t>(1, kGrainElements / task_elements), [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> offsets;
    std::int64_t filled = -1;
    for (std::int64_t task = begin; task < end; ++task) {
      std::int64_t block = task / strips % blocks, outer = task / strips / blocks, col = task % strips * strip;
      std::int64_t first = block * kReduceBlock, count = std::min(kReduceBlock, r.reduced.size - first);
      if (filled != block) {
        offsets.resize(static_cast<std::size_t>(count), 0);
        fill_offsets(r.reduced, Operand::lhs, first, count, offsets.data());
        filled = block;
      }
      run(r.dtype, r.kind, x + (offset_of(r.outer, outer) + col) * size, offsets.data(), count, std::min(strip, r.cols - col),
          accumulators + ((outer * blocks + block) * r.cols + col) * width);
    }
  });
}

/// Reduces blocks, then the blocks' results, until one accumulator is left for each output.
void reduce_to(const Reduction& r, const std::byte* x, std::byte* accumulators) {
  std::int64_t blocks = r.blocks();
  auto compute = r.by_rows ? reduce_rows : reduce_columns;
  if (blocks == 1) return compute(r, x, accumulators);
  std::vector<std::byte> partial(static_cast<std::size_t>(r.outer.size * blocks * r.cols) * size_of(accumulator_of(r.dtype)));
  compute(r, x, partial.data());
  Reduction rest{.dtype = accumulator_of(r.dtype), .kind = r.kind, .cols = r.cols, .by_rows = r.by_rows};
  push_merged(rest.outer, r.outer.size, blocks * r.cols);
  push_merged(rest.reduced, blocks, r.cols);
  reduce_to(rest, partial.data(), accumulators);
}

template <class T>
void store_empty(const View& result, ReduceKind kind) {
  T value{};
  if constexpr (std::same_as<T, bool>) {
    value = kind == ReduceKind::logical_and;
  } else if constexpr (std::same_as<T, float16>) {
    value = to_float16(empty_value<float>(kind));
  } else if constexpr (std::same_as<T, bfloat16>) {
    value = to_bfloat16(empty_value<float>(kind));
  } else {
    value = empty_value<T>(kind);
  }
  std::fill_n(static_cast<T*>(result.data), result.shape.count(), value);
}

template <class T>
bool beats(bool max, T candidate, T best) {
  if constexpr (std::is_floating_point_v<T>) {
    if (candidate != candidate) return best == best;
  }
  return max ? candidate > best : candidate < best;
}

template <class T>
auto comparable(T x) {
  if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>) {
    return to_float(x);
  } else {
    return x;
  }
}

}  // namespace

void Reduce::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const View& x = operands[0];
  const Ints& axes = attrs.get<Ints>("axes");
  std::int64_t count = result.shape.count();
  if (count == 0) return;
  if (axes.empty()) {
    std::memcpy(result.data, x.data, static_cast<std::size_t>(count) * size_of(x.dtype));
    return;
  }
  Reduction r = make_reduction(x, axes, kind_of(attrs.get<std::string>("kind")));
  if (r.reduced.size == 0) {
    visit_dtype(result.dtype, [&]<class T>(std::type_identity<T>) { store_empty<T>(result, r.kind); });
    return;
  }
  const auto* from = static_cast<const std::byte*>(x.data);
  if (accumulator_of(x.dtype) == x.dtype) return reduce_to(r, from, static_cast<std::byte*>(result.data));
  std::vector<float> wide(static_cast<std::size_t>(count));
  reduce_to(r, from, reinterpret_cast<std::byte*>(wide.data()));
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if (x.dtype == DType::float16) {
      static_cast<float16*>(result.data)[i] = to_float16(wide[i]);
    } else {
      static_cast<bfloat16*>(result.data)[i] = to_bfloat16(wide[i]);
    }
  }
}

void ArgReduce::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const View& x = operands[0];
  bool max = attrs.get<std::string>("kind") == "max";
  std::int64_t axis = attrs.get<std::int64_t>("axis"), inner = row_major(x.shape)[static_cast<std::size_t>(axis)], length = x.shape[axis];
  auto* to = static_cast<std::int64_t*>(result.data);
  visit_dtype(x.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(x.data);
    parallel_for(result.shape.count(), std::max<std::int64_t>(1, kGrainElements / length), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* line = from + i / inner * length * inner + i % inner;
        auto best = comparable(line[0]);
        std::int64_t at = 0;
        for (std::int64_t k = 1; k < length; ++k) {
          auto candidate = comparable(line[k * inner]);
          if (!beats(max, candidate, best)) continue;
          best = candidate;
          at = k;
        }
        to[i] = at;
      }
    });
  });
}

}  // namespace kiln::ops
