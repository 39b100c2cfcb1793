// Compile-time lists of op structs: how the vocabulary is iterated without listing names.
#pragma once

namespace kiln::ops {

template <class... Ops>
struct OpList {
  /// Calls f.template operator()<Op>() for each op, in order.
  template <class F>
  static constexpr void for_each(F&& f) {
    (f.template operator()<Ops>(), ...);
  }
};

template <class... Lists>
struct ConcatOpLists {
  using type = OpList<>;
};
template <class... A>
struct ConcatOpLists<OpList<A...>> {
  using type = OpList<A...>;
};
template <class... A, class... B, class... Rest>
struct ConcatOpLists<OpList<A...>, OpList<B...>, Rest...> {
  using type = typename ConcatOpLists<OpList<A..., B...>, Rest...>::type;
};

/// The ops of several lists in one.
template <class... Lists>
using Concat = typename ConcatOpLists<Lists...>::type;

}  // namespace kiln::ops
