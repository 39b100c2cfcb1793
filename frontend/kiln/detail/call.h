// One call of a traced function: its signature as words, and the typed side of tracing it. The rest is in frontend/function_core.cpp.
#pragma once
#include <kiln/detail/reflect.h>
#include <kiln/tensor.h>
#include <kiln/variable.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace kiln {

/// Element type and shape of one tensor argument; a length of -1 or a named Dim is unknown until the call, equal names are equal lengths.
struct Spec {
  DType dtype = DType::float32;
  Shape shape = {};
};

struct FunctionOptions {
  std::vector<Spec> input_signature = {};  ///< one for each tensor argument: one binary serves all calls that fit
  bool strict = false;                     ///< the bits of eager execution
  /// A length (or several) that has had this many values is left open in the next trace, as a symbol: that code serves every value but
  /// 0 and 1. A body that needs the number (as an int64_t) is traced for each value as before. While such a body is traced, comparing
  /// the open length with a number is false. 0: never.
  int relax_after = 2;
  /// Further signatures run the body eagerly, with a warning: endless retracing would fill the memory.
  int max_signatures = 256;
};

namespace detail {

struct Entry;
class FunctionCore;
class Call;

struct FunctionInfo {
  const char* name;
  Loc where;
  const char* parameters;  ///< as written, for the arguments' names
};

/// What a call has in common with others that may share its code: words that are compared, and the tensors to run on. No allocation in the
/// usual case.
class Signature {
 public:
  Signature() noexcept;
  ~Signature();
  Signature(const Signature&) = delete;
  Signature& operator=(const Signature&) = delete;

  void enter(std::string_view) {}
  void enter(std::size_t) {}
  void leave() {}
  void count(std::size_t n) { push(n); }
  void tensor(Tensor& t);
  void variable(Variable& v) { push(v.id()); }
  void identity(Identity& i) { push(i.id()); }
  void text(std::string_view text);
  template <Number T>
  void plain(const T& value) {
    push(bits_of(value));
  }
  template <Hashable T>
  void hashable(const T& value) {
    push(intern(value));
  }

  /// A tensor of the arguments, and where its words begin.
  struct Leaf {
    Tensor* tensor;
    std::uint32_t word;
  };
  std::span<std::uint64_t> words() { return {words_, num_words_}; }
  std::span<const Leaf> tensors() const { return {tensors_, num_tensors_}; }
  void push(std::uint64_t word) {
    if (num_words_ == capacity_) [[unlikely]]
      grow();
    words_[num_words_++] = word;
  }

  /// A number for each distinct value of T; equal values have equal numbers.
  template <class T>
  static std::uint64_t intern(const T& value) {
    static constexpr char tag = 0;
    return intern_value(
        &tag, std::hash<T>{}(value), &value,
        [](const void* a, const void* b) { return *static_cast<const T*>(a) == *static_cast<const T*>(b); },
        [](const void* a) -> std::shared_ptr<const void> { return std::make_shared<const T>(*static_cast<const T*>(a)); });
  }

 private:
  static constexpr std::uint32_t kInlineWords = 64, kInlineTensors = 16;
  static std::uint64_t intern_value(const void* type, std::size_t hash, const void* value, bool (*equal)(const void*, const void*),
                                    std::shared_ptr<const void> (*copy)(const void*));
  void grow();
  void grow_tensors();

