// The order in which reductions add: one definition, followed by eager kernels, compiled code and any number of threads.
//
// Elements are numbered i = 0, 1, ... n - 1 by their row-major position within the reduced axes. Blocks of kReduceBlock elements are
// reduced one by one: lane i % L takes the block's elements in order, starting with its first; then halves of the lanes are combined, lane
// j with lane j + L/2, then with j + L/4, down to lane 0, where lanes without elements are skipped. The blocks' results are reduced in the
// same way, with the same L. L is kLanesRow where the tensor's innermost axis is among the reduced, else kLanesColumn. No elements give the
// kind's identity. The accumulator is float for float16 and bfloat16, else the element type; the result is rounded once. add adds plainly
// (no fma).
//
// A contraction takes one fma for each term in depth order, from +0. Holes of a dilated operand are skipped. Padding adds nothing: it is
// skipped where at least kRowsToSkipPadding rows share each set of taps on average, else it is a zero that takes part; operands of fewer
// than 32 bits always get zeros. That matters for operands that are not finite only (0 * infinity), and it is decided by shape and type
// alone.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace kiln::ops {

inline constexpr std::int64_t kReduceBlock = 4096;
inline constexpr int kLanesRow = 64;
inline constexpr int kLanesColumn = 4;
inline constexpr std::int64_t kRowsToSkipPadding = 4;

enum class ReduceKind : std::uint8_t { add, mul, max, min, logical_and, logical_or };

/// Lanes of a reduction over `axes` (ascending) of a tensor of that rank.
template <class Axes>
int reduce_lanes(int rank, const Axes& axes) {
  return axes.size() > 0 && axes[axes.size() - 1] == rank - 1 ? kLanesRow : kLanesColumn;
}

/// The value that changes no other: an absent lane may hold it. -0.0 for add, because -0.0 + x is x for every x.
template <class T>
constexpr T skip_value(ReduceKind kind) {
  using Limits = std::numeric_limits<T>;
  switch (kind) {
    case ReduceKind::add:
      return std::is_floating_point_v<T> ? static_cast<T>(-0.0) : T{};
    case ReduceKind::mul:
    case ReduceKind::logical_and:
      return static_cast<T>(1);
    case ReduceKind::max:
      return Limits::has_infinity ? static_cast<T>(-Limits::infinity()) : Limits::lowest();
    case ReduceKind::min:
      return Limits::has_infinity ? Limits::infinity() : Limits::max();
    case ReduceKind::logical_or:
      break;
  }
  return T{};
}

/// The result of reducing nothing.
template <class T>
constexpr T empty_value(ReduceKind kind) {
  return kind == ReduceKind::add ? T{} : skip_value<T>(kind);
}

namespace detail {

/// Reduces each block of n elements to one result.
template <class T, class Element, class Combine>
std::vector<T> reduce_blocks_in_order(int lanes, std::int64_t n, const Element& element, const Combine& combine) {
  std::vector<T> results;
  for (std::int64_t begin = 0; begin < n; begin += kReduceBlock) {
    std::int64_t count = std::min(kReduceBlock, n - begin);
    T lane[kLanesRow];
    for (std::int64_t i = 0; i < count; ++i) {
      T value = element(begin + i);
      lane[i % lanes] = i < lanes ? value : combine(lane[i % lanes], value);
    }
    for (int half = lanes / 2; half > 0; half /= 2) {
      for (int j = 0; j < half && j + half < count; ++j) lane[j] = combine(lane[j], lane[j + half]);
    }
    results.push_back(lane[0]);
  }
  return results;
}

}  // namespace detail

/// The definition above as plain code: element(i) gives the i-th of n elements, combine(a, b) one step. For tests and scalar paths.
template <class T, class Element, class Combine>
T reduce_in_order(ReduceKind kind, int lanes, std::int64_t n, const Element& element, const Combine& combine) {
  if (n == 0) return empty_value<T>(kind);
  std::vector<T> results = detail::reduce_blocks_in_order<T>(lanes, n, element, combine);
  while (results.size() > 1) {
    auto previous = [&](std::int64_t i) { return results[static_cast<std::size_t>(i)]; };
    results = detail::reduce_blocks_in_order<T>(lanes, static_cast<std::int64_t>(results.size()), previous, combine);
  }
  return results[0];
}

}  // namespace kiln::ops
