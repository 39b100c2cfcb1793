// Finds the members of a user's struct, with their names, and walks nests of containers, structs, tensors and variables.
#pragma once
#include <kiln/tensor.h>
#include <kiln/variable.h>

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace kiln {

template <class Signature>
class Function;
template <class Signature>
class Method;
template <class F>
class GenericFunction;

namespace nn {
template <class Net>
struct Model;
}

namespace detail {

// ---- Members of an aggregate.

struct Anything {
  template <class T>
  operator T() const;  // not constexpr: that would warn "inline function used but never defined"
};

template <class T, class Base, std::size_t N>
consteval bool initializable() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    if constexpr (std::is_void_v<Base>)
      return requires { T{(void(I), Anything{})...}; };
    else
      return requires { T{Base{}, (void(I), Anything{})...}; };
  }(std::make_index_sequence<N>{});
}

/// Between low (possible) and high (not): by bisection, so that a struct of 64 members costs seven probes.
template <class T, class Base, std::size_t low, std::size_t high>
consteval std::size_t count_between() {
  if constexpr (high - low <= 1)
    return low;
  else if constexpr (initializable<T, Base, (low + high) / 2>())
    return count_between<T, Base, (low + high) / 2, high>();
  else
    return count_between<T, Base, low, (low + high) / 2>();
}

template <class T, class Base, std::size_t from>
consteval std::size_t count_down() {
  if constexpr (from == 0 || initializable<T, Base, from>())
    return from;
  else
    return count_down<T, Base, from - 1>();
}

inline constexpr std::size_t kMostMembers = 64;

/// Members of the aggregate T after its empty base. One that must be initialized leaves no monotone predicate to bisect.
template <class T, class Base>
consteval std::size_t count_members() {
  static_assert(!initializable<T, Base, kMostMembers + 1>(), "kiln: more than 64 members; use KILN_MEMBERS(...)");
  if constexpr (initializable<T, Base, 0>())
    return count_between<T, Base, 0, kMostMembers + 1>();
  else
    return count_down<T, Base, kMostMembers>();
}

template <class T>
struct Wrap {
  T value;
};
template <class P>
struct Pointer {
  P p;
};

#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-var-template"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif
template <class T>
extern const Wrap<T> no_object;

/// The name of the member to which P points, cut out of the compiler's name of this function.
template <Pointer P>
consteval std::string_view field_name() {
  const std::string_view text = __PRETTY_FUNCTION__;
#ifdef __clang__
  const auto end = text.rfind('}');
  const auto before = text.find_last_of(".:", end);
#else
  const auto end = text.find(")}");
  const auto before = text.rfind("::", end) + 1;
#endif
  return text.substr(before + 1, end - before - 1);
}

#include <kiln/detail/members.inc>

template <class T, std::size_t count>
consteval auto member_pointers() {
  return std::apply([](auto&... x) { return std::tuple(Pointer<decltype(&x)>{&x}...); }, tie_members<const T, count>(no_object<T>.value));
}
template <class T, std::size_t count, std::size_t I>
consteval std::string_view member_name() {
  constexpr auto pointers = member_pointers<T, count>();
  return field_name<std::get<I>(pointers)>();
}
#ifdef __clang__
#pragma clang diagnostic pop
#endif

/// The n-th of "a, b, c".
constexpr std::string_view nth_name(std::string_view list, std::size_t n) {
  for (; n > 0; --n) list.remove_prefix(list.find(',') + 1);
  while (!list.empty() && (list.front() == ' ' || list.front() == '\n')) list.remove_prefix(1);
  list = list.substr(0, list.find(','));
  while (!list.empty() && list.back() == ' ') list.remove_suffix(1);
  return list;
}

template <class T>
concept Listed = requires(T& t) {
  t.kiln_members();
  T::kiln_names();
};

template <class T>
concept HasModelBase = std::derived_from<T, nn::Model<T>>;
template <class X>
std::type_identity<X> model_of(const nn::Model<X>*);
std::type_identity<void> model_of(...);

template <class T>
struct EmptyBase {
  using type = void;
};
template <HasModelBase T>
struct EmptyBase<T> {
  using type = nn::Model<T>;
};

