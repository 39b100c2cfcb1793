// The CPU's hooks.
#include "codegen/target_hooks.h"

#include <functional>
#include <string>

#include "codegen/builder.h"

namespace kiln::codegen {

namespace LLVM = mlir::LLVM;

namespace {

unsigned element_bytes(mlir::VectorType type) { return type.getElementTypeBitWidth() / 8; }

Value zero_vector(Builder& b, mlir::VectorType type) {
  return b.splat(b.constant(type.getElementType(), 0), static_cast<int>(type.getNumElements()));
}

}  // namespace

Value TargetHooks::load(Builder& b, Value pointer, mlir::VectorType type, Value mask, bool invariant) const {
  if (!mask) return LLVM::LoadOp::create(b.mlir(), b.location(), type, pointer, element_bytes(type), false, false, invariant);
  return LLVM::MaskedLoadOp::create(b.mlir(), b.location(), type, pointer, mask, zero_vector(b, type), element_bytes(type));
}

void TargetHooks::store(Builder& b, Value vector, Value pointer, Value mask) const {
  auto type = mlir::cast<mlir::VectorType>(vector.getType());
  if (!mask) {
    LLVM::StoreOp::create(b.mlir(), b.location(), vector, pointer, element_bytes(type));
  } else {
    LLVM::MaskedStoreOp::create(b.mlir(), b.location(), vector, pointer, mask, element_bytes(type));
  }
}

void TargetHooks::stream(Builder& b, Value vector, Value pointer) const {
  LLVM::StoreOp::create(b.mlir(), b.location(), vector, pointer, static_cast<unsigned>(vector_bytes()), false, /*isNonTemporal=*/true);
}

void TargetHooks::fence(Builder& b) const {
  LLVM::CallIntrinsicOp::create(b.mlir(), b.location(), b.mlir().getStringAttr("llvm.x86.sse.sfence"), mlir::ValueRange{});
}

Value TargetHooks::gather(Builder& b, Value pointer, Value offsets, mlir::VectorType type, Value mask) const {
  const int n = static_cast<int>(type.getNumElements());
  auto pointers = mlir::VectorType::get({n}, pointer.getType());
  Value addresses = LLVM::GEPOp::create(b.mlir(), b.location(), pointers, type.getElementType(), pointer, mlir::ValueRange{offsets});
  if (!mask) mask = b.splat(b.boolean(true), n);
  return LLVM::masked_gather::create(b.mlir(), b.location(), type, addresses, mask, mlir::ValueRange{zero_vector(b, type)},
                                     element_bytes(type));
}

Value TargetHooks::sqrt(Builder& b, Value x) const { return b.pure<LLVM::SqrtOp>({x}, x.getType(), x); }

constexpr int kRegisterBits = 512;

/// True for floats in AVX-512 registers, none of them partly used.
bool TargetHooks::fills_registers(Value v) const {
  auto type = mlir::dyn_cast<mlir::VectorType>(v.getType());
  return target_.isa == Isa::avx512 && type && type.getNumElements() * type.getElementTypeBitWidth() % kRegisterBits == 0;
}

namespace {
/// f on each AVX-512 register of the operands.
Value by_register(Builder& builder, Value a, Value b, const std::function<Value(Value a, Value b, int lanes)>& f) {
  const int lanes = kRegisterBits / static_cast<int>(Builder::element_type(a).getIntOrFloatBitWidth());
  const int all = Builder::lanes_of(a);
  Values parts;
  for (int first = 0; first < all; first += lanes) {
    const auto part = [&](Value v) { return lanes == all ? v : builder.slice(v, first, lanes); };
    parts.push_back(f(part(a), part(b), lanes));
  }
  return builder.concat(parts);
}

Value call_intrinsic(Builder& b, const std::string& name, mlir::ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(b.mlir(), b.location(), operands[0].getType(), b.mlir().getStringAttr(name), operands).getResult(0);
}

/// PREFIX.ps.512 or PREFIX.pd.512 with all lanes on and the current rounding.
Value call_float_intrinsic(Builder& b, const std::string& prefix, Values operands, int lanes) {
  operands.push_back(b.integer(b.mlir().getIntegerType(static_cast<unsigned>(lanes)), -1));
  operands.push_back(b.integer(b.i32(), 4));
  return call_intrinsic(b, prefix + (Builder::element_type(operands[0]).isF64() ? ".pd.512" : ".ps.512"), operands);
}
}  // namespace

Value TargetHooks::scale(Builder& b, Value p, Value n) const {
  if (!fills_registers(p)) return {};
  return by_register(b, p, b.splat(n, Builder::lanes_of(p)),
                     [&](Value p, Value n, int lanes) { return call_float_intrinsic(b, "llvm.x86.avx512.mask.scalef", {p, n, p}, lanes); });
}

Value TargetHooks::join_maximum(Builder& b, Value x, Value y) const {
  if (!fills_registers(x)) return {};
  return by_register(b, x, b.splat(y, Builder::lanes_of(x)), [&](Value x, Value y, int lanes) {
    Value sign = b.splat(b.integer(b.i32(), INT32_MIN), lanes);
    constexpr int kBothWhereSignElseEither = 0xd4;  // by the bits of x, y, sign as a number
    return call_intrinsic(b, "llvm.x86.avx512.pternlog.d.512", {x, y, sign, b.integer(b.i32(), kBothWhereSignElseEither)});
  });
}

Value TargetHooks::log_specials(Builder& b, Value x, Value result) const {
  if (!fills_registers(x)) return {};
  // What becomes of, from the lowest digit: quiet NaN, signalling NaN (2: that, quiet), 0 (4: -inf), 1 (0: the result), -inf (3: NaN),
  // inf (5: inf), negative (3), positive (0).
  constexpr std::int64_t kAnswers = 0x03530422;
  return by_register(b, b.splat(result, Builder::lanes_of(x)), x, [&](Value result, Value x, int lanes) {
    Value table = b.splat(b.integer(Builder::element_type(x).isF64() ? b.i64() : b.i32(), kAnswers), lanes);
    return call_float_intrinsic(b, "llvm.x86.avx512.mask.fixupimm", {result, x, table, b.integer(b.i32(), 0)}, lanes);
  });
}

void TargetHooks::report(Builder& b, Value context, Value error, Value ordinal, Value payload) const {
  Value calls = b.load_scalar(context, b.ptr(), true);
  Value callee = b.load_scalar(b.offset(calls, b.ptr(), b.integer(1)), b.ptr(), true);
  b.call(callee, {context, error, ordinal, payload});
}

}  // namespace kiln::codegen
