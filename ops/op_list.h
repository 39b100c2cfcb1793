// Compile-time lists of op structs: how the vocabulary is iterated without listing names.
#pragma once
#include <cstddef>
#include <type_traits>

namespace kiln::ops {

/// A compile-time list of op structs.
template <class... Ops>
struct OpList {
  static constexpr std::size_t size = sizeof...(Ops);
};

namespace detail {

template <class... Lists>
struct ConcatLists;
template <>
struct ConcatLists<> {
  using type = OpList<>;
};
template <class... A>
struct ConcatLists<OpList<A...>> {
  using type = OpList<A...>;
};
template <class... A, class... B, class... Rest>
struct ConcatLists<OpList<A...>, OpList<B...>, Rest...> {
  using type = typename ConcatLists<OpList<A..., B...>, Rest...>::type;
};

}  // namespace detail

/// The ops of all lists, in order.
template <class... Lists>
using Concat = typename detail::ConcatLists<Lists...>::type;

/// Calls f(std::type_identity<Op>{}) for each op of the list, in order.
template <class F, class... Ops>
constexpr void for_each_op(OpList<Ops...>, F&& f) {
  (f(std::type_identity<Ops>{}), ...);
}

}  // namespace kiln::ops