/// Calls f(name, member) for each member of the struct, in order of declaration.
template <class T, class F>
void for_each_member(T& object, F&& f) {
  using U = std::remove_const_t<T>;
  using Net = typename decltype(model_of(static_cast<U*>(nullptr)))::type;
  static_assert(std::is_void_v<Net> || std::same_as<Net, U>,
                "kiln: derive from nn::Model<this class>, not from another model; its own members would not be found");
  if constexpr (Listed<U>) {
    auto members = const_cast<U&>(object).kiln_members();
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f(nth_name(U::kiln_names(), I), std::get<I>(members)), ...);
    }(std::make_index_sequence<std::tuple_size_v<decltype(members)>>{});
  } else if constexpr (!std::is_aggregate_v<U>) {
    static_assert(
        std::is_aggregate_v<U>,
        "kiln: this type has a constructor, a private or a virtual member, or is not hashable; write KILN_MEMBERS(a, b, ...) in it");
  } else {
    constexpr std::size_t count = count_members<U, typename EmptyBase<U>::type>();
    static_assert(count > 0 || std::is_empty_v<U>,
                  "kiln: members not visible (reference members, C arrays); write KILN_MEMBERS(a, b, ...)");
    auto members = tie_members<T, count>(object);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f(member_name<U, count, I>(), std::get<I>(members)), ...);
    }(std::make_index_sequence<count>{});
  }
}

// ---- Kinds of things in a nest.

template <class T>
concept TupleLike = requires { std::tuple_size<T>::value; };
template <class T>
concept MapLike = requires(T& t) {
  typename T::mapped_type;
  t.begin();
};
template <class T>
concept Text = std::convertible_to<const T&, std::string_view>;
template <class T>
concept SequenceLike = !Text<T> && !MapLike<T> && requires(T& t) {
  typename T::value_type;
  t.begin();
  t.size();
};
/// optional, unique_ptr, shared_ptr.
template <class T>
concept PointerLike = std::is_class_v<T> && requires(T& t) {
  *t;
  static_cast<bool>(t);
} && !std::same_as<T, Tensor>;
template <class T>
concept Number = std::is_arithmetic_v<T> || std::is_enum_v<T>;
template <class T>
concept Hashable = std::equality_comparable<T> && std::copy_constructible<T> && requires(const T& t) {
  { std::hash<T>{}(t) } -> std::convertible_to<std::size_t>;
};

template <class T>
struct IsCallable : std::false_type {};
template <class S>
struct IsCallable<Method<S>> : std::true_type {};
template <class S>
struct IsCallable<Function<S>> : std::true_type {};
template <class F>
struct IsCallable<GenericFunction<F>> : std::true_type {};

/// Walks a nest depth first. The sink has enter(name or index), leave(), tensor(Tensor&), variable(Variable&), identity(Identity&) and
/// plain(value).
template <class T, class Sink>
void walk(T& object, Sink& sink) {
  using U = std::remove_cv_t<T>;
  U& it = const_cast<U&>(object);
  if constexpr (std::same_as<U, Tensor>)
    sink.tensor(it);
  else if constexpr (std::same_as<U, Variable>)
    sink.variable(it);
  else if constexpr (std::same_as<U, VariableRef>)
    sink.variable(*it.ptr);
  else if constexpr (std::derived_from<U, Identity>) {
    sink.identity(it);
    if constexpr (Listed<U>)
      for_each_member(it, [&](std::string_view name, auto& m) {
        sink.enter(name);
        walk(m, sink);
        sink.leave();
      });
  } else if constexpr (IsCallable<U>::value) {
    // A compiled function as a member adds nothing: its own signature and ids decide what it runs.
  } else if constexpr (Number<U>)
    sink.plain(it);
  else if constexpr (Text<U>)
    sink.text(std::string_view(it));
  else if constexpr (std::is_pointer_v<U>) {
    static_assert(std::is_function_v<std::remove_pointer_t<U>>,
                  "kiln: a raw pointer cannot be part of a signature; hold the object, or leave the pointer out with KILN_MEMBERS(...)");
    sink.plain(reinterpret_cast<std::uintptr_t>(it));
  } else if constexpr (MapLike<U>) {
    sink.count(it.size());
    for (auto& [key, value] : it) {
      walk(key, sink);
      if constexpr (Text<std::remove_cvref_t<decltype(key)>>)
        sink.enter(std::string_view(key));
      else
        sink.enter("value");
      walk(value, sink);
      sink.leave();
    }
  } else if constexpr (SequenceLike<U>) {
    sink.count(it.size());
    std::size_t i = 0;
    for (auto&& value : it) {
      sink.enter(i++);
      if constexpr (std::is_lvalue_reference_v<decltype(value)>) {
        walk(value, sink);
      } else {  // std::vector<bool>
        const bool bit = value;
        sink.plain(bit);
      }
      sink.leave();
    }
  } else if constexpr (PointerLike<U>) {
    sink.count(it ? 1 : 0);
    if (it) walk(*it, sink);
  } else if constexpr (TupleLike<U>) {
    std::apply(
        [&](auto&... part) {
          std::size_t i = 0;
          ((sink.enter(i++), walk(part, sink), sink.leave()), ...);
        },
        it);
  } else if constexpr (Listed<U>) {
    for_each_member(it, [&](std::string_view name, auto& m) {
      sink.enter(name);
      walk(m, sink);
      sink.leave();
    });
  } else if constexpr (Hashable<U>) {
    sink.hashable(it);
  } else {
    for_each_member(it, [&](std::string_view name, auto& m) {
      sink.enter(name);
      walk(m, sink);
      sink.leave();
    });
  }
}