  std::uint64_t* words_ = inline_words_;
  Leaf* tensors_ = inline_tensors_;
  std::uint32_t num_words_ = 0, capacity_ = kInlineWords, num_tensors_ = 0, tensor_capacity_ = kInlineTensors;
  std::uint64_t inline_words_[kInlineWords];
  Leaf inline_tensors_[kInlineTensors];
};

/// Collects what the body of a traced function is given and gives back. Phases in order: arguments, results, done.
class Tracer : public Visitor {
 public:
  /// Replaces each tensor of the arguments by a symbolic one.
  virtual void begin_arguments() = 0;
  virtual void begin_argument(std::size_t index) = 0;
  /// From here on tensors are results.
  virtual void begin_results() = 0;
  /// Puts the caller's tensors back.
  virtual void restore() noexcept = 0;
};

/// The typed side of one call.
class Call {
 public:
  virtual ~Call() = default;
  virtual std::size_t num_arguments() const = 0;
  /// Shows argument `index` to the visitor.
  virtual void walk_argument(std::size_t index, Visitor& visitor) = 0;
  /// Recomputes the signature.
  virtual void sign(Signature& signature) = 0;
  /// Runs the body on the tracer's symbolic tensors; returns the result as it left the body, symbolic.
  virtual std::shared_ptr<const void> trace(Tracer& tracer) = 0;
  /// Takes the result: `values` are its tensors in order, `prototype` what trace returned.
  virtual void finish(const void* prototype, std::span<Tensor> values) = 0;
};

/// Owns the cache of one traced function.
class FunctionHandle {
 public:
  /// `first_is_owner`: the first argument is the object whose method this is.
  FunctionHandle(FunctionInfo info, FunctionOptions options, bool first_is_owner = false);
  ~FunctionHandle();
  FunctionHandle(const FunctionHandle&) = delete;
  FunctionHandle& operator=(const FunctionHandle&) = delete;

  /// False if the body must be run instead: there are too many signatures.
  bool call(Signature& signature, Call& call, Loc where);
  std::shared_ptr<Entry> concrete(Signature& signature, Call& call);
  FunctionCore& core() { return *core_; }

 private:
  std::unique_ptr<FunctionCore> core_;
};

/// The handles of a generic lambda, by the types that it is called with.
class HandleTable {
 public:
  HandleTable(FunctionInfo info, FunctionOptions options);
  ~HandleTable();
  FunctionHandle& at(const void* types);
  Loc where() const { return info_.where; }

 private:
  struct Impl;
  FunctionInfo info_;
  FunctionOptions options_;
  std::unique_ptr<Impl> impl_;
};

/// True while run_eagerly(true) is in force.
bool body_runs_eagerly();

// ---- Rules for parameters and results, checked when compiling.

template <class T>
consteval bool check_parameter() {
  using U = std::remove_cvref_t<T>;
  static_assert(!std::is_pointer_v<U>, "kiln: a pointer cannot be a parameter of a compiled function; pass a reference to the object");
  static_assert(std::is_reference_v<T> || !(HasModelBase<U> || std::derived_from<U, Identity> || std::same_as<U, Variable>),
                "kiln: pass models, layers, optimizers and variables by reference; by value they are copied and traced at each call");
  static_assert(!std::is_same_v<T, Tensor&>, "kiln: Tensor& parameter: return the new value instead, or use a Variable&");
  return true;
}

template <class R, class... A>
consteval bool check_signature() {
  static_assert(!std::is_reference_v<R>, "kiln: a compiled function returns values, not references");
  return (check_parameter<A>() && ... && true);
}

/// How a generic lambda receives an argument given as A&&.
template <class A>
using GenericParameter = std::conditional_t<holds_state<std::remove_cvref_t<A>>(), std::remove_reference_t<A>&, std::remove_cvref_t<A>>;

/// How the trace holds an argument: containers passed by const reference are copied, since their tensors are replaced; the rest is used in
/// place.
template <class A>
inline constexpr bool traced_as_copy = std::is_reference_v<A> && std::is_const_v<std::remove_reference_t<A>> &&
                                       !holds_state<std::remove_cvref_t<A>>() && std::copy_constructible<std::remove_cvref_t<A>>;
template <class A>
using Held = std::conditional_t<traced_as_copy<A>, std::remove_cvref_t<A>, std::remove_reference_t<A>&>;

/// An argument as the body wants it; by-value ones are copied, so that the held one keeps its symbolic tensors until they are put back.
template <class A, class H>
decltype(auto) pass(H& held) {
  if constexpr (std::is_lvalue_reference_v<A>)
    return static_cast<A>(held);
  else if constexpr (!std::is_reference_v<A> && std::copy_constructible<A>)
    return static_cast<const A&>(held);
  else
    return static_cast<std::remove_reference_t<A>&&>(held);
}

struct ResultFiller {
  std::span<Tensor> values;
  std::size_t next = 0;
  void enter(std::string_view) {}
  void enter(std::size_t) {}
  void leave() {}
  void count(std::size_t) {}
  void tensor(Tensor& t) { t = std::move(values[next++]); }
  void variable(Variable&) {}
  void identity(Identity&) {}
  void text(std::string_view) {}
  void plain(const auto&) {}
  void hashable(const auto&) {}
};

struct Nothing {};

template <class R, class F, class... A>
class TypedCall final : public Call {
 public:
  using Result = std::conditional_t<std::is_void_v<R>, Nothing, R>;
  TypedCall(F& body, std::remove_reference_t<A>&... a) : body_(body), arguments_(a...) {}

