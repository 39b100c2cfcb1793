// What kernel emitters share, and their dispatch.
#include "codegen/kernel_emitter.h"

#include <algorithm>

#include "base/require.h"
#include "ops/op.h"

namespace kiln::codegen {

namespace LLVM = mlir::LLVM;
using runtime::BodyNode;
using runtime::KernelKind;

namespace {
/// Cycles of work below which a thread is not worth waking.
constexpr std::int64_t kGrainCycles = 12000;
/// Cost from which on a body is not written more than once: neither for independent chains nor for whole vectors without masks.
constexpr int kLongBody = 150;
}  // namespace

KernelModule::KernelModule(mlir::MLIRContext& context, const runtime::KernelSpec& spec, const TargetHooks& hooks)
    : spec_(spec), hooks_(hooks), builder_(&context), module_(mlir::ModuleOp::create(builder_.getUnknownLoc())) {
  if (is_long() && is_narrow() && hooks.can_pass_vectors()) outlined_.choose(spec);
}

void KernelModule::add_function(const char* name, int extra, bool exported, const Body& body) {
  mlir::OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointToEnd(module_->getBody());
  Builder b(builder_, hooks_, vector_lanes());
  auto plain = LLVM::LLVMPointerType::get(builder_.getContext());
  llvm::SmallVector<Type> types(3, plain);
  types.append(static_cast<std::size_t>(extra), b.i64());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(builder_.getContext()), types);
  const auto linkage = exported ? LLVM::Linkage::External : LLVM::Linkage::Internal;
  auto function = LLVM::LLVMFuncOp::create(builder_, b.location(), name, type, linkage);
  mlir::Block* entry = function.addEntryBlock(builder_);
  builder_.setInsertionPointToEnd(entry);
  auto end = LLVM::ReturnOp::create(builder_, b.location(), mlir::ValueRange{});
  builder_.setInsertionPoint(end);
  const Values extras(entry->args_begin() + 3, entry->args_end());
  ElementEmitter e(b, spec_, KernelArguments::in_memory(b, entry->getArgument(0), entry->getArgument(1), entry->getArgument(2)),
                   &outlined_);
  Function f{b, e, entry->getArgument(0), entry->getArgument(1), entry->getArgument(2), extras};
  body(f);
}

void KernelModule::call_parallel(Function& f, const char* range, Value args, Extent extent) {
  Builder& b = f.b;
  auto plain = LLVM::LLVMPointerType::get(builder_.getContext());
  Value function = LLVM::AddressOfOp::create(b.mlir(), b.location(), plain, range);
  Value calls = b.load_scalar(f.context, plain, true);
  Value parallel_for = b.load_scalar(calls, plain, true);
  b.call(parallel_for, {f.context, function, args, f.dims, extent.count, extent.grain});
}

void KernelModule::add_parallel_entry(const char* range, const std::function<Extent(Function& f)>& extent) {
  add_function(runtime::kKernelEntry, 0, true, [&](Function& f) { call_parallel(f, range, f.args, extent(f)); });
}

int KernelModule::vector_lanes() const {
  std::size_t widest = 1;
  bool all_wide = true;
  for (const BodyNode& n : spec_.body) {
    const std::size_t bytes = n.op.empty() || n.dtype == DType::boolean ? size_of(n.dtype) : std::max<std::size_t>(size_of(n.dtype), 1);
    const bool half = n.dtype == DType::float16 || n.dtype == DType::bfloat16;
    widest = std::max(widest, half ? 4 : bytes);
    all_wide &= bytes == 8;
  }
  const std::size_t bytes = all_wide ? 8 : std::min<std::size_t>(std::max<std::size_t>(widest, 2), 4);
  return hooks_.vector_bytes() / static_cast<int>(bytes);
}

int KernelModule::body_cost() const {
  int cost = 2;
  for (const BodyNode& n : spec_.body) {
    const ops::OpDef* op = n.op.empty() ? nullptr : ops::find_op(n.op);
    cost += op == nullptr ? 2 : op->traits.cost;
  }
  return cost;
}

KernelModule::Extent KernelModule::extent(Builder& b, Value count, Value elements) const {
  Value grain = b.binary<mlir::arith::DivUIOp>(b.integer(grain_elements()), b.max_signed(elements, b.integer(1)));
  return {count, b.max_signed(grain, b.integer(1))};
}

