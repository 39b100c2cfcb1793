// Traced functions: the first call with a new signature records the body as a graph and compiles it; later calls run compiled code.
#pragma once
#include <kiln/detail/call.h>
#include <kiln/detail/reflect.h>
#include <kiln/mode.h>
#include <kiln/tensor.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace kiln {

/// What a traced function has become, on its way from the captured graph to machine code.
enum class Stage { captured, optimized, fused, kernels, llvm, assembly };

/// What one call costs. Lengths left open are those of the call that was traced.
struct Cost {
  int captured_ops = 0;   ///< ops recorded while tracing
  int optimized_ops = 0;  ///< ops of ir(Stage::optimized)
  int kernels = 0;        ///< distinct generated kernels
  int launches = 0;       ///< kernels and contractions launched by one call
  /// Floating-point operations of all launches: two for each multiply-add of a contraction, one for each element of an elementwise op's
  /// result, for each element that a reduction or scatter adds, and for each element under a window; of floating-point dtypes only.
  std::int64_t flops = 0;
  /// Bytes of the tensors that the launches read and write, each counted once a launch.
  std::int64_t bytes_moved = 0;
  std::int64_t arena_bytes = 0;     ///< memory for intermediate tensors, taken for the call
  std::int64_t output_bytes = 0;    ///< results that get memory of their own; variables written in place are none
  std::int64_t constant_bytes = 0;  ///< kept as long as the code
  std::int64_t peak_bytes = 0;      ///< arena, outputs and constants: what a call needs beyond its arguments and variables
};

/// One intermediate tensor in the arena of a call.
struct MemoryBlock {
  std::int64_t offset = 0, bytes = 0;
  int first_launch = 0, last_launch = 0;  ///< when it is needed, both included
  std::string op;                         ///< that made it
  Loc where;                              ///< the user's line of that op
};

/// Where the intermediate tensors of a call lie.
struct MemoryPlan {
  std::vector<MemoryBlock> blocks;
  std::int64_t total_bytes = 0;
  /// The most bytes that are needed at the same time, each block rounded up to 64: no plan is smaller.
  std::int64_t lower_bound = 0;
  /// A table of the blocks.
  std::string str() const;
};

/// One function with one signature. Throws CompileError from what needs the compiler if it is missing.
class Concrete {
 public:
  explicit Concrete(std::shared_ptr<detail::Entry> entry) : entry_(std::move(entry)) {}
  const std::string& name() const;
  /// The program at that stage: MLIR assembly, and the text of the generated kernels from Stage::kernels on.
  std::string ir(Stage stage = Stage::optimized) const;
  /// The captured graph in Graphviz's language.
  std::string dot() const;
  /// What calls must have in common to share this code, one field a line.
  std::string signature() const;
  Cost cost() const;
  MemoryPlan memory_plan() const;
  /// Makes the code now, or loads it from the cache, so that the first call need not.
  void compile() const;

 private:
  std::shared_ptr<detail::Entry> entry_;
};

namespace detail {

template <class Sig>
struct SignatureOf;
template <class C, class R, class... A>
struct SignatureOf<R (C::*)(A...)> {
  using type = R(A...);
  using with_object = R(C&, A...);
};
template <class C, class R, class... A>
struct SignatureOf<R (C::*)(A...) const> {
  using type = R(A...);
  using with_object = R(const C&, A...);
};
template <class F>
concept OneCallOperator = requires { &F::operator(); };

}  // namespace detail

/// What KILN_FUNCTION declares: call it like the function. One cache of compiled code per function.
template <auto* Body>
class Traced;

template <class R, class... A, R (*Body)(A...)>
class Traced<Body> {
 public:
  const char* name;
  const char* file;
  int line;
  const char* parameters;
  FunctionOptions (*options)();

  /// Runs the compiled code for these arguments; traces and compiles it first if there is none.
  R operator()(A... a, Loc where = Loc::here()) const {
    static_assert(detail::check_signature<R, A...>());
    auto body = [](A... x) -> R { return Body(static_cast<A>(x)...); };
    return detail::call<R, A...>(handle(), where, body, a...);
  }
  /// The compiled function for arguments like these.
  Concrete concrete(A... a) const {
    auto body = [](A... x) -> R { return Body(static_cast<A>(x)...); };
    return Concrete(detail::concrete<R, A...>(handle(), body, a...));
  }

