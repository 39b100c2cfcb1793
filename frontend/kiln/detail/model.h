// Bodies of nn::Model's members.
#pragma once

namespace kiln::nn {

template <class Net>
template <class... A>
auto Model<Net>::operator()(A&&... a) {
  static_assert(std::is_empty_v<Model>);
  auto& self = static_cast<Net&>(*this);
  if constexpr (sizeof...(A) > 0 && std::same_as<std::tuple_element_t<(sizeof...(A) ? sizeof...(A) - 1 : 0), std::tuple<std::remove_cvref_t<A>..., void>>, Mode>) {
    auto all = std::forward_as_tuple(std::forward<A>(a)...);
    TrainingScope scope(std::get<sizeof...(A) - 1>(all).training);
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return (*this)(std::get<I>(std::move(all))...); }(std::make_index_sequence<sizeof...(A) - 1>{});
  } else {
    kiln::detail::visit(self, "", [](const std::string& path, auto& leaf) {
      using Leaf = std::remove_cvref_t<decltype(leaf)>;
      if constexpr (std::derived_from<Leaf, Layer>) leaf.set_path(path);
    });
    if constexpr (detail::Buildable<Net>) {
      bool missing = false;
      kiln::detail::members(self, [&](auto, auto& m) {
        if constexpr (std::same_as<std::remove_cvref_t<decltype(m)>, Variable>) missing |= !m.defined();
      });
      if (missing) self.build(detail::first_shape(a...));
    }
    return self.call(std::forward<A>(a)...);
  }
}

template <class Net>
Variables Model<Net>::trainable_variables() {
  Variables out;
  auto add = [&](Variable& v) {
    for (const VariableRef& known : out) {
      if (known->id() == v.id()) return;
    }
    out.push_back(v);
  };
  kiln::detail::visit(static_cast<Net&>(*this), "", [&](const std::string& path, auto& leaf) {
    using Leaf = std::remove_cvref_t<decltype(leaf)>;
    if constexpr (std::same_as<Leaf, Variable>) {
      if (!leaf.defined()) detail::fail_not_built(path, "Variable");
      if (leaf.trainable()) add(leaf);
    } else if constexpr (std::derived_from<Leaf, Layer>) {
      if (!leaf.built()) detail::fail_not_built(path, leaf.kind());
      for (const Variable& v : leaf.weights()) {
        if (v.trainable()) add(const_cast<Variable&>(v));
      }
    }
  });
  return out;
}

template <class Net>
std::string Model<Net>::summary() {
  std::vector<detail::SummaryRow> rows;
  kiln::detail::visit(static_cast<Net&>(*this), "", [&](const std::string& path, auto& leaf) {
    using Leaf = std::remove_cvref_t<decltype(leaf)>;
    if constexpr (std::derived_from<Leaf, Layer>) {
      std::int64_t parameters = leaf.built() ? 0 : -1;
      if (leaf.built()) {
        for (const Variable& v : leaf.weights()) parameters += v.shape().count();
      }
      rows.push_back({path, leaf.kind(), leaf.output_shape(), parameters});
    } else if constexpr (std::same_as<Leaf, Variable>) {
      rows.push_back({path, "Variable", leaf.defined() ? leaf.shape() : Shape{}, leaf.defined() ? leaf.shape().count() : -1});
    }
  });
  return detail::summary(rows);
}

}  // namespace kiln::nn
