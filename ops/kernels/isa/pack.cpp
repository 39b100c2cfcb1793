// Packing loops: whole runs where both sides are contiguous, square blocks where they are transposed.
#include "ops/kernels/pack.h"

#include <cstring>

#include "base/half.h"
#include "ops/kernels/isa/transpose.h"

namespace kiln::ops::KILN_ISA {
namespace {

struct Raw32 {
  using Stored = std::uint32_t;
  using Computed = std::uint32_t;
  static Computed widen(Stored x) { return x; }
  static Stored narrow(Computed x) { return x; }
};
struct Raw64 {
  using Stored = std::uint64_t;
  using Computed = std::uint64_t;
  static Computed widen(Stored x) { return x; }
  static Stored narrow(Computed x) { return x; }
};
struct Half {
  using Stored = kiln::float16;
  using Computed = float;
  static Computed widen(Stored x) { return to_float(x); }
  static Stored narrow(Computed x) { return to_float16(x); }
};
struct Brain {
  using Stored = kiln::bfloat16;
  using Computed = float;
  static Computed widen(Stored x) { return to_float(x); }
  static Stored narrow(Computed x) { return to_bfloat16(x); }
};
struct Signed8 {
  using Stored = std::int8_t;
  using Computed = std::uint32_t;
  static Computed widen(Stored x) { return static_cast<std::uint32_t>(static_cast<std::int32_t>(x)); }
  static Stored narrow(Computed x) { return static_cast<Stored>(x); }
};
struct Unsigned8 {
  using Stored = std::uint8_t;
  using Computed = std::uint32_t;
  static Computed widen(Stored x) { return x; }
  static Stored narrow(Computed x) { return static_cast<Stored>(x); }
};

/// Reach of each window's position over a list of runs.
struct Reach {
  std::int64_t low[kMaxWindows], high[kMaxWindows];
};

Reach reach_of(std::span<const Run> runs, std::size_t windows) {
  Reach reach = {};
  for (std::size_t w = 0; w < windows; ++w) {
    reach.low[w] = INT64_MAX;
    reach.high[w] = INT64_MIN;
    for (const Run& run : runs) {
      std::int64_t first = run.position[w];
      std::int64_t last = first + (run.window == static_cast<std::int32_t>(w) ? (run.length - 1) * run.step : 0);
      if (first < reach.low[w]) reach.low[w] = first;
      if (last > reach.high[w]) reach.high[w] = last;
    }
  }
  return reach;
}

/// Whole vectors, then part of one.
template <class T>
[[gnu::always_inline]] inline void copy_whole(const T* from, T* to, std::int64_t length) {
  constexpr std::int64_t width = kLanes<T>;
  std::int64_t i = 0;
  for (; i + width <= length; i += width) store<T>(to + i, load<T>(from + i));
  if (i == length) return;
  LaneMask<T> mask(length - i);
  store_partial<T>(to + i, load_partial<T>(from + i, mask), mask);
}

template <class P>
[[gnu::always_inline]] inline void copy_run(const typename P::Stored* from, std::int64_t stride, typename P::Computed* to,
                                            std::int64_t to_stride, std::int64_t length) {
  if (stride != 1 || to_stride != 1) {
    for (std::int64_t i = 0; i < length; ++i) to[i * to_stride] = P::widen(from[i * stride]);
  } else if constexpr (sizeof(typename P::Stored) == sizeof(typename P::Computed)) {
    copy_whole(from, to, length);
  } else {
    for (std::int64_t i = 0; i < length; ++i) to[i] = P::widen(from[i]);
  }
}

template <class T>
[[gnu::always_inline]] inline void clear_run(T* to, std::int64_t to_stride, std::int64_t length) {
  for (std::int64_t i = 0; i < length; ++i) to[i * to_stride] = T{};
}

/// One outer index against one inner run, with window checks.
template <class P>
void copy_checked(const PackJob& job, const std::int64_t* position, const typename P::Stored* from, const Run& run,
                  typename P::Computed* to) {
  std::int64_t begin = 0, end = run.length;
  for (std::size_t w = 0; w < job.windows.size(); ++w) {
    std::int64_t first = position[w] + run.position[w], extent = job.windows[w].extent;
    if (run.window != static_cast<std::int32_t>(w)) {
      if (first < 0 || first >= extent) end = 0;
      continue;
    }
    if (run.step == 1) {
      begin = first < 0 ? -first : 0;
      end = extent - first < end ? extent - first : end;
    } else {
      while (begin < end && first + begin * run.step < 0) ++begin;
      while (end > begin && first + (end - 1) * run.step >= extent) --end;
    }
  }
  if (end <= begin) {
    clear_run(to, job.to_inner, run.length);
    return;
  }
  clear_run(to, job.to_inner, begin);
  copy_run<P>(from + begin * run.stride, run.stride, to + begin * job.to_inner, job.to_inner, end - begin);
  clear_run(to + end * job.to_inner, job.to_inner, run.length - end);
}

template <class P>
void pack_as(const PackJob& job) {
  const auto* from = static_cast<const typename P::Stored*>(job.from);
  auto* to = static_cast<typename P::Computed*>(job.to);
  if (job.inner.empty()) return;
  std::size_t windows = job.windows.size();
  Reach inner = reach_of(job.inner, windows), outer = reach_of(job.outer, windows);
  bool inside = true;
  for (std::size_t w = 0; w < windows; ++w) {
    inside = inside && outer.low[w] + inner.low[w] >= 0 && outer.high[w] + inner.high[w] < job.windows[w].extent;
  }
  for (const Run& o : job.outer) {
    if constexpr (sizeof(typename P::Stored) == sizeof(typename P::Computed)) {
      if (inside && job.to_outer == 1 && job.inner[0].stride == 1) {
        for (const Run& run : job.inner) {
          transpose_matrix(from + o.offset + run.offset, o.stride, to + o.begin + run.begin * job.to_inner, job.to_inner, o.length,
                           run.length);
        }
        continue;
      }
    }
    for (std::int64_t t = 0; t < o.length; ++t) {
      const auto* row_from = from + o.offset + t * o.stride;
      auto* row_to = to + (o.begin + t) * job.to_outer;
      if (inside) {
        for (const Run& run : job.inner)
          copy_run<P>(row_from + run.offset, run.stride, row_to + run.begin * job.to_inner, job.to_inner, run.length);
        continue;
      }
      std::int64_t position[kMaxWindows] = {};
      bool all = true;
      for (std::size_t w = 0; w < windows; ++w) {
        position[w] = o.position[w] + (o.window == static_cast<std::int32_t>(w) ? t * o.step : 0);
        all = all && position[w] + inner.low[w] >= 0 && position[w] + inner.high[w] < job.windows[w].extent;
      }
      for (const Run& run : job.inner) {
        if (all) {
          copy_run<P>(row_from + run.offset, run.stride, row_to + run.begin * job.to_inner, job.to_inner, run.length);
        } else {
          copy_checked<P>(job, position, row_from + run.offset, run, row_to + run.begin * job.to_inner);
        }
      }
    }
  }
}

std::uint32_t pair(std::uint16_t first, std::uint16_t second) {
  return static_cast<std::uint32_t>(first) | static_cast<std::uint32_t>(second) << 16;
}

/// Pairs side by side, their first and second elements in two rows.
void join_rows(const std::uint16_t* first, const std::uint16_t* second, std::int64_t stride, std::uint32_t* to, std::int64_t to_stride,
               std::int64_t length) {
  if (stride == 1 && to_stride == 1) {
    for (std::int64_t i = 0; i < length; ++i) to[i] = pair(first[i], second[i]);
    return;
  }
  for (std::int64_t i = 0; i < length; ++i) to[i * to_stride] = pair(first[i * stride], second[i * stride]);
}

/// Pairs [0, length) of which the one at `alone` has no second element.
void join(const PackPairsJob& job, const std::uint16_t* from, std::int64_t stride, std::uint32_t* to, std::int64_t length,
          std::int64_t alone) {
  std::int64_t both = alone >= 0 && alone < length ? alone : length;
  join_rows(from, from + job.second, stride, to, job.to_inner, both);
  if (both < length) to[both * job.to_inner] = pair(from[both * stride], 0);
}

bool contiguous(std::span<const std::int64_t> offsets) {
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] != offsets[i - 1] + 1) return false;
  }
  return true;
}