 private:
  detail::FunctionHandle& handle() const {
    static detail::FunctionHandle instance({name, {file, line}, parameters}, options());
    return instance;
  }
};

/// A traced callable of that signature, as kiln::function makes it. Copies share the callable and its compiled code.
template <class R, class... A>
class Function<R(A...)> {
 public:
  Function(std::function<R(A...)> body, FunctionOptions options, Loc where)
      : body_(std::make_shared<std::function<R(A...)>>(std::move(body))),
        handle_(std::make_shared<detail::FunctionHandle>(detail::FunctionInfo{"lambda", where, ""}, std::move(options))) {}

  R operator()(A... a, Loc where = Loc::here()) const {
    static_assert(detail::check_signature<R, A...>());
    return detail::call<R, A...>(*handle_, where, *body_, a...);
  }
  Concrete concrete(A... a) const { return Concrete(detail::concrete<R, A...>(*handle_, *body_, a...)); }

 private:
  std::shared_ptr<std::function<R(A...)>> body_;
  std::shared_ptr<detail::FunctionHandle> handle_;
};

/// A traced generic lambda: one cache for each list of argument types. Models, layers and variables are passed by reference, all else by
/// value.
template <class F>
class GenericFunction {
 public:
  GenericFunction(F f, FunctionOptions options, Loc where)
      : f_(std::make_shared<F>(std::move(f))),
        handles_(std::make_shared<detail::HandleTable>(detail::FunctionInfo{"lambda", where, ""}, std::move(options))) {}

  template <class... A>
  auto operator()(A&&... a) const {
    return with_signature<detail::GenericParameter<A>...>(
        [&]<class R, class... P>(std::type_identity<R(P...)>, detail::FunctionHandle& handle) {
          return [&](P... p) { return detail::call<R, P...>(handle, handles_->where(), *f_, p...); }(static_cast<P>(a)...);
        });
  }
  template <class... A>
  Concrete concrete(A&&... a) const {
    return with_signature<detail::GenericParameter<A>...>(
        [&]<class R, class... P>(std::type_identity<R(P...)>, detail::FunctionHandle& handle) {
          return [&](P... p) { return Concrete(detail::concrete<R, P...>(handle, *f_, p...)); }(static_cast<P>(a)...);
        });
  }

 private:
  template <class... P, class Do>
  auto with_signature(Do act) const {
    using R = std::invoke_result_t<F&, P...>;
    static_assert(detail::check_signature<R, P...>());
    static constexpr char tag = 0;
    return act(std::type_identity<R(P...)>{}, handles_->at(&tag));
  }
  std::shared_ptr<F> f_;
  std::shared_ptr<detail::HandleTable> handles_;
};

/// Wraps a lambda, a function or a pointer to a member function. Captured numbers are baked into the compiled code; captured Variables are
/// state.
template <class F>
auto function(F f, FunctionOptions options = {}, Loc where = Loc::here()) {
  if constexpr (std::is_member_function_pointer_v<F>) {
    return Function<typename detail::SignatureOf<F>::with_object>(std::mem_fn(f), std::move(options), where);
  } else if constexpr (std::is_pointer_v<F>) {
    return Function<std::remove_pointer_t<F>>(f, std::move(options), where);
  } else if constexpr (detail::OneCallOperator<F>) {
    return Function<typename detail::SignatureOf<decltype(&F::operator())>::type>(std::move(f), std::move(options), where);
  } else {
    return GenericFunction<F>(std::move(f), std::move(options), where);
  }
}

/// What KILN_METHOD declares: a member object that finds its owner from its own address, so that copying the owner works.
/// The owner is part of the signature like an argument.
template <class R, class... A>
class Method<R(A...)> {
 public:
  template <class Owner, class F>
  Method(Owner* owner, F, const char* name, const char* file, int line, const char* parameters)
      : offset_(reinterpret_cast<char*>(this) - reinterpret_cast<char*>(owner)),
        call_(&call_body<Owner, F>),
        concrete_(&concrete_body<Owner, F>),
        info_{name, {file, line}, parameters} {}
  Method(const Method&) = default;
  Method& operator=(const Method&) { return *this; }

