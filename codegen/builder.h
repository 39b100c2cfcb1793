// Builder: the operations that emitters are written in, over MLIR's arith, vector, scf and llvm dialects.
#pragma once
#include <kiln/dtype.h>
#include <mlir/Dialect/Arith/IR/Arith.h>
#include <mlir/Dialect/LLVMIR/LLVMDialect.h>
#include <mlir/Dialect/SCF/IR/SCF.h>
#include <mlir/Dialect/Vector/IR/VectorOps.h>
#include <mlir/IR/Builders.h>
#include <mlir/IR/BuiltinOps.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/kernel_abi.h"
#include "codegen/target_hooks.h"

namespace kiln::codegen {

using mlir::Type;
using mlir::Value;
using Values = llvm::SmallVector<Value, 4>;

/// Builds code at an insertion point. Pure operations are placed as far out of the enclosing loops as their operands allow, so that
/// whatever does not depend on a loop is computed once before it. An operation on a scalar and a vector splats the scalar.
class Builder {
 public:
  Builder(mlir::OpBuilder& builder, const TargetHooks& hooks, int lanes);

  mlir::OpBuilder& mlir() { return builder_; }
  const TargetHooks& hooks() const { return hooks_; }
  /// Elements that a vector value holds.
  int lanes() const { return lanes_; }
  void set_lanes(int lanes) { lanes_ = lanes; }

  // Types. Values of float16 and bfloat16 are float32; values of bool are i1 (i8 in memory).
  Type value_type(DType t);
  Type memory_type(DType t);
  Type i1() { return builder_.getI1Type(); }
  Type i8() { return builder_.getI8Type(); }
  Type i32() { return builder_.getI32Type(); }
  Type i64() { return builder_.getI64Type(); }
  Type f32() { return builder_.getF32Type(); }
  Type ptr() { return pointer_; }
  static bool is_vector(Value v) { return mlir::isa<mlir::VectorType>(v.getType()); }
  static Type element_type(Type t);
  static Type element_type(Value v) { return element_type(v.getType()); }
  static int lanes_of(Value v);
  /// `element` as a vector of n, or itself where n is 1.
  static Type vector_of(Type element, int n);
  /// The type with v's number of lanes and that element.
  static Type like(Value v, Type element) { return is_vector(v) ? vector_of(element, lanes_of(v)) : element; }

  // Constants; of the scalar type `t`.
  Value constant(Type t, double value);
  Value integer(Type t, std::int64_t value);
  Value integer(std::int64_t value) { return integer(i64(), value); }
  Value boolean(bool value) { return integer(i1(), value ? 1 : 0); }
  /// (0, 1, 2, ...) of an integer type.
  Value iota(Type element, int n);
  /// A vector of i64: f(lane) in each of lanes().
  Value constant_lanes(const std::function<std::int64_t(int lane)>& f);
  /// A number that the backend does not know. LLVM 22.1 loads all lanes where a constant mask turns some off that nobody needs, also past
  /// the end of memory: masks of constants start from this.
  Value opaque(std::int64_t value);
  static bool is_constant(Value v, std::int64_t& value);
  static bool is_constant_equal(Value v, std::int64_t value);

  /// A pure operation, hoisted and folded.
  template <class Op, class... Args>
  Value pure(llvm::ArrayRef<Value> operands, Args&&... args) {
    mlir::OpBuilder::InsertionGuard guard(builder_);
    hoist(operands, true);
    return unique_constant(builder_.createOrFold<Op>(location(), std::forward<Args>(args)...));
  }
  template <class Op>
  Value unary(Value a) {
    return pure<Op>({a}, a);
  }
  template <class Op>
  Value binary(Value a, Value b) {
    match(a, b);
    return pure<Op>({a, b}, a, b);
  }

  // Integers and floats; operand types must agree but for the number of lanes.
  Value add(Value a, Value b);
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value min_signed(Value a, Value b) { return binary<mlir::arith::MinSIOp>(a, b); }
  Value max_signed(Value a, Value b) { return binary<mlir::arith::MaxSIOp>(a, b); }
  Value bit_and(Value a, Value b) { return binary<mlir::arith::AndIOp>(a, b); }
  Value bit_or(Value a, Value b) { return binary<mlir::arith::OrIOp>(a, b); }
  Value bit_xor(Value a, Value b) { return binary<mlir::arith::XOrIOp>(a, b); }
  Value bit_not(Value a) { return bit_xor(a, integer(element_type(a), -1)); }
  Value compare(mlir::arith::CmpIPredicate predicate, Value a, Value b);
  Value compare(mlir::arith::CmpFPredicate predicate, Value a, Value b);
  Value equal(Value a, Value b) { return compare(mlir::arith::CmpIPredicate::eq, a, b); }
  Value less(Value a, Value b) { return compare(mlir::arith::CmpIPredicate::slt, a, b); }
  Value select(Value condition, Value a, Value b);
  /// a * b + c: one rounding where the target has it, else two.
  Value fma(Value a, Value b, Value c);
  Value bitcast(Value v, Type element);
  /// Integer conversions by width; `sign` tells how a narrow one is widened.
  Value integer_cast(Value v, Type element, bool sign);

