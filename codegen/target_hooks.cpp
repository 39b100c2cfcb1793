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
/// An AVX-512 intrinsic (PREFIX.ps.512 or PREFIX.pd.512) on each register of the operands `a` and `b`: f gives its operands.
Value by_register(Builder& builder, const std::string& prefix, Value a, Value b,
                  const std::function<Values(Value a, Value b, int lanes)>& f) {
  const Type element = Builder::element_type(a);
  const int lanes = kRegisterBits / static_cast<int>(element.getIntOrFloatBitWidth());
  const auto name = builder.mlir().getStringAttr(prefix + (element.isF64() ? ".pd.512" : ".ps.512"));
  const int all = Builder::lanes_of(a);
  Values parts;
  for (int first = 0; first < all; first += lanes) {
    const auto part = [&](Value v) { return lanes == all ? v : builder.slice(v, first, lanes); };
    Values operands = f(part(a), part(b), lanes);
    operands.push_back(builder.integer(builder.mlir().getIntegerType(static_cast<unsigned>(lanes)), -1));  // all lanes
    operands.push_back(builder.integer(builder.i32(), 4));                                                 // the current rounding
    parts.push_back(LLVM::CallIntrinsicOp::create(builder.mlir(), builder.location(), operands[0].getType(), name, operands).getResult(0));
  }
  return builder.concat(parts);
}
}  // namespace

Value TargetHooks::scale(Builder& b, Value p, Value n) const {
  if (!fills_registers(p)) return {};
  return by_register(b, "llvm.x86.avx512.mask.scalef", p, b.splat(n, Builder::lanes_of(p)),
                     [](Value p, Value n, int) { return Values{p, n, p}; });
}

Value TargetHooks::log_specials(Builder& b, Value x, Value result) const {
  if (!fills_registers(x)) return {};
  // What becomes of, from the lowest digit: quiet NaN, signalling NaN (2: that, quiet), 0 (4: -inf), 1 (0: the result), -inf (3: NaN),
  // inf (5: inf), negative (3), positive (0).
  constexpr std::int64_t kAnswers = 0x03530422;
  return by_register(b, "llvm.x86.avx512.mask.fixupimm", b.splat(result, Builder::lanes_of(x)), x, [&](Value result, Value x, int lanes) {
    Value table = b.splat(b.integer(Builder::element_type(x).isF64() ? b.i64() : b.i32(), kAnswers), lanes);
    return Values{result, x, table, b.integer(b.i32(), 0)};
  });
}

void TargetHooks::report(Builder& b, Value context, Value error, Value ordinal, Value payload) const {
  Value calls = b.load_scalar(context, b.ptr(), true);
  Value callee = b.load_scalar(b.offset(calls, b.ptr(), b.integer(1)), b.ptr(), true);
  b.call(callee, {context, error, ordinal, payload});
}

}  // namespace kiln::codegen
