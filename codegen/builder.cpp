// Builder's operations.
#include "codegen/builder.h"

#include <fmt/format.h>
#include <mlir/IR/Matchers.h>

#include <algorithm>
#include <numeric>

namespace kiln::codegen {

namespace arith = mlir::arith;
namespace LLVM = mlir::LLVM;

Builder::Builder(mlir::OpBuilder& builder, const TargetHooks& hooks, int lanes)
    : builder_(builder),
      hooks_(hooks),
      location_(builder.getUnknownLoc()),
      pointer_(LLVM::LLVMPointerType::get(builder.getContext(), hooks.address_space())),
      lanes_(lanes) {}

Type Builder::value_type(DType t) {
  switch (t) {
    case DType::boolean:
      return builder_.getI1Type();
    case DType::uint8:
    case DType::int8:
      return builder_.getI8Type();
    case DType::int32:
      return builder_.getI32Type();
    case DType::int64:
      return builder_.getI64Type();
    case DType::float64:
      return builder_.getF64Type();
    default:
      return builder_.getF32Type();
  }
}

Type Builder::memory_type(DType t) {
  switch (t) {
    case DType::boolean:
      return builder_.getI8Type();
    case DType::float16:
    case DType::bfloat16:
      return builder_.getI16Type();
    default:
      return value_type(t);
  }
}

Type Builder::element_type(Type t) {
  auto vector = mlir::dyn_cast<mlir::VectorType>(t);
  return vector ? vector.getElementType() : t;
}

int Builder::lanes_of(Value v) {
  auto vector = mlir::dyn_cast<mlir::VectorType>(v.getType());
  return vector ? static_cast<int>(vector.getNumElements()) : 1;
}

Type Builder::vector_of(Type element, int n) { return n == 1 ? element : mlir::VectorType::get({n}, element); }

Value Builder::constant(Type t, double value) {
  if (mlir::isa<mlir::FloatType>(t)) return pure<arith::ConstantOp>({}, builder_.getFloatAttr(t, value));
  return integer(t, static_cast<std::int64_t>(value));
}

Value Builder::integer(Type t, std::int64_t value) {
  const llvm::APInt bits(t.getIntOrFloatBitWidth(), static_cast<std::uint64_t>(value), true, true);
  return pure<arith::ConstantOp>({}, builder_.getIntegerAttr(t, bits));
}

Value Builder::iota(Type element, int n) {
  llvm::SmallVector<llvm::APInt> lanes;
  for (int i = 0; i < n; ++i) lanes.push_back(llvm::APInt(element.getIntOrFloatBitWidth(), static_cast<std::uint64_t>(i)));
  auto attribute = mlir::DenseElementsAttr::get(mlir::VectorType::get({n}, element), lanes);
  return pure<arith::ConstantOp>({}, mlir::cast<mlir::TypedAttr>(attribute));
}

Value Builder::constant_lanes(const std::function<std::int64_t(int lane)>& f) {
  llvm::SmallVector<std::int64_t> numbers;
  for (int lane = 0; lane < lanes_; ++lane) numbers.push_back(f(lane));
  return pure<arith::ConstantOp>({}, mlir::cast<mlir::TypedAttr>(builder_.getI64VectorAttr(numbers)));
}

Value Builder::opaque(std::int64_t value) {
  Value& known = opaque_[{entry(), value}];
  if (known) return known;
  Value memory = stack(i64(), 1);
  mlir::OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointAfter(memory.getDefiningOp());
  store_scalar(arith::ConstantOp::create(builder_, location(), builder_.getI64IntegerAttr(value)), memory);
  return known = LLVM::LoadOp::create(builder_, location(), i64(), memory, 8, /*isVolatile=*/true);
}

bool Builder::is_constant(Value v, std::int64_t& value) {
  llvm::APInt bits;
  if (!v || !mlir::matchPattern(v, mlir::m_ConstantInt(&bits))) return false;
  value = bits.getSExtValue();
  return true;
}

bool Builder::is_constant_equal(Value v, std::int64_t value) {
  std::int64_t found = 0;
  return is_constant(v, found) && found == value;
}

void Builder::hoist(llvm::ArrayRef<Value> operands, bool out_of_branches) {
  mlir::Region* region = builder_.getInsertionBlock()->getParent();
  while (true) {
    mlir::Operation* parent = region->getParentOp();
    const bool loop = mlir::isa<mlir::scf::ForOp>(parent);
    if (!loop && !(out_of_branches && mlir::isa<mlir::scf::IfOp>(parent))) return;
    for (Value v : operands) {
      if (v.getParentRegion() == region) return;
    }
    // Out of a branch alone would compute what may not be needed; out of a loop around it pays.
    if (loop) builder_.setInsertionPoint(parent);
    region = parent->getParentRegion();
  }
}

Value Builder::unique_constant(Value v) {
  auto made = v.getDefiningOp<arith::ConstantOp>();
  if (!made) return v;
  mlir::Block* block = entry();
  Value& slot = constants_[{block, made.getValue()}];
  if (slot == v) return v;
  if (!slot) {
    made->moveBefore(block, block->begin());
    return slot = v;
  }
  if (made->use_empty()) made->erase();
  return slot;
}

void Builder::match(Value& a, Value& b) {
  if (is_vector(a) && !is_vector(b)) b = splat(b, lanes_of(a));
  if (is_vector(b) && !is_vector(a)) a = splat(a, lanes_of(b));
}

void Builder::mark_contractable(Value v) {
  if (contraction_) products_.insert(v);
}

bool Builder::take_product(Value v, Value& a, Value& b) {
  if (!contraction_ || !products_.contains(v)) return false;
  auto product = v.getDefiningOp<arith::MulFOp>();
  if (!product) return false;
  a = product.getLhs();
  b = product.getRhs();
  return true;
}

Value Builder::add(Value a, Value b) {
  if (!mlir::isa<mlir::FloatType>(element_type(a))) return binary<arith::AddIOp>(a, b);
  Value x, y;
  if (take_product(a, x, y)) return fma(x, y, b);
  if (take_product(b, x, y)) return fma(x, y, a);
  return binary<arith::AddFOp>(a, b);
}

Value Builder::sub(Value a, Value b) {
  if (!mlir::isa<mlir::FloatType>(element_type(a))) return binary<arith::SubIOp>(a, b);
  Value x, y;
  if (take_product(a, x, y)) return fma(x, y, unary<arith::NegFOp>(b));
  if (take_product(b, x, y)) return fma(unary<arith::NegFOp>(x), y, a);
  return binary<arith::SubFOp>(a, b);
}

Value Builder::mul(Value a, Value b) {
  if (mlir::isa<mlir::FloatType>(element_type(a))) return binary<arith::MulFOp>(a, b);
  return binary<arith::MulIOp>(a, b);
}

Value Builder::compare(arith::CmpIPredicate predicate, Value a, Value b) {
  match(a, b);
  return pure<arith::CmpIOp>({a, b}, predicate, a, b);
}

Value Builder::compare(arith::CmpFPredicate predicate, Value a, Value b) {
  match(a, b);
  return pure<arith::CmpFOp>({a, b}, predicate, a, b);
}

Value Builder::select(Value condition, Value a, Value b) {
  match(a, b);
  if (is_vector(condition) && !is_vector(a)) {
    a = splat(a, lanes_of(condition));
    b = splat(b, lanes_of(condition));
  }
  return pure<arith::SelectOp>({condition, a, b}, condition, a, b);
}

Value Builder::fma(Value a, Value b, Value c) {
  match(a, b);
  match(a, c);
  match(b, c);
  if (!hooks_.has_fma()) return binary<arith::AddFOp>(binary<arith::MulFOp>(a, b), c);
  return pure<LLVM::FMAOp>({a, b, c}, a.getType(), a, b, c);
}

Value Builder::bitcast(Value v, Type element) {
  if (element_type(v) == element) return v;
  return pure<arith::BitcastOp>({v}, like(v, element), v);
}

Value Builder::integer_cast(Value v, Type element, bool sign) {
  const unsigned from = element_type(v).getIntOrFloatBitWidth();
  const unsigned to = element.getIntOrFloatBitWidth();
  if (from == to) return v;
  if (from > to) return pure<arith::TruncIOp>({v}, like(v, element), v);
  if (sign) return pure<arith::ExtSIOp>({v}, like(v, element), v);
  return pure<arith::ExtUIOp>({v}, like(v, element), v);
}

Value Builder::splat(Value scalar, int n) {
  if (is_vector(scalar) || n == 1) return scalar;
  return pure<mlir::vector::BroadcastOp>({scalar}, vector_of(scalar.getType(), n), scalar);
}

Value Builder::extract(Value vector, int lane) { return pure<mlir::vector::ExtractOp>({vector}, vector, lane); }

Value Builder::shuffle(Value a, Value b, llvm::ArrayRef<std::int64_t> lanes) { return pure<mlir::vector::ShuffleOp>({a, b}, a, b, lanes); }

Value Builder::slice(Value vector, int first, int count) {
  if (count == 1) return extract(vector, first);
  llvm::SmallVector<std::int64_t> lanes;
  for (int i = 0; i < count; ++i) lanes.push_back(first + i);
  return shuffle(vector, vector, lanes);
}

Value Builder::concat(Values vectors) {
  while (vectors.size() > 1) {
    llvm::SmallVector<std::int64_t> lanes(2 * static_cast<std::size_t>(lanes_of(vectors[0])));
    std::iota(lanes.begin(), lanes.end(), 0);
    Values pairs;
    for (std::size_t i = 0; i < vectors.size(); i += 2) pairs.push_back(shuffle(vectors[i], vectors[i + 1], lanes));
    vectors = std::move(pairs);
  }
  return vectors[0];
}

Value Builder::first_lanes(Value count, int n) {
  Value limited = integer_cast(min_signed(max_signed(count, integer(0)), integer(n)), i32(), true);
  return compare(arith::CmpIPredicate::slt, iota(i32(), n), splat(limited, n));
}

namespace {
int depth_of(Value v) {
  int depth = 0;
  for (mlir::Region* r = v.getParentRegion(); r != nullptr; r = r->getParentRegion()) ++depth;
  return depth;
}
}  // namespace

Value Builder::offset(Value pointer, Type element, Value count) {
  if (is_constant_equal(count, 0)) return pointer;
  // What a loop does not change goes into the pointer before the loop: the address in it is then pointer and induction.
  if (auto sum = count.getDefiningOp<arith::AddIOp>()) {
    Value outer = sum.getLhs(), inner = sum.getRhs();
    if (depth_of(outer) > depth_of(inner)) std::swap(outer, inner);
    std::int64_t ignored = 0;
    if (depth_of(outer) < depth_of(inner) && depth_of(pointer) < depth_of(inner) && !is_constant(outer, ignored)) {
      return offset(offset(pointer, element, outer), element, inner);
    }
  }
  return pure<LLVM::GEPOp>({pointer, count}, pointer.getType(), element, pointer, mlir::ValueRange{count});
}

Value Builder::load_scalar(Value pointer, Type type, bool invariant) {
  mlir::OpBuilder::InsertionGuard guard(builder_);
  if (invariant) hoist({pointer}, false);
  const unsigned bytes = mlir::isa<LLVM::LLVMPointerType>(type) ? 8 : type.getIntOrFloatBitWidth() / 8;
  return LLVM::LoadOp::create(builder_, location(), type, pointer, bytes, false, false, invariant);
}

void Builder::store_scalar(Value value, Value pointer) {
  const unsigned bytes = mlir::isa<LLVM::LLVMPointerType>(value.getType()) ? 8 : value.getType().getIntOrFloatBitWidth() / 8;
  LLVM::StoreOp::create(builder_, location(), value, pointer, bytes);
}

Value Builder::load(Value pointer, mlir::VectorType type, Value mask, bool invariant) {
  mlir::OpBuilder::InsertionGuard guard(builder_);
  if (invariant) mask ? hoist({pointer, mask}, false) : hoist({pointer}, false);
  return hooks_.load(*this, pointer, type, mask, invariant);
}

Value Builder::gather(Value pointer, Value offsets, mlir::VectorType type, Value mask, bool invariant) {
  mlir::OpBuilder::InsertionGuard guard(builder_);
  if (invariant) mask ? hoist({pointer, offsets, mask}, false) : hoist({pointer, offsets}, false);
  return hooks_.gather(*this, pointer, offsets, type, mask);
}

Value Builder::stack(Type element, std::int64_t count) {
  mlir::OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointToStart(entry());
  Value n = arith::ConstantOp::create(builder_, location(), builder_.getI64IntegerAttr(count));
  return LLVM::AllocaOp::create(builder_, location(), LLVM::LLVMPointerType::get(builder_.getContext()), element, n, 64);
}

Values Builder::loop(Value begin, Value end, Value step, mlir::ValueRange initial, const LoopBody& body) {
  // The body is filled after the op exists: hoisting needs the parents.
  auto op = mlir::scf::ForOp::create(builder_, location(), begin, end, step, initial);
  mlir::OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointToStart(op.getBody());
  Values next = body(op.getInductionVar(), op.getRegionIterArgs());
  if (!initial.empty()) mlir::scf::YieldOp::create(builder_, location(), next);
  return Values(op.getResults().begin(), op.getResults().end());
}

void Builder::loop(Value begin, Value end, Value step, const std::function<void(Value induction)>& body) {
  loop(begin, end, step, {}, [&](Value induction, mlir::ValueRange) {
    body(induction);
    return Values{};
  });
}

Values Builder::branch(Value condition, mlir::TypeRange types, const std::function<Values()>& then,
                       const std::function<Values()>& otherwise) {
  auto op = mlir::scf::IfOp::create(builder_, location(), types, condition, true);
  mlir::OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointToStart(&op.getThenRegion().front());
  Values a = then();
  mlir::scf::YieldOp::create(builder_, location(), a);
  builder_.setInsertionPointToStart(&op.getElseRegion().front());
  Values c = otherwise();
  mlir::scf::YieldOp::create(builder_, location(), c);
  return Values(op.getResults().begin(), op.getResults().end());
}

void Builder::branch(Value condition, const std::function<void()>& then) {
  auto op = mlir::scf::IfOp::create(builder_, location(), condition, false);
  mlir::OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointToStart(&op.getThenRegion().front());
  then();
}

LLVM::LLVMFuncOp Builder::pure_function(const std::string& symbol, llvm::ArrayRef<Type> parameters,
                                        const std::function<Value(mlir::ValueRange arguments)>& body) {
  auto module = entry()->getParentOp()->getParentOfType<mlir::ModuleOp>();
  if (auto made = module.lookupSymbol<LLVM::LLVMFuncOp>(symbol)) return made;
  mlir::OpBuilder::InsertionGuard guard(builder_);
  builder_.setInsertionPointToStart(module.getBody());
  // The type of the result is known when it is there.
  const auto type = [&](Type result) { return LLVM::LLVMFunctionType::get(result, parameters); };
  auto none = LLVM::LLVMVoidType::get(builder_.getContext());
  auto function = LLVM::LLVMFuncOp::create(builder_, location(), symbol, type(none), LLVM::Linkage::Internal, false, LLVM::CConv::Fast);
  const auto nothing = LLVM::ModRefInfo::NoModRef;
  function.setMemoryEffectsAttr(
      LLVM::MemoryEffectsAttr::get(builder_.getContext(), {nothing, nothing, nothing, nothing, nothing, nothing}));
  function.setWillReturn(true);
  builder_.setInsertionPointToEnd(function.addEntryBlock(builder_));
  auto end = LLVM::UnreachableOp::create(builder_, location());  // operations are placed before the end of the block
  builder_.setInsertionPoint(end);
  Value result = body(function.getArguments());
  LLVM::ReturnOp::create(builder_, location(), result);
  end->erase();
  function.setFunctionType(type(result.getType()));
  return function;
}

Values Builder::where_rare(Value rare, const Values& usual, std::string_view name, Value x, const std::function<Values(Value x)>& slow) {
  // By registers: the function is as small as can be.
  const int all = lanes_of(x);
  const int lanes = std::min(all, hooks_.vector_bytes() * 8 / static_cast<int>(element_type(x).getIntOrFloatBitWidth()));
  const std::string symbol = fmt::format("{}_f{}x{}", name, element_type(x).getIntOrFloatBitWidth(), lanes);
  auto function = pure_function(symbol, {vector_of(element_type(x), lanes)}, [&](mlir::ValueRange arguments) {
    const Values found = slow(arguments[0]);
    llvm::SmallVector<Type> types;
    for (Value v : found) types.push_back(v.getType());
    Value all = LLVM::UndefOp::create(builder_, location(), LLVM::LLVMStructType::getLiteral(builder_.getContext(), types));
    for (std::size_t i = 0; i < found.size(); ++i)
      all = LLVM::InsertValueOp::create(builder_, location(), all, found[i], static_cast<std::int64_t>(i));
    return all;
  });
  function.setPassthroughAttr(builder_.getStrArrayAttr({"cold"}));  // what calls a cold function is rare
  const auto replaced = [&] {
    llvm::SmallVector<Values> found(usual.size());
    for (int first = 0; first < all; first += lanes) {
      Value part = call_pure(function, {lanes == all ? x : slice(x, first, lanes)});
      for (std::size_t i = 0; i < usual.size(); ++i)
        found[i].push_back(LLVM::ExtractValueOp::create(builder_, location(), part, static_cast<std::int64_t>(i)));
    }
    Values chosen;
    for (std::size_t i = 0; i < usual.size(); ++i) chosen.push_back(select(rare, concat(found[i]), usual[i]));
    return chosen;
  };
  Value any = is_vector(rare) ? pure<mlir::vector::ReductionOp>({rare}, mlir::vector::CombiningKind::OR, rare) : rare;
  mlir::OpBuilder::InsertionGuard guard(builder_);
  Values operands = usual;
  operands.push_back(any);
  hoist(operands, true);
  return branch(any, mlir::ValueRange(usual).getTypes(), replaced, [&] { return usual; });
}

Value Builder::address_of(Value pointer) { return pure<LLVM::PtrToIntOp>({pointer}, i64(), pointer); }

Value Builder::pointer_to(Value address) {
  return pure<LLVM::IntToPtrOp>({address}, LLVM::LLVMPointerType::get(builder_.getContext()), address);
}

void Builder::call(Value callee, mlir::ValueRange operands) {
  llvm::SmallVector<Type> types;
  for (Value v : operands) types.push_back(v.getType());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(builder_.getContext()), types);
  llvm::SmallVector<Value> all{callee};
  all.append(operands.begin(), operands.end());
  LLVM::CallOp::create(builder_, location(), type, mlir::ValueRange(all));
}

Value Builder::call_pure(LLVM::LLVMFuncOp function, const Values& operands) {
  mlir::OpBuilder::InsertionGuard guard(builder_);
  hoist(operands, true);
  auto call = LLVM::CallOp::create(builder_, location(), function, operands);
  call.setCConv(function.getCConv());
  return call.getResult();
}

mlir::Block* Builder::entry() {
  mlir::Operation* op = builder_.getInsertionBlock()->getParentOp();
  while (!mlir::isa<LLVM::LLVMFuncOp>(op)) op = op->getParentOp();
  return &mlir::cast<LLVM::LLVMFuncOp>(op).getBody().front();
}

bool Builder::available(Value v) { return v.getParentRegion()->isAncestor(builder_.getInsertionBlock()->getParent()); }

}  // namespace kiln::codegen
