// Values, guarded buffers and comparisons for the tests of elementwise ops.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/target.h"
#include "ops/elementwise.h"
#include "ops/kernels/elementwise_driver.h"

namespace kiln::test {

inline constexpr DType kDTypes[] = {DType::boolean, DType::uint8,    DType::int8,    DType::int32,  DType::int64,
                                    DType::float16, DType::bfloat16, DType::float32, DType::float64};

/// ISA levels that this CPU and KILN_TARGET allow.
inline std::vector<Isa> isa_levels() {
  std::vector<Isa> levels = {Isa::baseline};
  if (current_target().isa >= Isa::avx2) levels.push_back(Isa::avx2);
  if (current_target().isa >= Isa::avx512) levels.push_back(Isa::avx512);
  return levels;
}

/// A tensor between guard bytes, poisoned; misaligned by one element so that kernels cannot count on alignment.
class Guarded {
 public:
  Guarded(DType t, Shape shape)
      : dtype_(t),
        shape_(shape),
        bytes_(static_cast<std::size_t>(shape.count()) * size_of(t)),
        memory_(kGuard + bytes_ + kGuard, kPoison) {}

  void* data() { return memory_.data() + kGuard; }
  ops::View view() { return {data(), dtype_, shape_}; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::size_t count() const { return bytes_ / size_of(dtype_); }
  std::string bits() const { return std::string(reinterpret_cast<const char*>(memory_.data()) + kGuard, bytes_); }

  bool guards_hold() const {
    auto poison = [](std::uint8_t b) { return b == kPoison; };
    return std::all_of(memory_.begin(), memory_.begin() + kGuard, poison) && std::all_of(memory_.end() - kGuard, memory_.end(), poison);
  }

  double at(std::size_t i) {
    return visit_dtype(dtype_, [&]<class T>(std::type_identity<T>) {
      T x;
      std::memcpy(&x, static_cast<char*>(data()) + i * sizeof(T), sizeof(T));
      if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>)
        return to_double(x);
      else
        return static_cast<double>(x);
    });
  }

  void set(std::size_t i, double value) {
    visit_dtype(dtype_, [&]<class T>(std::type_identity<T>) {
      T x;
      if constexpr (std::same_as<T, float16>)
        x = to_float16(value);
      else if constexpr (std::same_as<T, bfloat16>)
        x = to_bfloat16(value);
      else if constexpr (std::integral<T>)
        x = value >= static_cast<double>(std::numeric_limits<T>::max()) ? std::numeric_limits<T>::max() : static_cast<T>(value);
      else
        x = static_cast<T>(value);
      std::memcpy(static_cast<char*>(data()) + i * sizeof(T), &x, sizeof(T));
    });
  }

  std::vector<double> values() {
    std::vector<double> all;
    for (std::size_t i = 0; i < count(); ++i) all.push_back(at(i));
    return all;
  }

