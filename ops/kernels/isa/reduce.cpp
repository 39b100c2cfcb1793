// Blocks of reductions in the order of ops/numeric_order.h. Absent lanes hold the value that changes no other.
#include "ops/kernels/reduce.h"

#include <type_traits>

#include "base/half.h"
#include "ops/kernels/isa/vectors.h"

namespace kiln::ops::KILN_ISA {
namespace {

/// Elements of a row up to which several rows side by side beat one at a time.
constexpr std::int64_t kShortRow = 32;

template <class T>
struct BitsOf {
  using type = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;
};

/// One step on vectors. max and min are IEEE 754-2019 maximum and minimum: NaN wins, +0 is above -0.
template <ReduceKind kind, class T>
[[gnu::always_inline]] inline Vector<T> combine(Vector<T> a, Vector<T> b) {
  using Bits = Vector<typename BitsOf<T>::type>;
  if constexpr (kind == ReduceKind::add) {
    return a + b;
  } else if constexpr (kind == ReduceKind::mul) {
    return a * b;
  } else if constexpr (kind == ReduceKind::max) {
    Vector<T> larger = a > b ? a : b;
    if constexpr (std::is_floating_point_v<T>) {
      larger = a == b ? (Vector<T>)((Bits)a & (Bits)b) : larger;
      larger = a != a ? a : larger;
    }
    return larger;
  } else {
    Vector<T> smaller = a < b ? a : b;
    if constexpr (std::is_floating_point_v<T>) {
      smaller = a == b ? (Vector<T>)((Bits)a | (Bits)b) : smaller;
      smaller = a != a ? a : smaller;
    }
    return smaller;
  }
}

template <ReduceKind kind, class T>
[[gnu::always_inline]] inline T combine_scalar(T a, T b) {
  return combine<kind, T>(splat<T>(a), splat<T>(b))[0];
}

/// Floats: 64 lanes in registers.
template <ReduceKind kind, class T>
T row_of_floats(const T* from, std::int64_t count) {
  constexpr int width = kLanes<T>;
  constexpr int vectors = kLanesRow / width;
  alignas(64) T edge[kLanesRow];
  auto load_edge = [&](const T* p, std::int64_t n) {
    for (int i = 0; i < kLanesRow; ++i) edge[i] = skip_value<T>(kind);
    for (std::int64_t i = 0; i < n; ++i) edge[i] = p[i];
  };
  const T* first = from;
  if (count < kLanesRow) {
    load_edge(from, count);
    first = edge;
  }
  Vector<T> lanes[vectors];
  for (int v = 0; v < vectors; ++v) lanes[v] = load<T>(first + v * width);
  std::int64_t i = kLanesRow;
  for (; i + kLanesRow <= count; i += kLanesRow) {
    for (int v = 0; v < vectors; ++v) lanes[v] = combine<kind, T>(lanes[v], load<T>(from + i + v * width));
  }
  if (i < count) {
    load_edge(from + i, count - i);
    for (int v = 0; v < vectors; ++v) lanes[v] = combine<kind, T>(lanes[v], load<T>(edge + v * width));
  }
  for (int half = vectors / 2; half > 0; half /= 2) {
    for (int v = 0; v < half; ++v) lanes[v] = combine<kind, T>(lanes[v], lanes[v + half]);
  }
  store<T>(edge, lanes[0]);
  for (int half = width / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) edge[j] = combine_scalar<kind, T>(edge[j], edge[j + half]);
  }
  return edge[0];
}

/// Rows of `count` <= kLanesRow floats that lie end to end, one row a lane. Lanes of the order that no element reaches would change
/// nothing.
template <ReduceKind kind, class T>
void short_rows_of_floats(const T* from, std::int64_t count, std::int64_t rows, T* to) {
  constexpr int width = kLanes<T>;
  alignas(64) T lanes[kLanesRow][width];
  for (std::int64_t first = 0; first < rows; first += width) {
    std::int64_t group = rows - first < width ? rows - first : width;
    for (std::int64_t r = 0; r < group; ++r) {
      for (std::int64_t i = 0; i < count; ++i) lanes[i][r] = from[(first + r) * count + i];
    }
    std::int64_t left = count;
    for (std::int64_t half = kLanesRow / 2; half > 0; half /= 2) {
      for (std::int64_t i = 0; i + half < left; ++i) store<T>(lanes[i], combine<kind, T>(load<T>(lanes[i]), load<T>(lanes[i + half])));
      left = left < half ? left : half;
    }
    for (std::int64_t r = 0; r < group; ++r) to[first + r] = lanes[0][r];
  }
}

/// Wrapping integers: every order gives the same bits.
template <ReduceKind kind, class T>
T combine_integers(T a, T b) {
  using U = std::make_unsigned_t<T>;
  if constexpr (kind == ReduceKind::add) {
    return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
  } else if constexpr (kind == ReduceKind::mul) {
    return static_cast<T>(static_cast<U>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b)));
  } else if constexpr (kind == ReduceKind::max) {
    return a > b ? a : b;
  } else {
    return a < b ? a : b;
  }
}