  std::size_t num_arguments() const override { return sizeof...(A); }
  void walk_argument(std::size_t index, Visitor& visitor) override {
    std::apply(
        [&](auto&... a) {
          std::size_t i = 0;
          ((i++ == index ? walk(a, visitor) : void()), ...);
        },
        arguments_);
  }
  void sign(Signature& signature) override {
    std::apply([&](auto&... a) { (walk(a, signature), ...); }, arguments_);
  }
  std::shared_ptr<const void> trace(Tracer& tracer) override { return trace(tracer, std::index_sequence_for<A...>{}); }
  void finish(const void* prototype, std::span<Tensor> values) override {
    if constexpr (std::same_as<R, Tensor>) {
      result_ = std::move(values[0]);
    } else if constexpr (!std::is_void_v<R>) {
      result_.emplace(*static_cast<const R*>(prototype));
      ResultFiller filler{values};
      walk(*result_, filler);
    }
  }
  R take() {
    if constexpr (!std::is_void_v<R>) return std::move(*result_);
  }

 private:
  template <std::size_t... I>
  std::shared_ptr<const void> trace(Tracer& tracer, std::index_sequence<I...>) {
    std::tuple<Held<A>...> held(std::get<I>(arguments_)...);
    struct Restore {
      Tracer& tracer;
      ~Restore() { tracer.restore(); }
    } restore{tracer};
    tracer.begin_arguments();
    ((tracer.begin_argument(I), walk(std::get<I>(held), static_cast<Visitor&>(tracer))), ...);
    if constexpr (std::is_void_v<R>) {
      body_(pass<A>(std::get<I>(held))...);
      tracer.begin_results();
      return nullptr;
    } else {
      auto result = std::make_shared<R>(body_(pass<A>(std::get<I>(held))...));
      tracer.begin_results();
      walk(*result, static_cast<Visitor&>(tracer));
      return result;
    }
  }

  F& body_;
  std::tuple<std::remove_reference_t<A>&...> arguments_;
  std::optional<Result> result_;
};

template <class R, class... A, class F>
R call(FunctionHandle& handle, Loc where, F& body, std::remove_reference_t<A>&... a) {
  if (body_runs_eagerly()) [[unlikely]]
    return body(static_cast<A>(a)...);
  Signature signature;
  (walk(a, signature), ...);
  TypedCall<R, F, A...> typed(body, a...);
  if (!handle.call(signature, typed, where)) [[unlikely]]
    return body(static_cast<A>(a)...);
  return typed.take();
}

template <class R, class... A, class F>
std::shared_ptr<Entry> concrete(FunctionHandle& handle, F& body, std::remove_reference_t<A>&... a) {
  Signature signature;
  (walk(a, signature), ...);
  TypedCall<R, F, A...> typed(body, a...);
  return handle.concrete(signature, typed);
}

template <Hashable T>
void Visitor::hashable(const T& value) {
  word(Signature::intern(value), "a value");
}

}  // namespace detail
}  // namespace kiln