std::int64_t KernelModule::grain_elements() const { return kGrainCycles / body_cost() * vector_lanes(); }

bool KernelModule::is_long() const { return body_cost() > kLongBody; }

bool KernelModule::is_narrow() const {
  constexpr int kFew = 6;
  // What is read or the same for all elements is had where it is used.
  const auto counts = [&](std::int32_t n) {
    const std::string& name = spec_.body[static_cast<std::size_t>(n)].op;
    const ops::OpDef* op = name.empty() ? nullptr : ops::find_op(name);
    return op != nullptr && op->kind == ops::OpKind::elementwise;
  };
  std::vector<std::int32_t> last_use(spec_.body.size(), -1);
  const auto size = static_cast<std::int32_t>(spec_.body.size());
  for (std::int32_t i = 0; i < size; ++i) {
    for (std::int32_t o : spec_.body[static_cast<std::size_t>(i)].operands) last_use[static_cast<std::size_t>(o)] = i;
  }
  std::vector<int> ends(spec_.body.size());  // by the node that uses them last
  int live = 0, most = 0;
  for (std::int32_t i = 0; i < size; ++i) {
    const std::int32_t last = last_use[static_cast<std::size_t>(i)];
    if (counts(i)) most = std::max(most, ++live);
    if (counts(i) && last >= 0) ++ends[static_cast<std::size_t>(last)];
    live -= ends[static_cast<std::size_t>(i)];
  }
  return most <= kFew;
}

int KernelModule::wide_lanes() const {
  constexpr int kLongChain = 20;
  const int cost = body_cost();
  int registers = 1;
  if (cost >= kLongChain) registers = 2;
  if (is_long()) registers = !outlined_.empty() ? 4 : is_narrow() ? 2 : 1;
  return registers * vector_lanes();
}

void vector_loop(Builder& b, Value begin, Value end, int lanes, const std::function<void(Value first, const Mask& mask)>& f) {
  std::int64_t from = 0, to = 0;
  const bool known = Builder::is_constant(begin, from) && Builder::is_constant(end, to);
  const int before = b.lanes();
  b.set_lanes(lanes);
  Value length = b.sub(end, begin);
  Value middle = b.add(begin, b.sub(length, b.bit_and(length, b.integer(lanes - 1))));
  if (!known || to - from >= lanes) b.loop(begin, middle, b.integer(lanes), [&](Value i) { f(i, {}); });
  if (lanes > 1 && (!known || (to - from) % lanes != 0)) {
    b.branch(b.less(middle, end), [&] { f(middle, {b.first_lanes(b.sub(end, middle), lanes), {}, {}}); });
  }
  b.set_lanes(before);
}

void element_loop(const KernelModule& m, Builder& b, Value begin, Value end, int lanes,
                  const std::function<void(Value first, const Mask& mask)>& f) {
  std::int64_t from = 0, to = 0;
  const bool even = Builder::is_constant(begin, from) && Builder::is_constant(end, to) && (to - from) % lanes == 0;
  if (even || lanes == 1 || !m.is_long()) return vector_loop(b, begin, end, lanes, f);
  const int before = b.lanes();
  b.set_lanes(lanes);
  b.loop(begin, end, b.integer(lanes), [&](Value i) { f(i, {b.first_lanes(b.sub(end, i), lanes), {}, {}}); });
  b.set_lanes(before);
}

mlir::OwningOpRef<mlir::ModuleOp> emit_kernel(mlir::MLIRContext& context, const runtime::KernelSpec& spec, const TargetHooks& hooks) {
  KernelModule m(context, spec, hooks);
  switch (spec.kind) {
    case KernelKind::loop:
      emit_loop_kernel(m);
      break;
    case KernelKind::tile:
      emit_tile_kernel(m);
      break;
    case KernelKind::reduce:
      emit_reduce_kernel(m);
      break;
    case KernelKind::row:
      emit_row_kernel(m);
      break;
    case KernelKind::scatter:
      emit_scatter_kernel(m);
      break;
    default:
      throw CompileError("code generation: no emitter for this kind of kernel", {});
  }
  return m.take();
}

}  // namespace kiln::codegen