template <ReduceKind kind, class T>
T row_of_integers(const T* from, std::int64_t count) {
  T result = from[0];
  for (std::int64_t i = 1; i < count; ++i) result = combine_integers<kind, T>(result, from[i]);
  return result;
}

/// A tile of `vectors` vectors of columns over all rows, kLanesColumn lanes; `partial` columns in the last vector unless full.
template <ReduceKind kind, class T, int vectors, bool partial>
[[gnu::always_inline]] inline void column_tile(const T* from, const std::int64_t* offsets, std::int64_t count, std::int64_t last, T* to) {
  constexpr int width = kLanes<T>;
  LaneMask<T> mask(partial ? last : 0);
  auto read = [&](std::int64_t row, int v) {
    const T* p = from + offsets[row] + v * width;
    return partial && v == vectors - 1 ? load_partial<T>(p, mask) : load<T>(p);
  };
  Vector<T> lanes[kLanesColumn][vectors];
  for (int lane = 0; lane < kLanesColumn; ++lane) {
    for (int v = 0; v < vectors; ++v) lanes[lane][v] = lane < count ? read(lane, v) : splat<T>(skip_value<T>(kind));
  }
  std::int64_t i = kLanesColumn;
  for (; i + kLanesColumn <= count; i += kLanesColumn) {
#pragma GCC unroll 4
    for (int lane = 0; lane < kLanesColumn; ++lane) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) lanes[lane][v] = combine<kind, T>(lanes[lane][v], read(i + lane, v));
    }
  }
  // Constant lane indices keep the accumulators in registers.
#pragma GCC unroll 4
  for (int lane = 0; lane < kLanesColumn; ++lane) {
    if (i + lane >= count) continue;
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) lanes[lane][v] = combine<kind, T>(lanes[lane][v], read(i + lane, v));
  }
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    Vector<T> even = combine<kind, T>(lanes[0][v], lanes[2][v]), odd = combine<kind, T>(lanes[1][v], lanes[3][v]);
    Vector<T> result = combine<kind, T>(even, odd);
    if (partial && v == vectors - 1) {
      store_partial<T>(to + v * width, result, mask);
    } else {
      store<T>(to + v * width, result);
    }
  }
}

template <ReduceKind kind, class T>
void columns_of_floats(const T* from, const std::int64_t* offsets, std::int64_t count, std::int64_t cols, T* to) {
  constexpr int width = kLanes<T>;
  constexpr int vectors = kVectorBytes == 64 ? 4 : 2;
  std::int64_t c = 0;
  for (; c + vectors * width <= cols; c += vectors * width) column_tile<kind, T, vectors, false>(from + c, offsets, count, 0, to + c);
  for (; c + width <= cols; c += width) column_tile<kind, T, 1, false>(from + c, offsets, count, 0, to + c);
  if (c < cols) column_tile<kind, T, 1, true>(from + c, offsets, count, cols - c, to + c);
}

template <ReduceKind kind, class T>
void columns_of_integers(const T* from, const std::int64_t* offsets, std::int64_t count, std::int64_t cols, T* to) {
  for (std::int64_t c = 0; c < cols; ++c) to[c] = from[offsets[0] + c];
  for (std::int64_t i = 1; i < count; ++i) {
    const T* row = from + offsets[i];
    for (std::int64_t c = 0; c < cols; ++c) to[c] = combine_integers<kind, T>(to[c], row[c]);
  }
}

inline float widen(kiln::float16 x) { return to_float(x); }
inline float widen(kiln::bfloat16 x) { return to_float(x); }

template <ReduceKind kind, class H>
float row_of_halves(const H* from, std::int64_t count) {
  alignas(64) float wide[kReduceBlock];
  for (std::int64_t i = 0; i < count; ++i) wide[i] = widen(from[i]);
  return row_of_floats<kind, float>(wide, count);
}

