// Which ops are outlined, and their functions.
#include "codegen/outlined_ops.h"

#include <llvm/Support/raw_ostream.h>

#include "codegen/elementwise_table.h"
#include "ops/op.h"

namespace kiln::codegen {

namespace LLVM = mlir::LLVM;

void OutlinedOps::choose(const runtime::KernelSpec& spec) {
  constexpr int kLeastCost = 10, kLeastUses = 3;
  std::map<std::string, int> uses;
  for (const runtime::BodyNode& n : spec.body) {
    const ops::OpDef* op = n.op.empty() ? nullptr : ops::find_op(n.op);
    if (op != nullptr && op->kind == ops::OpKind::elementwise && op->traits.cost >= kLeastCost && is_floating(n.dtype)) ++uses[n.op];
  }
  for (const auto& [op, count] : uses) {
    if (count >= kLeastUses) ops_[op];
  }
}

LLVM::LLVMFuncOp OutlinedOps::function(Builder& b, const std::string& op, DType dtype, const Values& operands) {
  std::string types;
  llvm::raw_string_ostream text(types);
  llvm::SmallVector<mlir::Type> parameters;
  for (Value v : operands) {
    parameters.push_back(v.getType());
    text << '.' << v.getType();
  }
  LLVM::LLVMFuncOp& found = ops_[op][types];
  if (found) return found;
  mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(module_.getBody());
  // The type of the result is known when it is there.
  auto type = [&](mlir::Type result) { return LLVM::LLVMFunctionType::get(result, parameters); };
  auto none = LLVM::LLVMVoidType::get(builder.getContext());
  found = LLVM::LLVMFuncOp::create(builder, b.location(), op + types, type(none), LLVM::Linkage::Internal, false, LLVM::CConv::Fast);
  mlir::Block* entry = found.addEntryBlock(builder);
  builder.setInsertionPointToEnd(entry);
  auto end = LLVM::UnreachableOp::create(builder, b.location());
  builder.setInsertionPoint(end);
  Builder inside(builder, b.hooks(), b.lanes());
  Value result = emit_elementwise(inside, op, dtype, Values(entry->args_begin(), entry->args_end()));
  LLVM::ReturnOp::create(builder, b.location(), result);
  end->erase();
  found.setFunctionType(type(result.getType()));
  auto nothing = LLVM::ModRefInfo::NoModRef;
  found.setMemoryEffectsAttr(LLVM::MemoryEffectsAttr::get(builder.getContext(), {nothing, nothing, nothing, nothing, nothing, nothing}));
  found.setWillReturn(true);
  return found;
}

Value OutlinedOps::call(Builder& b, const std::string& op, DType dtype, const Values& operands) {
  return b.call_pure(function(b, op, dtype, operands), operands);
}

}  // namespace kiln::codegen
