// NVVM's hooks.
#include "codegen/nvvm_hooks.h"

#include <mlir/Dialect/LLVMIR/NVVMDialect.h>

#include <cstddef>

#include "base/require.h"
#include "codegen/builder.h"

namespace kiln::codegen {

namespace LLVM = mlir::LLVM;
namespace NVVM = mlir::NVVM;

namespace {

constexpr unsigned kGlobalMemory = 1;

unsigned vector_alignment(mlir::VectorType type) {
  return static_cast<unsigned>(type.getNumElements()) * type.getElementTypeBitWidth() / 8;
}

template <class Register>
Value special_register(Builder& b) {
  return b.integer_cast(Register::create(b.mlir(), b.location(), b.i32()), b.i64(), false);
}

}  // namespace

// The ISA of the base class speaks of the CPU; every question that reads it is overridden.
NvvmHooks::NvvmHooks() : TargetHooks(Target{}) {}

unsigned NvvmHooks::address_space() const { return kGlobalMemory; }

Value NvvmHooks::load(Builder& b, Value pointer, mlir::VectorType type, Value mask, bool invariant) const {
  KILN_ASSERT(!mask, "a masked load on a GPU");
  return LLVM::LoadOp::create(b.mlir(), b.location(), type, pointer, vector_alignment(type), false, false, invariant);
}

void NvvmHooks::store(Builder& b, Value vector, Value pointer, Value mask) const {
  KILN_ASSERT(!mask, "a masked store on a GPU");
  auto type = mlir::cast<mlir::VectorType>(vector.getType());
  LLVM::StoreOp::create(b.mlir(), b.location(), vector, pointer, vector_alignment(type));
}

Value NvvmHooks::gather(Builder& b, Value pointer, Value offsets, mlir::VectorType type, Value mask) const {
  KILN_ASSERT(!mask, "a masked gather on a GPU");
  Values lanes;
  for (int i = 0; i < static_cast<int>(type.getNumElements()); ++i) {
    lanes.push_back(b.load_scalar(b.offset(pointer, type.getElementType(), b.extract(offsets, i)), type.getElementType(), false));
  }
  return mlir::vector::FromElementsOp::create(b.mlir(), b.location(), type, lanes);
}

Value NvvmHooks::sqrt(Builder& b, Value x) const {
  if (Builder::is_vector(x)) {
    Values lanes;
    for (int i = 0; i < Builder::lanes_of(x); ++i) lanes.push_back(sqrt(b, b.extract(x, i)));
    return mlir::vector::FromElementsOp::create(b.mlir(), b.location(), mlir::cast<mlir::VectorType>(x.getType()), lanes);
  }
  // By name: the generic square root may become an approximation.
  const char* intrinsic = Builder::element_type(x).isF64() ? "llvm.nvvm.sqrt.rn.d" : "llvm.nvvm.sqrt.rn.f";
  return LLVM::CallIntrinsicOp::create(b.mlir(), b.location(), x.getType(), b.mlir().getStringAttr(intrinsic), mlir::ValueRange{x})
      .getResult(0);
}

void NvvmHooks::report(Builder& b, Value context, Value error, Value ordinal, Value payload) const {
  const auto field = [&](std::size_t offset) { return b.offset(context, b.i8(), b.integer(static_cast<std::int64_t>(offset))); };
  Value none = b.integer(b.i32(), static_cast<int>(KernelError::none));
  auto exchanged = LLVM::AtomicCmpXchgOp::create(b.mlir(), b.location(), field(offsetof(KernelContext, error)), none, error,
                                                 LLVM::AtomicOrdering::monotonic, LLVM::AtomicOrdering::monotonic);
  Value first = LLVM::ExtractValueOp::create(b.mlir(), b.location(), exchanged, 1);
  b.branch(first, [&] {
    b.store_scalar(ordinal, field(offsetof(KernelContext, error_ordinal)));
    b.store_scalar(payload, field(offsetof(KernelContext, error_payload)));
  });
}

Value NvvmHooks::thread(Builder& b) const {
  Value block = special_register<NVVM::BlockIdXOp>(b);
  return b.add(b.mul(block, special_register<NVVM::BlockDimXOp>(b)), special_register<NVVM::ThreadIdXOp>(b));
}

Value NvvmHooks::threads(Builder& b) const { return b.mul(special_register<NVVM::GridDimXOp>(b), special_register<NVVM::BlockDimXOp>(b)); }

}  // namespace kiln::codegen
