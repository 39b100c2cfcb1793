// Which ops are outlined, and their functions.
#include "codegen/outlined_ops.h"

#include <llvm/Support/raw_ostream.h>

#include <map>

#include "codegen/elementwise_table.h"
#include "ops/op.h"

namespace kiln::codegen {

void OutlinedOps::choose(const runtime::KernelSpec& spec) {
  constexpr int kLeastCost = 10, kLeastUses = 3;
  std::map<std::string, int> uses;
  for (const runtime::BodyNode& n : spec.body) {
    const ops::OpDef* op = n.op.empty() ? nullptr : ops::find_op(n.op);
    if (op != nullptr && op->kind == ops::OpKind::elementwise && op->traits.cost >= kLeastCost && is_floating(n.dtype)) ++uses[n.op];
  }
  for (const auto& [op, count] : uses) {
    if (count >= kLeastUses) ops_.insert(op);
  }
}

Value OutlinedOps::call(Builder& b, const std::string& op, DType dtype, const Values& operands) {
  std::string symbol = op;
  llvm::raw_string_ostream text(symbol);
  llvm::SmallVector<mlir::Type> parameters;
  for (Value v : operands) {
    parameters.push_back(v.getType());
    text << '.' << v.getType();
  }
  const auto body = [&](mlir::ValueRange arguments) { return emit_elementwise(b, op, dtype, Values(arguments.begin(), arguments.end())); };
  return b.call_pure(b.pure_function(symbol, parameters, body), operands);
}

}  // namespace kiln::codegen
