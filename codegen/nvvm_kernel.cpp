// Loop kernels as NVVM kernels: a thread computes whole vectors where lanes are neighbours in memory, single elements elsewhere.
#include "codegen/nvvm_kernel.h"

#include <mlir/Dialect/LLVMIR/NVVMDialect.h>

#include "base/require.h"
#include "codegen/loop_nest.h"

namespace kiln::codegen {

namespace LLVM = mlir::LLVM;
using runtime::KernelSpec;

namespace {

/// An empty kernel function and its arguments.
struct NvvmFunction {
  NvvmFunction(mlir::OpBuilder& builder, Builder& b, const KernelSpec& spec) {
    const int pointers = spec.num_inputs + static_cast<int>(spec.outputs.size());
    llvm::SmallVector<Type> types(static_cast<std::size_t>(pointers), b.ptr());
    types.append(static_cast<std::size_t>(spec.num_dims), b.i64());
    types.push_back(b.ptr());
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(builder.getContext()), types);
    auto function = LLVM::LLVMFuncOp::create(builder, b.location(), runtime::kKernelEntry, type);
    function->setAttr(mlir::NVVM::NVVMDialect::getKernelFuncAttrName(), builder.getUnitAttr());
    mlir::Block* entry = function.addEntryBlock(builder);
    for (int i = 0; i < pointers; ++i) {
      function.setArgAttr(static_cast<unsigned>(i), LLVM::LLVMDialect::getAlignAttrName(), builder.getI64IntegerAttr(16));
    }
    builder.setInsertionPointToEnd(entry);
    auto end = LLVM::ReturnOp::create(builder, b.location(), mlir::ValueRange{});
    builder.setInsertionPoint(end);
    const auto argument = [entry](int i) -> Value { return entry->getArgument(static_cast<unsigned>(i)); };
    arguments.pointer = argument;
    arguments.dim = [argument, pointers](int i) { return argument(pointers + i); };
    arguments.context = entry->getArguments().back();
  }
  KernelArguments arguments;
};

/// Bytes of the widest element that a linear body moves: all lanes of a thread's vector fit one access of 16.
int widest_element(const KernelSpec& spec) {
  std::size_t widest = 1;
  for (const runtime::BodyNode& n : spec.body) {
    const bool half = n.dtype == DType::float16 || n.dtype == DType::bfloat16;
    widest = std::max(widest, half ? 4 : size_of(n.dtype));
  }
  return static_cast<int>(widest);
}

/// f(i) for this thread's share of [begin, end): begin + number of the thread, then every thread count further.
void grid_loop(Builder& b, const NvvmHooks& hooks, Value end, const std::function<void(Value i)>& f) {
  b.loop(hooks.thread(b), end, hooks.threads(b), f);
}

void emit_linear(ElementEmitter& e, const NvvmHooks& hooks, const LoopNest& nest, int lanes) {
  Builder& b = e.builder();
  const RowPosition row(e, nest, {});
  Value count = nest.inner_length(e);
  Value vectors = b.binary<mlir::arith::DivUIOp>(count, b.integer(lanes));
  b.set_lanes(lanes);
  grid_loop(b, hooks, vectors, [&](Value i) { emit_outputs(e, {row.at({b.mul(i, b.integer(lanes)), lanes > 1 ? 1 : 0, {}})}, {}); });
  if (lanes == 1) return;
  b.set_lanes(1);
  Value whole = b.mul(vectors, b.integer(lanes));
  grid_loop(b, hooks, b.sub(count, whole), [&](Value i) { emit_outputs(e, {row.at({b.add(whole, i)})}, {}); });
}

void emit_by_elements(ElementEmitter& e, const NvvmHooks& hooks, const LoopNest& nest) {
  Builder& b = e.builder();
  b.set_lanes(1);
  Value inner = nest.inner_length(e);
  grid_loop(b, hooks, b.mul(nest.outer_length(e), inner), [&](Value i) {
    auto [row, column] = e.indexing().divide({i}, inner);
    emit_outputs(e, {RowPosition(e, nest, row.base).at(column)}, {});
  });
}

}  // namespace

mlir::OwningOpRef<mlir::ModuleOp> emit_nvvm_kernel(mlir::MLIRContext& context, const KernelSpec& spec, const NvvmHooks& hooks) {
  if (spec.kind != runtime::KernelKind::loop) throw CompileError("code generation: no GPU emitter for this kind of kernel", {});
  mlir::OpBuilder builder(&context);
  mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(builder.getUnknownLoc());
  builder.setInsertionPointToEnd(module->getBody());
  Builder b(builder, hooks, 1);
  const NvvmFunction function(builder, b, spec);
  ElementEmitter e(b, spec, function.arguments);
  const LoopNest nest = LoopNest::of(e);
  if (nest.linear)
    emit_linear(e, hooks, nest, hooks.vector_bytes() / std::max(4, widest_element(spec)));
  else
    emit_by_elements(e, hooks, nest);
  return module;
}

}  // namespace kiln::codegen
