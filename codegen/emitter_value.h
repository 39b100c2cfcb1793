// Emitted<T>: the S of ops/vmath.h that writes code. An op's scalar() template over it emits that op on a scalar or a vector of lanes.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "codegen/builder.h"

namespace kiln::codegen {

/// The builder that Emitted values write to, on this thread, while it lives.
class BuilderScope {
 public:
  explicit BuilderScope(Builder& b) : previous_(current_) { current_ = &b; }
  ~BuilderScope() { current_ = previous_; }
  BuilderScope(const BuilderScope&) = delete;
  BuilderScope& operator=(const BuilderScope&) = delete;
  static Builder& current() { return *current_; }

 private:
  Builder* previous_;
  static thread_local Builder* current_;
};

/// One truth value a lane (i1).
struct EmittedMask {
  Value v;
  using scalar = bool;
  using mask = EmittedMask;

  static EmittedMask constant(bool value) { return {BuilderScope::current().boolean(value)}; }
  static EmittedMask select(EmittedMask m, EmittedMask a, EmittedMask b) { return {BuilderScope::current().select(m.v, a.v, b.v)}; }
  friend EmittedMask operator&(EmittedMask a, EmittedMask b) { return {BuilderScope::current().bit_and(a.v, b.v)}; }
  friend EmittedMask operator|(EmittedMask a, EmittedMask b) { return {BuilderScope::current().bit_or(a.v, b.v)}; }
  friend EmittedMask operator^(EmittedMask a, EmittedMask b) { return {BuilderScope::current().bit_xor(a.v, b.v)}; }
  EmittedMask operator~() const { return {BuilderScope::current().bit_not(v)}; }

  friend EmittedMask operator==(EmittedMask a, EmittedMask b) { return compare(mlir::arith::CmpIPredicate::eq, a, b); }
  friend EmittedMask operator!=(EmittedMask a, EmittedMask b) { return compare(mlir::arith::CmpIPredicate::ne, a, b); }
  friend EmittedMask operator<(EmittedMask a, EmittedMask b) { return compare(mlir::arith::CmpIPredicate::ult, a, b); }
  friend EmittedMask operator<=(EmittedMask a, EmittedMask b) { return compare(mlir::arith::CmpIPredicate::ule, a, b); }
  friend EmittedMask operator>(EmittedMask a, EmittedMask b) { return compare(mlir::arith::CmpIPredicate::ugt, a, b); }
  friend EmittedMask operator>=(EmittedMask a, EmittedMask b) { return compare(mlir::arith::CmpIPredicate::uge, a, b); }

 private:
  static EmittedMask compare(mlir::arith::CmpIPredicate p, EmittedMask a, EmittedMask b) {
    return {BuilderScope::current().compare(p, a.v, b.v)};
  }
};

/// Rounds to an integral value, downwards or to nearest even, also where the target has no such instruction.
Value emit_floor(Builder& b, Value x);
Value emit_round_even(Builder& b, Value x);

/// A value of C++ type T in each lane: float, double, or an integer of 8, 32 or 64 bits.
template <class T>
struct Emitted {
  Value v;
  using scalar = T;
  using mask = EmittedMask;
  template <class U>
  using rebind = Emitted<U>;

  static constexpr bool floating = std::is_floating_point_v<T>;
  static Builder& builder() { return BuilderScope::current(); }

  template <class U>
  static Type type() {
    return builder().value_type(dtype_of<U>());
  }
  static Emitted constant(T value) {
    if constexpr (floating)
      return {builder().constant(type<T>(), static_cast<double>(value))};
    else
      return {builder().integer(type<T>(), static_cast<std::int64_t>(value))};
  }
  static Emitted select(EmittedMask m, Emitted a, Emitted b) { return {builder().select(m.v, a.v, b.v)}; }
  static Emitted fma(Emitted a, Emitted b, Emitted c) { return {builder().fma(a.v, b.v, c.v)}; }
  template <class Slow, std::size_t N>
  static std::array<Emitted, N> where_rare(EmittedMask rare, const std::array<Emitted, N>& usual, Emitted x) {
    Values values;
    for (const Emitted& u : usual) values.push_back(u.v);
    const Values chosen = builder().where_rare(rare.v, values, Slow::name, x.v, [](Value x) {
      Values found;
      for (const Emitted& u : Slow()(Emitted{x})) found.push_back(u.v);
      return found;
    });
    std::array<Emitted, N> result;
    for (std::size_t i = 0; i < N; ++i) result[i].v = chosen[i];
    return result;
  }