 private:
  static constexpr std::size_t kGuard = 72;  // 64 + 8: no register's alignment
  static constexpr std::uint8_t kPoison = 0xA7;
  DType dtype_;
  Shape shape_;
  std::size_t bytes_;
  std::vector<std::uint8_t> memory_;
};

/// Values where ops go wrong: zeros, extremes, denormals, infinities, NaN, halves, powers of two and their neighbours.
inline std::vector<double> edge_values(DType t) {
  if (t == DType::boolean) return {0, 1};
  if (t == DType::uint8) return {0, 1, 2, 3, 7, 127, 128, 254, 255};
  if (t == DType::int8) return {0, 1, -1, 2, -2, 3, -7, 126, 127, -127, -128};
  if (t == DType::int32) return {0, 1, -1, 2, -2, 3, -7, 31, 32, 65536, 2147483647.0, -2147483647.0, -2147483648.0};
  if (t == DType::int64) return {0, 1, -1, 2, -2, 3, -7, 63, 64, 65536, 0x1p32, 0x1p53, -0x1p53, -0x1p63};
  std::vector<double> all = {0.0,
                             1.0,
                             1.5,
                             2.0,
                             2.5,
                             0.5,
                             0.25,
                             3.0,
                             7.0,
                             10.0,
                             0.1,
                             1e-3,
                             88.0,
                             89.0,
                             104.0,
                             20.0,
                             0.3,
                             0.625,
                             0.7071067811865476,
                             1e4,
                             0x1p23,
                             0x1p24,
                             ops::kInfinity};
  double smallest = t == DType::float16 ? 0x1p-24 : t == DType::bfloat16 ? 0x1p-133 : t == DType::float32 ? 0x1p-149 : 0x1p-1074;
  double normal = t == DType::float16 ? 0x1p-14 : t == DType::float64 ? 0x1p-1022 : 0x1p-126;
  double largest = t == DType::float16    ? 65504.0
                   : t == DType::bfloat16 ? 0x1.fep127
                   : t == DType::float32  ? 0x1.fffffep127
                                          : 0x1.fffffffffffffp1023;
  double step = t == DType::float16 ? 0x1p-10 : t == DType::bfloat16 ? 0x1p-7 : t == DType::float32 ? 0x1p-23 : 0x1p-52;
  for (double x : {smallest, 3 * smallest, normal - smallest, normal, largest, largest / 2, 1 + step, 1 - step / 2}) all.push_back(x);
  std::size_t positive = all.size();
  for (std::size_t i = 0; i < positive; ++i) all.push_back(-all[i]);
  all.push_back(ops::kNan);
  return all;
}

/// A random value: any bit pattern half of the time, else one of moderate size.
inline double random_value(DType t, std::mt19937_64& random) {
  std::uint64_t bits = random();
  double moderate = static_cast<double>(static_cast<std::int64_t>(random())) * 0x1p-60;  // -8 ... 8
  if (t == DType::boolean) return static_cast<double>(bits & 1);
  if (t == DType::uint8) return static_cast<double>(bits & 255);
  if (t == DType::int8) return static_cast<std::int8_t>(bits);
  if (t == DType::int32) return (bits >> 40 & 1) != 0 ? static_cast<std::int32_t>(bits) : std::trunc(moderate * 4);
  if (t == DType::int64)
    return (bits >> 40 & 1) != 0 ? static_cast<double>(static_cast<std::int64_t>(bits) >> 11) : std::trunc(moderate * 4);
  if ((random() & 1) != 0) return moderate;
  if (t == DType::float16) return to_double(float16{static_cast<std::uint16_t>(bits)});
  if (t == DType::bfloat16) return to_double(bfloat16{static_cast<std::uint16_t>(bits)});
  if (t == DType::float32) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  return std::bit_cast<double>(bits);
}

inline DType operand_dtype(const ops::OpDef& op, int operand, DType t) {
  return op.types == ops::TypeRule::select && operand == 0 ? DType::boolean : t;
}

/// At most so many combinations of edge values are tried.
inline constexpr std::int64_t kMaxCombinations = 60000;

/// Operands of `op` over dtype t with the given number of elements: all combinations of edge values first, then random ones.
/// Integer divisors are never zero.
inline std::vector<Guarded> operands_for(const ops::OpDef& op, DType t, std::int64_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Guarded> operands;
  for (int k = 0; k < op.arity; ++k) operands.emplace_back(operand_dtype(op, k, t), Shape{count});
  std::vector<std::vector<double>> edges;
  std::int64_t combinations = 1;
  for (Guarded& g : operands) {
    edges.push_back(edge_values(g.dtype()));
    combinations *= static_cast<std::int64_t>(edges.back().size());
  }
  combinations = std::min(combinations, kMaxCombinations);
  for (std::int64_t i = 0; i < count; ++i) {
    auto rest = static_cast<std::size_t>(i);
    for (std::size_t k = 0; k < operands.size(); ++k) {
      double x = i < combinations ? edges[k][rest % edges[k].size()] : random_value(operands[k].dtype(), random);
      rest /= edges[k].size();
      if (op.traits.fallible && k == 1 && !is_floating(t) && x == 0) x = 3;
      operands[k].set(static_cast<std::size_t>(i), x);
    }
  }
  return operands;
}

/// Number of edge combinations of the op's operands, and some random ones.
inline std::int64_t useful_count(const ops::OpDef& op, DType t) {
  std::int64_t count = 1;
  for (int k = 0; k < op.arity; ++k) count *= static_cast<std::int64_t>(edge_values(operand_dtype(op, k, t)).size());
  return std::min(count, kMaxCombinations) + 5000;
}

inline std::vector<ops::View> views(std::vector<Guarded>& operands) {
  std::vector<ops::View> all;
  for (Guarded& g : operands) all.push_back(g.view());
  return all;
}

inline TensorType result_type(const ops::OpDef& op, std::vector<Guarded>& operands) {
  std::vector<TensorType> types;
  for (Guarded& g : operands) types.push_back({g.dtype(), g.shape()});
  return op.infer(op, types, {});
}

inline Guarded run(Isa isa, const ops::OpDef& op, std::vector<Guarded>& operands) {
  TensorType type = result_type(op, operands);
  Guarded result(type.dtype, type.shape);
  ops::elementwise_kernel_at(isa, op, views(operands), result.view());
  return result;
}

inline std::vector<double> reference(const ops::OpDef& op, std::vector<Guarded>& operands) {
  std::vector<TensorType> types;
  std::vector<std::vector<double>> values;
  for (Guarded& g : operands) {
    types.push_back({g.dtype(), g.shape()});
    values.push_back(g.values());
  }
  std::vector<double> result;
  op.reference(op, types, values, result_type(op, operands), result, {});
  return result;
}

/// Unit in the last place of t at |x|.
inline double ulp_at(DType t, double x) {
  int digits = t == DType::float16 ? 11 : t == DType::bfloat16 ? 8 : t == DType::float32 ? 24 : 53;
  int lowest = t == DType::float16 ? -24 : t == DType::bfloat16 ? -133 : t == DType::float32 ? -149 : -1074;
  int exponent = 0;
  std::frexp(x, &exponent);
  return std::ldexp(1.0, std::max(exponent - digits, lowest));
}

/// `x` rounded to t.
inline double rounded(DType t, double x) {
  if (t == DType::float16) return to_double(to_float16(x));
  if (t == DType::bfloat16) return to_double(to_bfloat16(x));
  if (t == DType::float32) return static_cast<float>(x);
  return x;
}

/// Distance of `got` from the exact `want` in ulps of t; infinite where one is NaN or infinite and the other is not, or a zero has the
/// wrong sign.
inline double ulp_distance(DType t, double got, double want) {
  double nearest = rounded(t, want);
  if (std::isnan(got) || std::isnan(nearest)) return std::isnan(got) && std::isnan(nearest) ? 0 : ops::kInfinity;
  if (got == nearest) return got == 0 && std::signbit(got) != std::signbit(nearest) ? ops::kInfinity : 0;
  if (std::isinf(got) || std::isinf(nearest)) {
    // Overflow may set in one rounding earlier or later.
    double finite = std::isinf(got) ? nearest : got;
    double largest = rounded(t, finite);
    bool neighbour =
        !std::isinf(finite) && std::signbit(got) == std::signbit(nearest) && std::isinf(rounded(t, largest + 4 * ulp_at(t, largest)));
    return neighbour ? 1 : ops::kInfinity;
  }
  return std::fabs(got - want) / ulp_at(t, nearest);
}

}  // namespace kiln::test