  R operator()(A... a, Loc where = Loc::here()) { return call_(*this, owner(), where, static_cast<A>(a)...); }
  Concrete concrete(A... a) { return concrete_(*this, owner(), static_cast<A>(a)...); }

 private:
  void* owner() { return reinterpret_cast<char*>(this) - offset_; }

  template <class Owner, class F>
  static detail::FunctionHandle& handle(const Method& self) {
    static detail::FunctionHandle instance(self.info_, {}, true);
    return instance;
  }
  template <class Owner, class F>
  static R call_body(const Method& self, void* owner, Loc where, A... a) {
    static_assert(detail::check_signature<R, A...>());
    auto body = [](Owner& it, A... x) -> R { return F{}(&it, static_cast<A>(x)...); };
    return detail::call<R, Owner&, A...>(handle<Owner, F>(self), where, body, *static_cast<Owner*>(owner), a...);
  }
  template <class Owner, class F>
  static Concrete concrete_body(const Method& self, void* owner, A... a) {
    auto body = [](Owner& it, A... x) -> R { return F{}(&it, static_cast<A>(x)...); };
    return Concrete(detail::concrete<R, Owner&, A...>(handle<Owner, F>(self), body, *static_cast<Owner*>(owner), a...));
  }

  std::ptrdiff_t offset_;
  R (*call_)(const Method&, void*, Loc, A...);
  Concrete (*concrete_)(const Method&, void*, A...);
  detail::FunctionInfo info_;
};

template <class R, class... A>
class Method<R(A...) const> : public Method<R(A...)> {
 public:
  using Method<R(A...)>::Method;
  R operator()(A... a, Loc where = Loc::here()) const {
    return const_cast<Method&>(*this).Method<R(A...)>::operator()(static_cast<A>(a)..., where);
  }
  Concrete concrete(A... a) const { return const_cast<Method&>(*this).Method<R(A...)>::concrete(static_cast<A>(a)...); }
};

}  // namespace kiln

#define KILN_ESCAPE(...) KILN_ESCAPE_(__VA_ARGS__)
#define KILN_ESCAPE_(...) KILN_GONE##__VA_ARGS__
#define KILN_GONEKILN_INSIDE
#define KILN_INSIDE(...) KILN_INSIDE __VA_ARGS__
#define KILN_UNPAREN(X) KILN_ESCAPE(KILN_INSIDE X)

#define KILN_FUNCTION_(linkage, R, name, params, ...)                                                                               \
  struct name##_traced {                                                                                                            \
    static KILN_UNPAREN(R) name params;                                                                                             \
  };                                                                                                                                \
  [[maybe_unused]] inline constexpr ::kiln::Traced<&name##_traced::name> name{#name, __FILE__, __LINE__, #params,                   \
                                                                              [] { return ::kiln::FunctionOptions{__VA_ARGS__}; }}; \
  linkage KILN_UNPAREN(R) name##_traced::name params

/// KILN_FUNCTION(Tensor, step, (Net& net, Tensor x), .strict = true) { ... }: a traced function at namespace scope.
/// A return type with a comma goes in parentheses. No default arguments, overloads or templates.
#define KILN_FUNCTION(R, name, ...) KILN_FUNCTION_(, R, name, __VA_ARGS__)
/// The same for headers: one cache over all translation units.
#define KILN_INLINE_FUNCTION(R, name, ...) KILN_FUNCTION_(inline, R, name, __VA_ARGS__)
/// KILN_METHOD(Tensor, step, (Tensor x)) { ... }: a traced member function.
#define KILN_METHOD(R, name, params)                                  \
  ::kiln::Method<KILN_UNPAREN(R) params> name{                        \
      this,     [](auto* self_, auto&&... a_) -> KILN_UNPAREN(R) { return self_->name##_body(static_cast<decltype(a_)&&>(a_)...); }, \
      #name,    __FILE__,                                             \
      __LINE__, #params};                                             \
  KILN_UNPAREN(R) name##_body params