  friend Emitted operator+(Emitted a, Emitted b) { return {builder().add(a.v, b.v)}; }
  friend Emitted operator-(Emitted a, Emitted b) { return {builder().sub(a.v, b.v)}; }
  friend Emitted operator*(Emitted a, Emitted b) { return {builder().mul(a.v, b.v)}; }
  friend Emitted operator/(Emitted a, Emitted b) {
    if constexpr (floating)
      return {builder().binary<mlir::arith::DivFOp>(a.v, b.v)};
    else if constexpr (std::is_signed_v<T>)
      return {builder().binary<mlir::arith::DivSIOp>(a.v, b.v)};
    else
      return {builder().binary<mlir::arith::DivUIOp>(a.v, b.v)};
  }
  friend Emitted operator&(Emitted a, Emitted b) { return {builder().bit_and(a.v, b.v)}; }
  friend Emitted operator|(Emitted a, Emitted b) { return {builder().bit_or(a.v, b.v)}; }
  friend Emitted operator^(Emitted a, Emitted b) { return {builder().bit_xor(a.v, b.v)}; }
  Emitted operator~() const { return {builder().bit_not(v)}; }
  Emitted shl(int n) const { return {builder().binary<mlir::arith::ShLIOp>(v, constant(static_cast<T>(n)).v)}; }
  Emitted shr(int n) const { return {builder().binary<mlir::arith::ShRUIOp>(v, constant(static_cast<T>(n)).v)}; }

  friend EmittedMask operator==(Emitted a, Emitted b) { return compare<0>(a, b); }
  friend EmittedMask operator!=(Emitted a, Emitted b) { return compare<1>(a, b); }
  friend EmittedMask operator<(Emitted a, Emitted b) { return compare<2>(a, b); }
  friend EmittedMask operator<=(Emitted a, Emitted b) { return compare<3>(a, b); }
  friend EmittedMask operator>(Emitted a, Emitted b) { return compare<4>(a, b); }
  friend EmittedMask operator>=(Emitted a, Emitted b) { return compare<5>(a, b); }

  template <class U>
  Emitted<U> to() const;

  auto as_float() const {
    using F = std::conditional_t<sizeof(T) == 8, double, float>;
    return Emitted<F>{builder().bitcast(v, type<F>())};
  }
  auto as_int() const {
    using I = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;
    return Emitted<I>{builder().bitcast(v, type<I>())};
  }
  Emitted sqrt() const { return {builder().hooks().sqrt(builder(), v)}; }
  Emitted floor() const { return {emit_floor(builder(), v)}; }
  Emitted round_even() const { return {emit_round_even(builder(), v)}; }

 private:
  template <int Which>
  static EmittedMask compare(Emitted a, Emitted b) {
    using F = mlir::arith::CmpFPredicate;
    using I = mlir::arith::CmpIPredicate;
    constexpr F floats[] = {F::OEQ, F::UNE, F::OLT, F::OLE, F::OGT, F::OGE};
    constexpr I integers[] = {I::eq, I::ne, I::slt, I::sle, I::sgt, I::sge};
    constexpr I unsigned_integers[] = {I::eq, I::ne, I::ult, I::ule, I::ugt, I::uge};
    if constexpr (floating)
      return {builder().compare(floats[Which], a.v, b.v)};
    else if constexpr (std::is_signed_v<T>)
      return {builder().compare(integers[Which], a.v, b.v)};
    else
      return {builder().compare(unsigned_integers[Which], a.v, b.v)};
  }
};

template <class T>
template <class U>
Emitted<U> Emitted<T>::to() const {
  Builder& b = builder();
  const Type result = Builder::like(v, type<U>());
  if constexpr (std::is_same_v<T, U>) {
    return {v};
  } else if constexpr (floating && Emitted<U>::floating) {
    if constexpr (sizeof(U) > sizeof(T))
      return {b.pure<mlir::arith::ExtFOp>({v}, result, v)};
    else
      return {b.pure<mlir::arith::TruncFOp>({v}, result, v)};
  } else if constexpr (floating) {
    return {b.pure<mlir::arith::FPToSIOp>({v}, result, v)};
  } else if constexpr (Emitted<U>::floating) {
    if constexpr (std::is_signed_v<T>)
      return {b.pure<mlir::arith::SIToFPOp>({v}, result, v)};
    else
      return {b.pure<mlir::arith::UIToFPOp>({v}, result, v)};
  } else {
    return {b.integer_cast(v, type<U>(), std::is_signed_v<T>)};
  }
}

/// vmath's functions of these names. Argument-dependent lookup prefers these to its templates, so that the target's own instruction, which
/// gives the same result, is used where there is one.
Emitted<float> scale(Emitted<float> p, Emitted<std::int32_t> n, Emitted<float> whole);
Emitted<double> scale(Emitted<double> p, Emitted<std::int64_t> n, Emitted<double> whole);
Emitted<double> product_error(Emitted<double> a, Emitted<double> b, Emitted<double> product);
Emitted<std::int32_t> join_maximum(Emitted<std::int32_t> a, Emitted<std::int32_t> b);
Emitted<float> log_specials(Emitted<float> x, Emitted<float> result);
Emitted<double> log_specials(Emitted<double> x, Emitted<double> result);

}  // namespace kiln::codegen
