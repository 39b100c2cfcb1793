// Strided copies: axes are merged where they act as one, rows are copied whole, and transposes go tile by tile.
#include "ops/kernels/copy.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"

namespace kiln::ops {
namespace {

constexpr std::int64_t kGrainBytes = 64 << 10;
constexpr std::int64_t kTile = 64;

struct CopyPlan {
  std::array<CopyAxis, kMaxRank> axes;
  int rank = 0;
  bool empty = false;

  void add(const CopyAxis& axis) {
    if (axis.size == 0) empty = true;
    if (axis.size == 1) return;
    if (rank > 0) {
      CopyAxis& outer = axes[static_cast<std::size_t>(rank - 1)];
      if (outer.from == axis.from * axis.size && outer.to == axis.to * axis.size) {
        outer = {outer.size * axis.size, axis.from, axis.to};
        return;
      }
    }
    axes[static_cast<std::size_t>(rank++)] = axis;
  }
  std::int64_t count() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= axes[static_cast<std::size_t>(i)].size;
    return n;
  }
};

/// Calls body(from, to) with element offsets for each index of the axes below `rank`, in parallel.
template <class Body>
void for_each_row(std::span<const CopyAxis> outer, std::int64_t row_bytes, const Body& body) {
  std::int64_t rows = 1;
  for (const CopyAxis& axis : outer) rows *= axis.size;
  std::int64_t grain = std::max<std::int64_t>(1, kGrainBytes / std::max<std::int64_t>(row_bytes, 1));
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    std::array<std::int64_t, kMaxRank> index = {};
    std::int64_t from = 0, to = 0, rest = begin;
    for (std::size_t i = outer.size(); i-- > 0;) {
      index[i] = rest % outer[i].size;
      rest /= outer[i].size;
      from += index[i] * outer[i].from;
      to += index[i] * outer[i].to;
    }
    for (std::int64_t row = begin; row < end; ++row) {
      body(from, to);
      for (std::size_t i = outer.size(); i-- > 0;) {
        from += outer[i].from;
        to += outer[i].to;
        if (++index[i] < outer[i].size) break;
        from -= index[i] * outer[i].from;
        to -= index[i] * outer[i].to;
        index[i] = 0;
      }
    }
  });
}

template <class T>
void copy_row(const CopyAxis& axis, const T* from, T* to) {
  if (axis.to == 1 && axis.from == 1) {
    std::memcpy(to, from, static_cast<std::size_t>(axis.size) * sizeof(T));
  } else if (axis.to == 1 && axis.from == 0) {
    std::fill_n(to, axis.size, *from);
  } else {
    for (std::int64_t i = 0; i < axis.size; ++i) to[i * axis.to] = from[i * axis.from];
  }
}

/// Two axes of which one is contiguous in the source and the other in the destination, in tiles that stay in cache.
template <class T>
void copy_tiles(const CopyAxis& a, const CopyAxis& b, const T* from, T* to) {
  if (a.from == 1 && b.to == 1) return KILN_FOR_TARGET(transpose)(sizeof(T), from, b.from, to, a.to, b.size, a.size);
  for (std::int64_t i0 = 0; i0 < a.size; i0 += kTile) {
    std::int64_t i1 = std::min(a.size, i0 + kTile);
    for (std::int64_t j0 = 0; j0 < b.size; j0 += kTile) {
      std::int64_t j1 = std::min(b.size, j0 + kTile);
      for (std::int64_t i = i0; i < i1; ++i) {
        for (std::int64_t j = j0; j < j1; ++j) to[i * a.to + j * b.to] = from[i * a.from + j * b.from];
      }
    }
  }
}

template <class T>
void copy_elements(CopyPlan plan, const T* from, T* to) {
  if (plan.rank == 0) {
    *to = *from;
    return;
  }
  auto rank = static_cast<std::size_t>(plan.rank);
  CopyAxis last = plan.axes[rank - 1];
  std::size_t partner = rank;
  for (std::size_t i = 0; i + 1 < rank; ++i) {
    if (plan.axes[i].from == 1 && last.from != 1 && last.from != 0) partner = i;
  }
  if (partner == rank) {
    std::span<const CopyAxis> outer(plan.axes.data(), rank - 1);
    // One long row is cut so that threads can share it.
    constexpr std::int64_t chunk = kGrainBytes / static_cast<std::int64_t>(sizeof(T));
    if (outer.empty()) {
      parallel_for(last.size, chunk, [&](std::int64_t begin, std::int64_t end) {
        copy_row<T>({end - begin, last.from, last.to}, from + begin * last.from, to + begin * last.to);
      });
      return;
    }
    for_each_row(outer, last.size * static_cast<std::int64_t>(sizeof(T)),
                 [&](std::int64_t f, std::int64_t t) { copy_row<T>(last, from + f, to + t); });
    return;
  }
  CopyAxis across = plan.axes[partner];
  CopyAxis strip = across;
  strip.size = (across.size + kTile - 1) / kTile;
  strip.from *= kTile;
  strip.to *= kTile;
  // The strips of `across` are one more outer axis, so that a plain transpose has rows to share among threads.
  std::array<CopyAxis, kMaxRank> outer;
  std::size_t count = 0;
  for (std::size_t i = 0; i + 1 < rank; ++i) {
    if (i != partner) outer[count++] = plan.axes[i];
  }
  parallel_for(strip.size, std::max<std::int64_t>(1, kGrainBytes / (plan.count() / strip.size * static_cast<std::int64_t>(sizeof(T)) + 1)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t s = begin; s < end; ++s) {
                   CopyAxis part = across;
                   part.size = std::min(kTile, across.size - s * kTile);
                   for_each_row({outer.data(), count}, kGrainBytes, [&](std::int64_t f, std::int64_t t) {
                     copy_tiles<T>(part, last, from + f + s * strip.from, to + t + s * strip.to);
                   });
                 }
               });
}

}  // namespace

void strided_copy(std::size_t element, std::span<const CopyAxis> axes, const void* from, void* to) {
  CopyPlan plan;
  for (const CopyAxis& axis : axes) plan.add(axis);
  if (plan.empty) return;
  switch (element) {
    case 1:
      return copy_elements(plan, static_cast<const std::uint8_t*>(from), static_cast<std::uint8_t*>(to));
    case 2:
      return copy_elements(plan, static_cast<const std::uint16_t*>(from), static_cast<std::uint16_t*>(to));
    case 4:
      return copy_elements(plan, static_cast<const std::uint32_t*>(from), static_cast<std::uint32_t*>(to));
    default:
      return copy_elements(plan, static_cast<const std::uint64_t*>(from), static_cast<std::uint64_t*>(to));
  }
}

void fill(std::size_t element, const void* value, void* to, std::int64_t count) {
  CopyAxis axis{count, 0, 1};
  strided_copy(element, {&axis, 1}, value, to);
}

std::array<std::int64_t, kMaxRank> row_major(const Shape& shape) {
  std::array<std::int64_t, kMaxRank> strides = {};
  std::int64_t stride = 1;
  for (int i = shape.rank(); i-- > 0;) {
    strides[static_cast<std::size_t>(i)] = stride;
    stride *= static_cast<std::int64_t>(shape[i]);
  }
  return strides;
}

}  // namespace kiln::ops