/// True if T holds variables or other objects with an identity: such arguments are passed through, never copied.
template <class T>
consteval bool holds_state() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::same_as<U, Tensor> || Number<U> || Text<U> || IsCallable<U>::value || std::is_pointer_v<U>)
    return false;
  else if constexpr (std::same_as<U, Variable> || std::same_as<U, VariableRef> || std::derived_from<U, Identity> || HasModelBase<U>)
    return true;
  else if constexpr (MapLike<U>)
    return holds_state<typename U::mapped_type>();
  else if constexpr (SequenceLike<U>)
    return holds_state<typename U::value_type>();
  else if constexpr (PointerLike<U>)
    return holds_state<std::remove_cvref_t<decltype(*std::declval<U&>())>>();
  else if constexpr (TupleLike<U>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (holds_state<std::remove_cvref_t<std::tuple_element_t<I, U>>>() || ...);
    }(std::make_index_sequence<std::tuple_size_v<U>>{});
  } else if constexpr (Listed<U>) {
    using Members = decltype(std::declval<U&>().kiln_members());
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (holds_state<std::remove_cvref_t<std::tuple_element_t<I, Members>>>() || ...);
    }(std::make_index_sequence<std::tuple_size_v<Members>>{});
  } else if constexpr (Hashable<U> || !std::is_aggregate_v<U>)
    return false;
  else {
    using Members = decltype(tie_members<U, count_members<U, void>()>(std::declval<U&>()));
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (holds_state<std::remove_cvref_t<std::tuple_element_t<I, Members>>>() || ...);
    }(std::make_index_sequence<std::tuple_size_v<Members>>{});
  }
}

/// A sink with virtual functions, for what is not on the path of every call.
class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void enter(std::string_view name) { (void)name; }
  void enter(std::size_t index) { enter(std::string_view(std::to_string(index))); }
  virtual void leave() {}
  virtual void count(std::size_t n) { (void)n; }
  virtual void tensor(Tensor&) {}
  virtual void variable(Variable&) {}
  virtual void identity(Identity&) {}
  /// A number as its bits and as text.
  virtual void word(std::uint64_t bits, const std::string& as_text) { (void)bits, (void)as_text; }
  virtual void text(std::string_view) {}

  template <Number T>
  void plain(const T& value);
  template <Hashable T>
  void hashable(const T& value);
};

/// The bits of a number; -0.0 and 0.0 differ, as they do for arithmetic.
template <Number T>
constexpr std::uint64_t bits_of(T value) {
  if constexpr (std::is_enum_v<T>)
    return static_cast<std::uint64_t>(static_cast<std::underlying_type_t<T>>(value));
  else if constexpr (std::same_as<T, float>)
    return std::uint64_t{__builtin_bit_cast(std::uint32_t, value)};
  else if constexpr (std::floating_point<T>)
    return __builtin_bit_cast(std::uint64_t, static_cast<double>(value));
  else
    return static_cast<std::uint64_t>(value);
}

template <Number T>
void Visitor::plain(const T& value) {
  if constexpr (std::is_enum_v<T>)
    word(bits_of(value), std::to_string(static_cast<std::int64_t>(bits_of(value))));
  else if constexpr (std::same_as<T, bool>)
    word(bits_of(value), value ? "true" : "false");
  else
    word(bits_of(value), std::to_string(value));
}

}  // namespace detail
}  // namespace kiln

/// In a struct whose members reflection cannot see (a constructor, private or reference members): KILN_MEMBERS(a, b, c).
#define KILN_MEMBERS(...)                               \
  auto kiln_members() { return std::tie(__VA_ARGS__); } \
  static constexpr std::string_view kiln_names() { return #__VA_ARGS__; }
