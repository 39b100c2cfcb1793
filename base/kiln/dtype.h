// Element types of tensors.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace kiln {

/// Element type of a tensor. float16 and bfloat16 compute in float32 and round once per op.
enum class DType : std::uint8_t { boolean, uint8, int8, int32, int64, float16, bfloat16, float32, float64 };

inline constexpr int kDTypeCount = 9;

/// IEEE binary16 and bfloat16 as stored: bits only, converted by base/half.h.
struct float16 {
  std::uint16_t bits = 0;
  friend constexpr bool operator==(float16, float16) = default;
};
struct bfloat16 {
  std::uint16_t bits = 0;
  friend constexpr bool operator==(bfloat16, bfloat16) = default;
};

/// A C++ number that converts to a tensor element.
template <class T>
concept Scalar = std::is_arithmetic_v<T>;

/// "float32", "bool", ...
constexpr std::string_view name(DType t) {
  constexpr std::string_view names[] = {"bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64"};
  return names[static_cast<int>(t)];
}

/// Bytes of one element.
constexpr std::size_t size_of(DType t) {
  constexpr std::size_t sizes[] = {1, 1, 1, 4, 8, 2, 2, 4, 8};
  return sizes[static_cast<int>(t)];
}

constexpr bool is_floating(DType t) { return t >= DType::float16; }
constexpr bool is_integer(DType t) { return t >= DType::uint8 && t <= DType::int64; }

/// The DType that stores T: bool, uint8_t, int8_t, int32_t, int64_t (and every integer of those sizes), float16, bfloat16, float, double.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::same_as<T, bool>)
    return DType::boolean;
  else if constexpr (std::same_as<T, float16>)
    return DType::float16;
  else if constexpr (std::same_as<T, bfloat16>)
    return DType::bfloat16;
  else if constexpr (std::same_as<T, float>)
    return DType::float32;
  else if constexpr (std::same_as<T, double>)
    return DType::float64;
  else {
    static_assert(std::integral<T> && (sizeof(T) == 1 || sizeof(T) == 4 || sizeof(T) == 8), "kiln: no dtype stores this C++ type");
    if constexpr (sizeof(T) == 8)
      return DType::int64;
    else if constexpr (sizeof(T) == 4)
      return DType::int32;
    else
      return std::is_signed_v<T> ? DType::int8 : DType::uint8;
  }
}

/// Calls f(std::type_identity<T>{}) with the C++ type that stores `t`.
template <class F>
decltype(auto) visit_dtype(DType t, F&& f) {
  switch (t) {
    case DType::boolean:
      return f(std::type_identity<bool>{});
    case DType::uint8:
      return f(std::type_identity<std::uint8_t>{});
    case DType::int8:
      return f(std::type_identity<std::int8_t>{});
    case DType::int32:
      return f(std::type_identity<std::int32_t>{});
    case DType::int64:
      return f(std::type_identity<std::int64_t>{});
    case DType::float16:
      return f(std::type_identity<float16>{});
    case DType::bfloat16:
      return f(std::type_identity<bfloat16>{});
    case DType::float32:
      return f(std::type_identity<float>{});
    case DType::float64:
      break;
  }
  return f(std::type_identity<double>{});
}

}  // namespace kiln
