// Finds and rewrites what LLVM would compile wrongly.
#include "codegen/llvm_repairs.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>

#include <vector>

namespace kiln::codegen {
namespace {

/// A vpternlog takes up to this many logic operations.
constexpr int kLogicDepth = 4;

const llvm::Value* without_casts(const llvm::Value* v) {
  while (const auto* cast = llvm::dyn_cast<llvm::BitCastInst>(v)) v = cast->getOperand(0);
  return v;
}

/// True if `v` is a bitwise expression with `leaf` in it.
bool is_logic_over(const llvm::Value* v, const llvm::Value* leaf, int depth = kLogicDepth) {
  const auto* logic = llvm::dyn_cast<llvm::BinaryOperator>(without_casts(v));
  if (logic == nullptr || !logic->isBitwiseLogicOp() || depth == 0) return false;
  for (const llvm::Value* operand : logic->operand_values()) {
    if (without_casts(operand) == leaf || is_logic_over(operand, leaf, depth - 1)) return true;
  }
  return false;
}

bool is_dangerous(const llvm::SelectInst& s) {
  if (!s.getType()->isVectorTy() || !s.getType()->getScalarType()->isIntegerTy() || !s.getCondition()->getType()->isVectorTy())
    return false;
  return is_logic_over(s.getTrueValue(), without_casts(s.getFalseValue())) ||
         is_logic_over(s.getFalseValue(), without_casts(s.getTrueValue()));
}

}  // namespace

void repair_masked_logic(llvm::Module& module) {
  for (llvm::Function& f : module) {
    std::vector<llvm::SelectInst*> found;
    for (llvm::Instruction& i : llvm::instructions(f)) {
      auto* s = llvm::dyn_cast<llvm::SelectInst>(&i);
      if (s != nullptr && is_dangerous(*s)) found.push_back(s);
    }
    for (llvm::SelectInst* s : found) {
      llvm::IRBuilder<> b(s);
      llvm::Value* y = s->getFalseValue();
      llvm::Value* difference = b.CreateXor(s->getTrueValue(), y);
      llvm::Value* chosen = b.CreateSelect(s->getCondition(), difference, llvm::Constant::getNullValue(s->getType()));
      s->replaceAllUsesWith(b.CreateXor(y, chosen));
      s->eraseFromParent();
    }
  }
}

void widen_half_rounding(llvm::Module& module) {
  for (llvm::Function& f : module) {
    std::vector<llvm::IntrinsicInst*> found;
    for (llvm::Instruction& i : llvm::instructions(f)) {
      auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
      if (call == nullptr || !call->getType()->getScalarType()->isHalfTy()) continue;
      const llvm::Intrinsic::ID id = call->getIntrinsicID();
      if (id == llvm::Intrinsic::floor || id == llvm::Intrinsic::roundeven) found.push_back(call);
    }
    for (llvm::IntrinsicInst* call : found) {
      llvm::IRBuilder<> b(call);
      llvm::Type* wide = call->getType()->getWithNewType(b.getFloatTy());
      llvm::Value* rounded = b.CreateUnaryIntrinsic(call->getIntrinsicID(), b.CreateFPExt(call->getArgOperand(0), wide));
      call->replaceAllUsesWith(b.CreateFPTrunc(rounded, call->getType()));
      call->eraseFromParent();
    }
  }
}

}  // namespace kiln::codegen