/// Widens a few columns at a time.
template <ReduceKind kind, class H>
void columns_of_halves(const H* from, const std::int64_t* offsets, std::int64_t count, std::int64_t cols, float* to) {
  constexpr std::int64_t strip = 8;
  alignas(64) float wide[kReduceBlock * strip];
  std::int64_t rows[kReduceBlock];
  for (std::int64_t c = 0; c < cols; c += strip) {
    std::int64_t n = cols - c < strip ? cols - c : strip;
    for (std::int64_t i = 0; i < count; ++i) {
      rows[i] = i * n;
      for (std::int64_t j = 0; j < n; ++j) wide[i * n + j] = widen(from[offsets[i] + c + j]);
    }
    columns_of_floats<kind, float>(wide, rows, count, n, to + c);
  }
}

template <ReduceKind kind, class T>
void row(const void* from, std::int64_t count, void* to) {
  const T* x = static_cast<const T*>(from);
  if constexpr (std::is_floating_point_v<T>) {
    *static_cast<T*>(to) = row_of_floats<kind, T>(x, count);
  } else if constexpr (std::is_integral_v<T>) {
    *static_cast<T*>(to) = row_of_integers<kind, T>(x, count);
  } else {
    *static_cast<float*>(to) = row_of_halves<kind, T>(x, count);
  }
}

template <ReduceKind kind, class T>
void rows(const void* from, std::int64_t count, std::int64_t n, void* to) {
  if constexpr (std::is_floating_point_v<T>) {
    if (count <= kShortRow) return short_rows_of_floats<kind, T>(static_cast<const T*>(from), count, n, static_cast<T*>(to));
  }
  using Sum = std::conditional_t<std::is_arithmetic_v<T>, T, float>;
  for (std::int64_t i = 0; i < n; ++i) row<kind, T>(static_cast<const T*>(from) + i * count, count, static_cast<Sum*>(to) + i);
}

template <ReduceKind kind, class T>
void columns(const void* from, const std::int64_t* offsets, std::int64_t count, std::int64_t cols, void* to) {
  const T* x = static_cast<const T*>(from);
  if constexpr (std::is_floating_point_v<T>) {
    columns_of_floats<kind, T>(x, offsets, count, cols, static_cast<T*>(to));
  } else if constexpr (std::is_integral_v<T>) {
    columns_of_integers<kind, T>(x, offsets, count, cols, static_cast<T*>(to));
  } else {
    columns_of_halves<kind, T>(x, offsets, count, cols, static_cast<float*>(to));
  }
}

/// Calls f.operator()<kind, T>(); bool is 0 or 1 in a byte, so that `and` is min and `or` is max.
template <class F>
void with_types(DType dtype, ReduceKind kind, const F& f) {
  auto with_kind = [&]<class T>() {
    switch (kind) {
      case ReduceKind::add:
        return f.template operator()<ReduceKind::add, T>();
      case ReduceKind::mul:
        return f.template operator()<ReduceKind::mul, T>();
      case ReduceKind::max:
      case ReduceKind::logical_or:
        return f.template operator()<ReduceKind::max, T>();
      case ReduceKind::min:
      case ReduceKind::logical_and:
        return f.template operator()<ReduceKind::min, T>();
    }
  };
  switch (dtype) {
    case DType::boolean:
    case DType::uint8:
      return with_kind.template operator()<std::uint8_t>();
    case DType::int8:
      return with_kind.template operator()<std::int8_t>();
    case DType::int32:
      return with_kind.template operator()<std::int32_t>();
    case DType::int64:
      return with_kind.template operator()<std::int64_t>();
    case DType::float16:
      return with_kind.template operator()<kiln::float16>();
    case DType::bfloat16:
      return with_kind.template operator()<kiln::bfloat16>();
    case DType::float32:
      return with_kind.template operator()<float>();
    case DType::float64:
      return with_kind.template operator()<double>();
  }
}

}  // namespace

void reduce_row(DType dtype, ReduceKind kind, const void* from, std::int64_t count, void* accumulator) {
  with_types(dtype, kind, [&]<ReduceKind k, class T>() { row<k, T>(from, count, accumulator); });
}

void reduce_short_rows(DType dtype, ReduceKind kind, const void* from, std::int64_t count, std::int64_t n, void* accumulators) {
  with_types(dtype, kind, [&]<ReduceKind k, class T>() { rows<k, T>(from, count, n, accumulators); });
}

void reduce_columns(DType dtype, ReduceKind kind, const void* from, const std::int64_t* offsets, std::int64_t count, std::int64_t cols,
                    void* accumulators) {
  with_types(dtype, kind, [&]<ReduceKind k, class T>() { columns<k, T>(from, offsets, count, cols, accumulators); });
}

}  // namespace kiln::ops::KILN_ISA