template <class P>
void unpack_as(const UnpackJob& job) {
  const auto* from = static_cast<const typename P::Computed*>(job.from);
  auto* to = static_cast<typename P::Stored*>(job.to);
  if constexpr (sizeof(typename P::Stored) == sizeof(typename P::Computed)) {
    std::int64_t col_stride = job.cols.size() > 1 ? job.cols[1] - job.cols[0] : 0;
    bool linear = job.cols.size() > 1;
    for (std::size_t j = 1; linear && j < job.cols.size(); ++j) linear = job.cols[j] - job.cols[j - 1] == col_stride;
    if (linear && col_stride != 1 && contiguous(job.rows)) {
      transpose_matrix(from, job.from_row, to + job.rows[0] + job.cols[0], col_stride, static_cast<std::int64_t>(job.rows.size()),
                       static_cast<std::int64_t>(job.cols.size()));
      return;
    }
  }
  bool rows_whole = contiguous(job.cols);
  for (std::size_t i = 0; i < job.rows.size(); ++i) {
    const auto* row = from + static_cast<std::int64_t>(i) * job.from_row;
    if (rows_whole) {
      auto* row_to = to + job.rows[i] + job.cols[0];
      for (std::size_t j = 0; j < job.cols.size(); ++j) row_to[j] = P::narrow(row[j]);
    } else {
      for (std::size_t j = 0; j < job.cols.size(); ++j) to[job.rows[i] + job.cols[j]] = P::narrow(row[j]);
    }
  }
}

