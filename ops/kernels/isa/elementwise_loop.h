// The inner loop of elementwise kernels over lanes. Included by the parts elementwise_N.cpp only.
#pragma once
#include <tuple>
#include <type_traits>
#include <utility>

#include "ops/all_elementwise.h"
#include "ops/kernels/elementwise_run.h"
#include "ops/lanes.h"

namespace kiln::ops::KILN_ISA {

namespace detail {

/// Lanes that one step computes: as many as fill a register in the type that T computes in.
template <class T>
inline constexpr int kStep = kVectorBytes / static_cast<int>(sizeof(typename Element<T>::Lane));

/// Bytes of a lane of T.
template <class T>
inline constexpr int kLaneBytes = static_cast<int>(sizeof(typename Element<T>::Lane));

/// Operand `I` of an op over T is bool where the op selects and I is 0.
template <class Op, class T, std::size_t I>
using OperandType = std::conditional_t<Op::types == TypeRule::select && I == 0, bool, T>;

template <class T, int W, bool Full, class U>
KILN_INLINE auto load_operand(const U* p, int count) {
  if constexpr (std::same_as<U, bool>) {
    return load_mask<kLaneBytes<T>, W, Full>(p, count);
  } else {
    return load<W, Full>(p, count);
  }
}

/// One operand while a row is walked: a pointer that advances, or stays on a register's worth of copies of one element.
template <class U>
struct Cursor {
  const U* p;
  std::int64_t step;
};

template <class U, int W>
struct Copies {
  alignas(64) U element[W];
};

template <class U, int W>
KILN_INLINE Cursor<U> start_row(const void* row, bool single, Copies<U, W>& copies) {
  const U* p = static_cast<const U*>(row);
  if (!single) return {p, W};
  U value = *p;
  for (int i = 0; i < W; ++i) copies.element[i] = value;
  return {copies.element, 0};
}

/// Long chains of dependent operations go two vectors at a time, so that the chains alternate; pow of float32 is two by itself.
template <class Op, class T>
inline constexpr bool kPaired = Op::traits.cost >= 10 && is_floating(dtype_of<T>()) &&
                                (Op::types == TypeRule::floating || (Op::types == TypeRule::numeric && std::same_as<T, double>));

template <class Op, class T, class Indices>
struct Loop;

template <class Op, class T, std::size_t... I>
struct Loop<Op, T, std::index_sequence<I...>> {
  static constexpr int kVector = kStep<T>;
  static constexpr int W = kPaired<Op, T> ? 2 * kVector : kVector;
  using Result = std::conditional_t<result_dtype(Op::types, dtype_of<T>()) == DType::boolean, bool, T>;

  template <bool Full, class U>
  KILN_INLINE static auto operand(const U* p, int count) {
    if constexpr (W == kVector) {
      return load_operand<T, W, Full>(p, count);
    } else {
      const int first = part_count(count, kVector, 0), second = part_count(count, kVector, 1);
      return join(load_operand<T, kVector, Full>(p, first), load_operand<T, kVector, Full>(p + kVector, second));
    }
  }

  template <bool Full>
  KILN_INLINE static void step(const Cursor<OperandType<Op, T, I>>&... cursor, Result* out, int count) {
    const auto result = Op::scalar(operand<Full>(cursor.p, count)...);
    if constexpr (Op::traits.exact && std::same_as<Result, bfloat16>) {
      static_assert(W == kVector);
      store_exact<Full>(out, result, count);
    } else if constexpr (W == kVector) {
      store<Full>(out, result, count);
    } else {
      store<Full>(out, half(result, 0), part_count(count, kVector, 0));
      store<Full>(out + kVector, half(result, 1), part_count(count, kVector, 1));
    }
  }

  KILN_INLINE static void row(Cursor<OperandType<Op, T, I>>... cursor, Result* out, std::int64_t length) {
    std::int64_t whole = length / W;
    for (std::int64_t i = 0; i < whole; ++i) {
      step<true>(cursor..., out, W);
      ((cursor.p += cursor.step), ...);
      out += W;
    }
    if (whole * W < length) step<false>(cursor..., out, static_cast<int>(length - whole * W));
  }

  [[gnu::flatten]] static void run(const ElementwiseRun& run) {
    std::tuple<Copies<OperandType<Op, T, I>, W>...> copies;
    for (std::int64_t r = 0; r < run.rows; ++r) {
      row(start_row(static_cast<const char*>(run.operand[I]) + r * run.row_stride[I], run.single[I], std::get<I>(copies))...,
          reinterpret_cast<Result*>(static_cast<char*>(run.result) + r * run.result_stride), run.length);
    }
  }
};

template <class Op, class T>
constexpr ElementwiseLoop loop_of() {
  if constexpr (accepts(Op::types, dtype_of<T>())) {
    return Loop<Op, T, std::make_index_sequence<arity_of<Op>()>>::run;
  } else {
    return nullptr;
  }
}

/// In the order of DType.
template <class Op>
inline constexpr ElementwiseLoops kLoopsOf = {{loop_of<Op, bool>(), loop_of<Op, std::uint8_t>(), loop_of<Op, std::int8_t>(),
                                               loop_of<Op, std::int32_t>(), loop_of<Op, std::int64_t>(), loop_of<Op, float16>(),
                                               loop_of<Op, bfloat16>(), loop_of<Op, float>(), loop_of<Op, double>()}};

template <class... Ops>
std::tuple<std::type_identity<Ops>...> as_tuple(OpList<Ops...>);
template <std::size_t I>
using OpAt = typename std::tuple_element_t<I, decltype(as_tuple(AllElementwise{}))>::type;

/// The ops of one part, in order.
template <int Part, class Indices>
struct PartTable;
template <int Part, std::size_t... I>
struct PartTable<Part, std::index_sequence<I...>> {
  static constexpr ElementwiseLoops kTable[] = {kLoopsOf<OpAt<static_cast<std::size_t>(Part) + kElementwiseParts * I>>...};
};
template <int Part>
inline constexpr std::size_t kPartSize =
    (AllElementwise::size - static_cast<std::size_t>(Part) + kElementwiseParts - 1) / kElementwiseParts;

}  // namespace detail

/// Defined in elementwise_N.cpp.
template <int Part>
const ElementwiseLoops* elementwise_part_table();

}  // namespace kiln::ops::KILN_ISA

/// Defines the loops of part N: the whole content of a file elementwise_N.cpp.
#define KILN_ELEMENTWISE_PART(N)                                                         \
  namespace kiln::ops::KILN_ISA {                                                        \
  template <>                                                                            \
  const ElementwiseLoops* elementwise_part_table<N>() {                                  \
    return detail::PartTable<N, std::make_index_sequence<detail::kPartSize<N>>>::kTable; \
  }                                                                                      \
  }