  /// Contraction of a product of one op with a sum of another (standard numerics): marks `v` as a product that nothing else uses.
  void mark_contractable(Value v);
  void set_contraction(bool on) { contraction_ = on; }

  // Vectors.
  Value splat(Value scalar, int n);
  Value splat(Value scalar) { return splat(scalar, lanes_); }
  Value extract(Value vector, int lane);
  Value shuffle(Value a, Value b, llvm::ArrayRef<std::int64_t> lanes);
  Value slice(Value vector, int first, int count);
  /// All lanes of the first, then of the next ...: a power of two of vectors of one type.
  Value concat(Values vectors);
  /// The mask of the first `count` (an i64) of n lanes.
  Value first_lanes(Value count, int n);

  // Memory. `element` is a memory type; offsets count elements of it.
  Value offset(Value pointer, Type element, Value count);
  Value load_scalar(Value pointer, Type type, bool invariant);
  void store_scalar(Value value, Value pointer);
  /// As the hooks do it; hoisted if the memory does not change while the kernel runs.
  Value load(Value pointer, mlir::VectorType type, Value mask, bool invariant);
  Value gather(Value pointer, Value offsets, mlir::VectorType type, Value mask, bool invariant);
  /// Memory on the function's stack, for `count` elements; placed in the entry block.
  Value stack(Type element, std::int64_t count);

  // Control flow.
  using LoopBody = std::function<Values(Value induction, mlir::ValueRange carried)>;
  Values loop(Value begin, Value end, Value step, mlir::ValueRange initial, const LoopBody& body);
  void loop(Value begin, Value end, Value step, const std::function<void(Value induction)>& body);
  Values branch(Value condition, mlir::TypeRange types, const std::function<Values()>& then, const std::function<Values()>& otherwise);
  void branch(Value condition, const std::function<void()>& then);
  /// `usual`, replaced lane by lane where the mask `rare` is true by what slow(x) gives, which is skipped where `rare` is false in all
  /// lanes. slow() emits the body of a function of its own, called by all that give this `name` and type of x.
  Values where_rare(Value rare, const Values& usual, std::string_view name, Value x, const std::function<Values(Value x)>& slow);
  /// A pointer as an i64, and back.
  Value address_of(Value pointer);
  Value pointer_to(Value address);
  /// Calls the function whose address is `callee`.
  void call(Value callee, mlir::ValueRange operands);
  /// The function of that name in this module: what `body` makes of arguments of those types, and of nothing else. It is made when first
  /// asked for; the builder builds it, and goes on where it was.
  mlir::LLVM::LLVMFuncOp pure_function(const std::string& symbol, llvm::ArrayRef<Type> parameters,
                                       const std::function<Value(mlir::ValueRange arguments)>& body);
  /// What such a function answers; hoisted as pure operations are.
  Value call_pure(mlir::LLVM::LLVMFuncOp function, const Values& operands);

  mlir::Location location() { return location_; }
  /// The entry block of the function being built.
  mlir::Block* entry();
  /// True if code at the insertion point may use v.
  bool available(Value v);

 private:
  /// Moves the insertion point before the outermost loop that computes none of the operands.
  void hoist(llvm::ArrayRef<Value> operands, bool out_of_branches);
  void match(Value& a, Value& b);
  /// One constant of each value a function, in its entry block: equal constants are one Value.
  Value unique_constant(Value v);
  bool take_product(Value v, Value& a, Value& b);

  mlir::OpBuilder& builder_;
  const TargetHooks& hooks_;
  mlir::Location location_;
  Type pointer_;
  int lanes_;
  bool contraction_ = false;
  llvm::DenseSet<Value> products_;
  llvm::DenseMap<std::pair<mlir::Block*, mlir::Attribute>, Value> constants_;
  llvm::DenseMap<std::pair<mlir::Block*, std::int64_t>, Value> opaque_;
};

}  // namespace kiln::codegen
