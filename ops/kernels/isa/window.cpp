// Windows, a block of elements at a time that stays in registers; the compiler vectorizes along the block.
#include "ops/kernels/window.h"

#include <bit>
#include <type_traits>

#include "base/half.h"
#include "ops/kernels/isa/vectors.h"

namespace kiln::ops::KILN_ISA {
namespace {

constexpr std::int64_t kBlock = 16;

template <class T>
inline constexpr bool is_half = std::is_same_v<T, kiln::float16> || std::is_same_v<T, kiln::bfloat16>;
template <class T>
using Wide = std::conditional_t<is_half<T>, float, T>;

template <class T>
[[gnu::always_inline]] inline Wide<T> widen(T x) {
  if constexpr (is_half<T>) {
    return to_float(x);
  } else {
    return x;
  }
}
template <class T>
[[gnu::always_inline]] inline T narrow(Wide<T> x) {
  if constexpr (std::is_same_v<T, kiln::float16>) {
    return to_float16(x);
  } else if constexpr (std::is_same_v<T, kiln::bfloat16>) {
    return to_bfloat16(x);
  } else {
    return x;
  }
}

template <class T>
[[gnu::always_inline]] inline T add_wrapping(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
  } else {
    return a + b;
  }
}

/// As numeric_order.h: NaN wins; of zeros, max prefers +0 and min -0.
template <ReduceKind kind, class T>
[[gnu::always_inline]] inline T combine(T a, T b) {
  if constexpr (kind == ReduceKind::add) {
    return add_wrapping(a, b);
  } else {
    T better = kind == ReduceKind::max ? (a > b ? a : b) : (a < b ? a : b);
    if constexpr (std::is_floating_point_v<T>) {
      using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
      Bits x = std::bit_cast<Bits>(a), y = std::bit_cast<Bits>(b);
      better = a == b ? std::bit_cast<T>(kind == ReduceKind::max ? x & y : x | y) : better;
      better = a != a ? a : better;
    }
    return better;
  }
}

/// Taps [first, last) of a window are inside.
struct Taps {
  std::int64_t position, first, last;
};

[[gnu::always_inline]] inline Taps taps_of(const WindowLine& line, std::int64_t window) {
  std::int64_t position = window * line.stride - line.padding;
  std::int64_t last = line.extent - position < line.taps ? line.extent - position : line.taps;
  return {position, position < 0 ? -position : 0, last};
}

/// Calls f.operator()<whole>(offset, count) for each block of a row.
template <class F>
[[gnu::always_inline]] inline void for_each_block(std::int64_t row, const F& f) {
  std::int64_t i = 0;
  for (; i + kBlock <= row; i += kBlock) f.template operator()<true>(i, kBlock);
  if (i < row) f.template operator()<false>(i, row - i);
}

template <ReduceKind kind, class T>
void reduce_line(const WindowLine& line, const T* const* x, std::int64_t num_rows, T* to) {
  for (std::int64_t o = 0; o < line.windows; ++o, to += line.row) {
    Taps taps = taps_of(line, o);
    if (taps.first >= taps.last || num_rows == 0) {
      for (std::int64_t i = 0; i < line.row; ++i) to[i] = narrow<T>(empty_value<Wide<T>>(kind));
      continue;
    }
    std::int64_t first = (taps.position + taps.first) * line.row, count = taps.last - taps.first;
    for_each_block(line.row, [&]<bool whole>(std::int64_t at, std::int64_t rest) {
      const std::int64_t n = whole ? kBlock : rest;
      Wide<T> best[kBlock];
      for (std::int64_t i = 0; i < n; ++i) best[i] = widen(x[0][first + at + i]);
      for (std::int64_t r = 0; r < num_rows; ++r) {
        const T* tap = x[r] + first + at + (r == 0 ? line.row : 0);
        for (std::int64_t k = r == 0 ? 1 : 0; k < count; ++k, tap += line.row) {
          for (std::int64_t i = 0; i < n; ++i) best[i] = combine<kind>(best[i], widen(tap[i]));
        }
      }
      for (std::int64_t i = 0; i < n; ++i) to[at + i] = narrow<T>(best[i]);
    });
  }
}

/// What the search for the largest computes with: integers of 32 bits at least, so that one also counts taps.
template <class T>
using Lane = std::conditional_t<std::is_integral_v<T> && (sizeof(T) < 4), std::int32_t, Wide<T>>;
template <class L>
using CountOf = std::conditional_t<sizeof(L) == 8, std::int64_t, std::int32_t>;

template <class L, class U>
[[gnu::always_inline]] inline Vector<L> load_lanes(const U* from) {
  L lanes[kLanes<L>];
  for (int i = 0; i < kLanes<L>; ++i) lanes[i] = static_cast<L>(widen(from[i]));
  return load<L>(lanes);
}

template <class L, class U>
[[gnu::always_inline]] inline void store_lanes(U* to, Vector<L> values) {
  L lanes[kLanes<L>];
  store<L>(lanes, values);
  for (int i = 0; i < kLanes<L>; ++i) to[i] = static_cast<U>(lanes[i]);
}

/// The taps of one window that are inside, of some of its elements: `first` is the offset of the first one, `count` how many there are
/// along the line.
struct WindowTaps {
  std::int64_t num_rows, first, count, step;
};

template <class T>
[[gnu::always_inline]] inline void max_grad_block(const WindowTaps& taps, const T* const* x, Wide<T>* const* sums, const T* dy) {
  using L = Lane<T>;
  using Counts = Vector<CountOf<L>>;
  using Words = Vector<std::make_unsigned_t<CountOf<L>>>;
  Vector<L> best = load_lanes<L>(x[0] + taps.first);
  Counts place = {}, number = {};
  for (std::int64_t r = 0; r < taps.num_rows; ++r) {
    const T* tap = x[r] + taps.first;
    for (std::int64_t k = 0; k < taps.count; ++k, number += 1, tap += taps.step) {
      Vector<L> value = load_lanes<L>(tap);
      Counts better = value > best;
      // A NaN is larger than any number, and the first one stays.
      if constexpr (std::is_floating_point_v<L>) better = ~(value <= best) & (best == best);
      best = better ? value : best;
      place = better ? number : place;
    }
  }
  // Adding 0 elsewhere changes nothing: sums start at +0 and never become -0.
  Words gradient = (Words)load_lanes<L>(dy);
  number = Counts{};
  for (std::int64_t r = 0; r < taps.num_rows; ++r) {
    Wide<T>* sum = sums[r] + taps.first;
    for (std::int64_t k = 0; k < taps.count; ++k, number += 1, sum += taps.step) {
      Vector<L> old = load_lanes<L>(sum);
      Words part = gradient & (Words)(place == number);
      store_lanes<L>(sum, std::is_floating_point_v<L> ? old + (Vector<L>)part : (Vector<L>)((Words)old + part));
    }
  }
}

template <class T>
void max_grad_element(const WindowTaps& taps, const T* const* x, Wide<T>* const* sums, const T* dy) {
  Wide<T> best = widen(x[0][taps.first]);
  Wide<T>* place = sums[0] + taps.first;
  for (std::int64_t r = 0; r < taps.num_rows; ++r) {
    for (std::int64_t k = 0, at = taps.first; k < taps.count; ++k, at += taps.step) {
      Wide<T> value = widen(x[r][at]);
      bool better = value > best;
      if constexpr (std::is_floating_point_v<Wide<T>>) better = !(value <= best) && best == best;
      best = better ? value : best;
      place = better ? sums[r] + at : place;
    }
  }
  *place = add_wrapping(*place, widen(*dy));
}

template <class T>
void max_grad_line(const WindowLine& line, const T* const* x, Wide<T>* const* sums, std::int64_t num_rows, const T* dy) {
  constexpr std::int64_t width = kLanes<Lane<T>>;
  if (num_rows == 0) return;
  for (std::int64_t o = 0; o < line.windows; ++o, dy += line.row) {
    Taps inside = taps_of(line, o);
    if (inside.first >= inside.last) continue;
    WindowTaps taps{num_rows, (inside.position + inside.first) * line.row, inside.last - inside.first, line.row};
    std::int64_t at = 0;
    for (; at + width <= line.row; at += width, taps.first += width) max_grad_block<T>(taps, x, sums, dy + at);
    for (; at < line.row; ++at, ++taps.first) max_grad_element<T>(taps, x, sums, dy + at);
  }
}

}  // namespace

void window_reduce_line(const WindowLine& line, ReduceKind kind, const void* const* x, std::int64_t num_rows, void* to) {
  visit_dtype(line.dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (!std::is_same_v<T, bool>) {
      const T* const* rows = reinterpret_cast<const T* const*>(x);
      if (kind == ReduceKind::max) return reduce_line<ReduceKind::max>(line, rows, num_rows, static_cast<T*>(to));
      if (kind == ReduceKind::min) return reduce_line<ReduceKind::min>(line, rows, num_rows, static_cast<T*>(to));
      reduce_line<ReduceKind::add>(line, rows, num_rows, static_cast<T*>(to));
    }
  });
}

void window_max_grad_line(const WindowLine& line, const void* const* x, void* const* sums, std::int64_t num_rows, const void* dy) {
  visit_dtype(line.dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (!std::is_same_v<T, bool>) {
      max_grad_line<T>(line, reinterpret_cast<const T* const*>(x), reinterpret_cast<Wide<T>* const*>(sums), num_rows,
                       static_cast<const T*>(dy));
    }
  });
}

}  // namespace kiln::ops::KILN_ISA
