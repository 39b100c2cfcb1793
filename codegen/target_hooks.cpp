// The CPU's hooks.
#include "codegen/target_hooks.h"

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

Value TargetHooks::scale(Builder& b, Value p, Value n) const {
  auto type = mlir::dyn_cast<mlir::VectorType>(p.getType());
  constexpr int kRegisterBits = 512;
  if (target_.isa != Isa::avx512 || !type || type.getNumElements() * type.getElementTypeBitWidth() != kRegisterBits) return {};
  const bool wide = type.getElementType().isF64();
  const char* name = wide ? "llvm.x86.avx512.mask.scalef.pd.512" : "llvm.x86.avx512.mask.scalef.ps.512";
  if (!mlir::isa<mlir::VectorType>(n.getType())) n = b.splat(n, static_cast<int>(type.getNumElements()));
  constexpr int kCurrentRounding = 4;
  Value all = b.integer(b.mlir().getIntegerType(wide ? 8 : 16), -1);
  Value rounding = b.integer(b.i32(), kCurrentRounding);
  return LLVM::CallIntrinsicOp::create(b.mlir(), b.location(), type, b.mlir().getStringAttr(name), mlir::ValueRange{p, n, p, all, rounding})
      .getResult(0);
}

void TargetHooks::report(Builder& b, Value context, Value error, Value ordinal, Value payload) const {
  Value calls = b.load_scalar(context, b.ptr(), true);
  Value callee = b.load_scalar(b.offset(calls, b.ptr(), b.integer(1)), b.ptr(), true);
  b.call(callee, {context, error, ordinal, payload});
}

}  // namespace kiln::codegen