template <class F>
void with_policy(Widening widening, const F& f) {
  switch (widening) {
    case Widening::raw32:
      return f(Raw32{});
    case Widening::raw64:
      return f(Raw64{});
    case Widening::float16:
      return f(Half{});
    case Widening::bfloat16:
      return f(Brain{});
    case Widening::int8:
      return f(Signed8{});
    case Widening::uint8:
      return f(Unsigned8{});
  }
}

constexpr std::int64_t kRowsAhead = 4;  ///< fetched early: rows lie too far apart for the hardware to guess

template <class T>
void pack_panels_of(const PanelJob& job) {
  const T* from = static_cast<const T*>(job.from);
  constexpr std::int64_t line = 64 / sizeof(T);
  std::int64_t panel = job.width * job.rows;
  for (std::int64_t row = 0; row < job.rows; ++row) {
    T* to = static_cast<T*>(job.to) + row * job.width;
    const T* ahead = from + (row + kRowsAhead < job.rows ? kRowsAhead * job.from_row : 0);
    for (std::int64_t col = 0; col < job.cols; col += line) __builtin_prefetch(ahead + col);
    for (std::int64_t col = 0; col < job.cols; col += job.width, to += panel) {
      std::int64_t cols = job.cols - col < job.width ? job.cols - col : job.width;
      copy_whole(from + col, to, cols);
      clear_run(to + cols, 1, job.width - cols);
    }
    from += job.from_row;
  }
}

}  // namespace

void pack_panels(const PanelJob& job) {
  if (job.wide) return pack_panels_of<std::uint64_t>(job);
  pack_panels_of<std::uint32_t>(job);
}

void pack(const PackJob& job) {
  with_policy(job.widening, [&]<class P>(P) { pack_as<P>(job); });
}

void pack_pairs(const PackPairsJob& job) {
  const auto* from = static_cast<const std::uint16_t*>(job.from);
  auto* to = static_cast<std::uint32_t*>(job.to);
  for (const Run& o : job.outer) {
    for (const Run& run : job.inner) {
      const std::uint16_t* first = from + o.offset + run.offset;
      std::uint32_t* first_to = to + o.begin * job.to_outer + run.begin * job.to_inner;
      bool all = job.alone < 0 || (job.depth_outside ? job.alone - o.begin : job.alone - run.begin) >= (job.depth_outside ? o : run).length;
      if (all && !job.depth_outside && job.second == 1 && run.stride == 2 && o.stride % 2 == 0 && job.to_outer == 1 &&
          reinterpret_cast<std::uintptr_t>(first) % sizeof(std::uint32_t) == 0) {
        // Pairs lie in memory as they are wanted: a matrix of 4-byte elements to be transposed.
        transpose_matrix(reinterpret_cast<const std::uint32_t*>(first), o.stride / 2, first_to, job.to_inner, o.length, run.length);
        continue;
      }
      for (std::int64_t t = 0; t < o.length; ++t) {
        const std::uint16_t* row = first + t * o.stride;
        std::uint32_t* row_to = first_to + t * job.to_outer;
        if (!job.depth_outside) {
          join(job, row, run.stride, row_to, run.length, job.alone < 0 ? -1 : job.alone - run.begin);
        } else if (o.begin + t == job.alone) {
          for (std::int64_t i = 0; i < run.length; ++i) row_to[i * job.to_inner] = pair(row[i * run.stride], 0);
        } else {
          join_rows(row, row + job.second, run.stride, row_to, job.to_inner, run.length);
        }
      }
    }
  }
}

void unpack(const UnpackJob& job) {
  if (job.rows.empty() || job.cols.empty()) return;
  with_policy(job.widening, [&]<class P>(P) { unpack_as<P>(job); });
}

}  // namespace kiln::ops::KILN_ISA
