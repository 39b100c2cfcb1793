// Values in tests: made from numbers, read back as numbers, compared by bits.
#pragma once
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/half.h"
#include "graph/value.h"

namespace kiln::testing {

/// One number as it is stored in an element.
template <class T>
T to_element(double x) {
  if constexpr (std::same_as<T, float16>) {
    return to_float16(x);
  } else if constexpr (std::same_as<T, bfloat16>) {
    return to_bfloat16(x);
  } else {
    return static_cast<T>(x);
  }
}

template <class T>
double from_element(T x) {
  if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>) {
    return to_double(x);
  } else {
    return static_cast<double>(x);
  }
}

inline graph::Value tensor(Shape shape, const std::vector<double>& numbers, DType dtype = DType::float32) {
  runtime::Buffer buffer = runtime::Buffer::allocate(numbers.size() * size_of(dtype));
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    for (std::size_t i = 0; i < numbers.size(); ++i) static_cast<T*>(buffer.data())[i] = to_element<T>(numbers[i]);
  });
  return graph::Value::eager({dtype, shape}, buffer);
}

inline std::vector<double> numbers(const graph::Value& v) {
  runtime::Buffer buffer = v.buffer();
  std::vector<double> out(static_cast<std::size_t>(v.shape().count()));
  visit_dtype(v.dtype(), [&]<class T>(std::type_identity<T>) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = from_element(static_cast<const T*>(buffer.data())[i]);
  });
  return out;
}

/// Same type and same bits, where any NaN equals any NaN.
inline bool same_bits(const graph::Value& a, const graph::Value& b) {
  if (a.type() != b.type()) return false;
  runtime::Buffer left = a.buffer(), right = b.buffer();
  auto count = static_cast<std::size_t>(a.shape().count());
  return visit_dtype(a.dtype(), [&]<class T>(std::type_identity<T>) {
    for (std::size_t i = 0; i < count; ++i) {
      const T &x = static_cast<const T*>(left.data())[i], &y = static_cast<const T*>(right.data())[i];
      bool both_nan = std::isnan(from_element(x)) && std::isnan(from_element(y));
      if (!both_nan && std::memcmp(&x, &y, sizeof(T)) != 0) return false;
    }
    return true;
  });
}

/// Numbers in [low, high), the same for the same seed.
inline std::vector<double> random_numbers(std::size_t count, unsigned seed, double low = -2, double high = 2) {
  std::mt19937 generator(seed);
  std::vector<double> out(count);
  for (double& x : out) x = low + (high - low) * (static_cast<double>(generator()) / 4294967296.0);
  return out;
}

inline graph::Value random_tensor(Shape shape, unsigned seed, DType dtype = DType::float32, double low = -2, double high = 2) {
  return tensor(shape, random_numbers(static_cast<std::size_t>(shape.count()), seed, low, high), dtype);
}

}  // namespace kiln::testing
