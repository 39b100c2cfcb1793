// Bodies of nn::Model's members.
#pragma once

namespace kiln::nn {

namespace detail {

template <class... A>
using LastOf = std::tuple_element_t<sizeof...(A), std::tuple<void, std::remove_cvref_t<A>...>>;

}  // namespace detail

template <class Net>
template <class... A>
auto Model<Net>::operator()(A&&... a) {
  static_assert(std::is_empty_v<Model>);
  auto& self = static_cast<Net&>(*this);
  if constexpr (std::same_as<detail::LastOf<A...>, Mode>) {
    auto all = std::forward_as_tuple(std::forward<A>(a)...);
    TrainingScope scope(std::get<sizeof...(A) - 1>(all).training);
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return (*this)(std::get<I>(std::move(all))...);
    }(std::make_index_sequence<sizeof...(A) - 1>{});
  } else {
    auto namer = detail::layer_namer();
    kiln::detail::walk(self, static_cast<kiln::detail::Visitor&>(namer));
    if constexpr (detail::Buildable<Net>) {
      bool missing = false;
      kiln::detail::for_each_member(self, [&](auto, auto& m) {
        if constexpr (std::same_as<std::remove_cvref_t<decltype(m)>, Variable>) missing |= !m.defined();
      });
      if (missing) {
        kiln::detail::BuildScope building;
        self.build(detail::first_shape(a...));
        kiln::detail::walk(self, static_cast<kiln::detail::Visitor&>(namer));
      }
    }
    return self.call(std::forward<A>(a)...);
  }
}

template <class Net>
Variables Model<Net>::trainable_variables(Loc where) {
  LocationScope scope(where);
  return detail::collect_variables([this](kiln::detail::Visitor& visitor) { kiln::detail::walk(static_cast<Net&>(*this), visitor); }, true);
}

template <class Net>
Variables Model<Net>::variables(Loc where) {
  LocationScope scope(where);
  return detail::collect_variables([this](kiln::detail::Visitor& visitor) { kiln::detail::walk(static_cast<Net&>(*this), visitor); },
                                   false);
}

template <class Net>
std::string Model<Net>::summary() {
  return detail::summarize([this](kiln::detail::Visitor& visitor) { kiln::detail::walk(static_cast<Net&>(*this), visitor); });
}

}  // namespace kiln::nn
