// The walk over a body, memory access, elementwise ops.
#include "codegen/element_emitter.h"

#include <mlir/IR/Matchers.h>

#include "base/require.h"
#include "codegen/elementwise_table.h"
#include "codegen/half.h"
#include "ops/op.h"

namespace kiln::codegen {

namespace arith = mlir::arith;
namespace LLVM = mlir::LLVM;
using runtime::BodyNode;
using runtime::KernelSpec;

KernelArguments KernelArguments::in_memory(Builder& b, Value args, Value dims, Value context) {
  return {[&b, args](int i) { return b.load_scalar(b.offset(args, b.ptr(), b.integer(i)), b.ptr(), true); },
          [&b, dims](int i) { return b.load_scalar(b.offset(dims, b.i64(), b.integer(i)), b.i64(), true); }, context};
}

BodyShapes::BodyShapes(Builder& b, const KernelSpec& spec, const KernelArguments& arguments) : b_(b), spec_(spec) {
  for (std::int32_t i = 0; i < spec.num_dims; ++i) dims_.push_back({});
  for (const auto& [index, value] : spec.constant_dims) dims_[static_cast<std::size_t>(index)] = b.integer(value);
  for (std::size_t i = 0; i < dims_.size(); ++i) {
    if (dims_[i]) continue;
    dims_[i] = arguments.dim(static_cast<int>(i));
  }
  compute_strides();  // here, where every use is dominated
}

void BodyShapes::compute_strides() {
  for (std::size_t n = 0; n < spec_.body.size(); ++n) {
    for (int axis = -1; axis < rank(static_cast<int>(n)); ++axis) stride(static_cast<int>(n), axis);
  }
}

Value BodyShapes::length(int node, int axis) const {
  return dim(spec_.body[static_cast<std::size_t>(node)].shape[static_cast<std::size_t>(axis)]);
}

Value BodyShapes::stride(int node, int axis) {
  const std::vector<std::int32_t>& shape = spec_.body[static_cast<std::size_t>(node)].shape;
  const std::vector<std::int32_t> inner(shape.begin() + axis + 1, shape.end());
  Value& product = products_[inner];
  if (product && b_.available(product)) return product;
  Value result = b_.integer(1);
  for (std::size_t i = inner.size(); i-- > 0;) result = b_.mul(dim(inner[i]), result);
  return product = result;
}

Value BodyShapes::count(int node) { return stride(node, -1); }

bool BodyShapes::is_length(int node, int axis, std::int64_t value) const { return Builder::is_constant_equal(length(node, axis), value); }

bool BodyShapes::same_length(int a, int axis_a, int b, int axis_b) const {
  std::int64_t x = 0;
  return length(a, axis_a) == length(b, axis_b) || (Builder::is_constant(length(a, axis_a), x) && is_length(b, axis_b, x));
}

bool BodyShapes::is_single(int node) const {
  for (int axis = 0; axis < rank(node); ++axis) {
    if (!is_length(node, axis, 1)) return false;
  }
  return true;
}

ElementEmitter::ElementEmitter(Builder& b, const KernelSpec& spec, const KernelArguments& arguments, OutlinedOps* outlined)
    : b_(b),
      spec_(spec),
      outlined_(outlined),
      context_(arguments.context),
      shapes_(b, spec, arguments),
      indexing_(b),
      uses_(spec.body.size()) {
  for (const BodyNode& n : spec.body) {
    for (std::int32_t o : n.operands) ++uses_[static_cast<std::size_t>(o)];
  }
  for (std::int32_t o : spec.outputs) ++uses_[static_cast<std::size_t>(o)];
  for (int i = 0; i < spec.num_inputs + static_cast<int>(spec.outputs.size()); ++i) {
    pointers_[i] = arguments.pointer(i);
  }
  b_.set_contraction(spec.numerics != Numerics::strict && b_.hooks().has_fma());
}

void ElementEmitter::set_source(int node, Source source) {
  if (source)
    sources_[node] = std::move(source);
  else
    sources_.erase(node);
}

Value ElementEmitter::input_pointer(int node) { return pointers_[node]; }

Value ElementEmitter::output_pointer(int output) { return input_pointer(spec_.num_inputs + output); }

Position ElementEmitter::by_axes(int node, const Position& at) {
  if (!at.linear) return at;
  Position result;
  const int rank = shapes_.rank(node);
  Index rest = rank > 0 ? at.at[0] : Index{};
  for (int axis = rank - 1; axis > 0; --axis) {
    auto [quotient, remainder] = indexing_.divide(rest, shapes_.length(node, axis));
    result.at.insert(result.at.begin(), remainder);
    rest = quotient;
  }
  if (rank > 0) result.at.insert(result.at.begin(), rest);
  return result;
}

Index ElementEmitter::row_major(int node, const Position& at) {
  if (at.linear) return at.at[0];
  Index sum = indexing_.constant(0);
  for (int axis = 0; axis < shapes_.rank(node); ++axis) {
    sum = indexing_.add(sum, indexing_.multiply(at.at[static_cast<std::size_t>(axis)], shapes_.stride(node, axis)));
  }
  return sum;
}

ElementEmitter::Key ElementEmitter::key_of(int node, const Position& at, const Mask& mask) const {
  const auto id = [](Value v) { return reinterpret_cast<std::int64_t>(v.getAsOpaquePointer()); };
  Key key = {node, at.linear, id(mask.lanes), id(mask.guard), id(mask.lane_guard)};
  for (const Index& i : at.at) key.insert(key.end(), {id(i.base), i.step, id(i.lanes)});
  return key;
}

Value ElementEmitter::value(int node, const Position& at, const Mask& mask) {
  const auto source = sources_.find(node);
  if (source != sources_.end()) return source->second(at, mask);
  Position where = at;
  if (shapes_.rank(node) == 0) where = {};
  if (shapes_.rank(node) == 1) where.linear = false;
  for (int axis = 0; !where.linear && axis < shapes_.rank(node); ++axis) {
    if (shapes_.is_length(node, axis, 1)) where.at[static_cast<std::size_t>(axis)] = indexing_.constant(0);
  }
  const Key key = key_of(node, where, mask);
  const auto found = memo_.find(key);
  if (found != memo_.end() && b_.available(found->second)) return found->second;
  Value result = compute(node, where, mask);
  memo_[key] = result;
  if (uses_[static_cast<std::size_t>(node)] == 1) b_.mark_contractable(result);
  return result;
}

Value ElementEmitter::compute(int node, const Position& at, const Mask& mask) {
  const BodyNode& n = this->node(node);
  if (n.op.empty()) return input(node, at, mask);
  const auto special = structural().find(n.op);
  if (special != structural().end()) return (this->*special->second)(node, at, mask);
  return elementwise(node, at, mask);
}

Value ElementEmitter::elementwise(int node, const Position& at, const Mask& mask) {
  const BodyNode& n = this->node(node);
  Values operands;
  for (std::int32_t o : n.operands) operands.push_back(value(o, at, mask));
  const ops::OpDef& op = ops::op(n.op);
  const DType dtype = this->node(n.operands.back()).dtype;
  if (op.traits.fallible && is_integer(dtype)) {
    Value divisor = operands.back();
    check_divisor(node, divisor, mask);
    Value zero = b_.equal(divisor, b_.integer(Builder::element_type(divisor), 0));
    operands.back() = b_.select(zero, b_.integer(Builder::element_type(divisor), 1), divisor);
  }
  const bool by_row = n.op == "div" && is_floating(dtype) && spec_.numerics != Numerics::strict && Builder::is_vector(operands[0]) &&
                      !Builder::is_vector(operands[1]);
  Value result = by_row ? divide_by_scalar(operands[0], operands[1]) : called_or_inline(n, dtype, operands);
  const bool keeps_halves = spec_.numerics != Numerics::strict || op.traits.exact;
  return keeps_halves ? result : round_half(result, n.dtype);
}

Value ElementEmitter::called_or_inline(const BodyNode& n, DType dtype, const Values& operands) {
  const bool called = outlined_ != nullptr && outlined_->contains(n.op) && is_floating(dtype) && is_floating(n.dtype);
  if (called && llvm::any_of(operands, &Builder::is_vector)) return outlined_->call(b_, n.op, dtype, operands);
  return emit_elementwise(b_, n.op, dtype, operands);
}

Value ElementEmitter::divide_by_scalar(Value x, Value divisor) {
  using P = arith::CmpFPredicate;
  const Type type = Builder::element_type(x);
  const bool wide = type.isF64();
  const auto number = [&](double v) { return b_.constant(type, v); };
  // Scaled by a power of two, the divisor and its reciprocal are normal; the same power brings the product back.
  Value magnitude = b_.select(b_.compare(P::OLT, divisor, number(0)), b_.unary<arith::NegFOp>(divisor), divisor);
  Value small = b_.compare(P::OLT, magnitude, number(wide ? 0x1p-1022 : 0x1p-126));
  Value large = b_.compare(P::OGT, magnitude, number(wide ? 0x1p1022 : 0x1p126));
  Value power = b_.select(small, number(0x1p64), b_.select(large, number(0x1p-64), number(1)));
  Value reciprocal = b_.binary<arith::DivFOp>(number(1), b_.mul(divisor, power));
  return b_.mul(b_.mul(x, reciprocal), power);
}

Value ElementEmitter::round_half(Value v, DType t) {
  if (t != DType::float16 && t != DType::bfloat16) return v;
  return emit_half_to_float(b_, emit_float_to_half(b_, v, t), t);
}

Value ElementEmitter::from_memory(Value v, DType t) {
  if (t == DType::boolean) return b_.compare(arith::CmpIPredicate::ne, v, b_.integer(b_.i8(), 0));
  if (t == DType::float16 || t == DType::bfloat16) return emit_half_to_float(b_, v, t);
  return v;
}

Value ElementEmitter::to_memory(Value v, DType t) {
  if (t == DType::boolean) return b_.integer_cast(v, b_.i8(), false);
  if (t == DType::float16 || t == DType::bfloat16) return emit_float_to_half(b_, v, t);
  return v;
}

Value ElementEmitter::lanes_mask(const Mask& mask) {
  Value all = mask.lanes;
  const auto also = [&](Value m) {
    if (m) all = all ? b_.bit_and(all, m) : b_.splat(m);
  };
  also(mask.guard);
  also(mask.lane_guard);
  return all;
}

Mask ElementEmitter::guarded(const Mask& mask, Value condition) {
  Mask result = mask;
  Value& slot = Builder::is_vector(condition) ? result.lane_guard : result.guard;
  slot = slot ? b_.bit_and(slot, condition) : condition;
  return result;
}

Value ElementEmitter::read(Value pointer, int node, const Position& at, const Mask& mask, bool invariant) {
  const DType dtype = this->node(node).dtype;
  const Type memory = b_.memory_type(dtype);
  // The uniform part of the offset goes into the pointer, so that only the lanes' part is left.
  Value base = b_.integer(0);
  Index varying = indexing_.constant(0);
  const std::size_t axes = at.at.size();
  for (std::size_t i = 0; i < axes; ++i) {
    const Index& index = at.at[i];
    Value stride = at.linear ? b_.integer(1) : shapes_.stride(node, static_cast<int>(i));
    if (index.base) base = b_.add(base, b_.mul(index.base, stride));
    varying = indexing_.add(varying, indexing_.multiply(Index{b_.integer(0), index.step, index.lanes}, stride));
  }
  Value address = b_.offset(pointer, memory, base);
  if (varying.uniform()) {
    if (mask.guard) address = b_.select(mask.guard, address, context_);
    return from_memory(b_.load_scalar(address, memory, invariant), dtype);
  }
  auto type = mlir::VectorType::get({b_.lanes()}, memory);
  Value lanes = lanes_mask(mask);
  if (varying.contiguous()) return from_memory(b_.load(address, type, lanes, invariant), dtype);
  // A guard may leave out the first of several lanes that want an element.
  Value close = mask.guard || mask.lane_guard ? Value() : lanes;
  Value v = varying.lanes ? read_close(address, type, varying.lanes, close, invariant)
                          : read_strided(address, type, varying.step, lanes, invariant);
  if (!v) v = b_.gather(address, indexing_.vector(varying), type, lanes, invariant);
  return from_memory(v, dtype);
}

Value ElementEmitter::read_strided(Value address, mlir::VectorType type, std::int64_t step, Value mask, bool invariant) {
  constexpr std::int64_t kMaxLoads = 4;
  const std::int64_t n = type.getNumElements();
  llvm::SmallVector<std::int64_t> from;
  if (step == -1) {
    for (std::int64_t lane = n; lane-- > 0;) from.push_back(lane);
    if (mask) mask = b_.shuffle(mask, mask, from);
    Value v = b_.load(b_.offset(address, type.getElementType(), b_.integer(1 - n)), type, mask, invariant);
    return b_.shuffle(v, v, from);
  }
  if (mask || step < 2 || step > kMaxLoads) return {};
  Value result;
  for (std::int64_t k = 0; k < step; ++k) {
    // The last load ends with the last element, so that nothing past it is read.
    const std::int64_t first = std::min(k * n, (step - 1) * (n - 1));
    Value v = b_.load(b_.offset(address, type.getElementType(), b_.integer(first)), type, {}, invariant);
    from.clear();
    for (std::int64_t lane = 0; lane < n; ++lane) {
      const bool here = lane * step >= first && lane * step < first + n;
      from.push_back(here ? n + lane * step - first : lane);
    }
    result = b_.shuffle(result ? result : v, v, from);
  }
  return result;
}

Value ElementEmitter::read_close(Value address, mlir::VectorType type, Value lanes, Value mask, bool invariant) {
  mlir::DenseIntElementsAttr numbers;
  if (!mask || !lanes || !mlir::matchPattern(lanes, mlir::m_Constant(&numbers))) return {};
  const std::int64_t n = type.getNumElements();
  // Element i is there if the first lane that wants it counts.
  llvm::SmallVector<std::int64_t> from, wanted_by(static_cast<std::size_t>(n), n);
  for (const llvm::APInt& number : numbers.getValues<llvm::APInt>()) {
    const std::int64_t i = number.getSExtValue();
    if (i < 0 || i >= n) return {};
    std::int64_t& first = wanted_by[static_cast<std::size_t>(i)];
    first = std::min(first, static_cast<std::int64_t>(from.size()));
    from.push_back(i);
  }
  Value nobody = b_.splat(b_.boolean(false), static_cast<int>(n));
  Value v = b_.load(address, type, b_.shuffle(mask, nobody, wanted_by), invariant);
  return b_.shuffle(v, v, from);
}

Value ElementEmitter::input(int node, const Position& at, const Mask& mask) {
  bool aliased = false;
  for (const auto& [output, input] : spec_.aliases) aliased |= input == node;
  return read(input_pointer(node), node, at, mask, !aliased);
}

void ElementEmitter::prefetch(int node, const Position& at) {
  Value address = b_.offset(input_pointer(node), b_.memory_type(this->node(node).dtype), row_major(node, at).base);
  constexpr std::uint32_t kRead = 0, kIntoNearest = 3, kData = 1;
  mlir::LLVM::Prefetch::create(b_.mlir(), b_.location(), address, kRead, kIntoNearest, kData);
}

void ElementEmitter::store(int output, const Position& at, Value v, const Mask& mask) {
  const int node = spec_.outputs[static_cast<std::size_t>(output)];
  const DType dtype = this->node(node).dtype;
  const Type memory = b_.memory_type(dtype);
  const Index index = row_major(node, at);
  Value stored = to_memory(v, dtype);
  KILN_ASSERT(!index.lanes && index.step <= 1, "kernel output {} is not contiguous along its lanes", output);
  Value address = b_.offset(output_pointer(output), memory, index.base);
  if (index.step == 0) {
    KILN_ASSERT(!Builder::is_vector(stored), "kernel output {} has one place for several lanes", output);
    b_.store_scalar(stored, address);
    return;
  }
  b_.hooks().store(b_, b_.splat(stored), address, lanes_mask(mask));
}

Value ElementEmitter::combine(const std::string& kind, DType t, Value a, Value b) {
  static const std::map<std::string_view, std::string_view> ops = {{"add", "add"},     {"mul", "mul"},         {"max", "maximum"},
                                                                   {"min", "minimum"}, {"and", "logical_and"}, {"or", "logical_or"}};
  const Value operands[] = {a, b};
  return emit_elementwise(b_, ops.at(kind), t, operands);
}

Value ElementEmitter::identity(const std::string& kind, DType t) {
  const Type type = b_.value_type(t);
  const bool least = kind == "max";
  if (kind == "and") return b_.boolean(true);
  if (kind == "or") return b_.boolean(false);
  if (kind == "mul") return b_.constant(type, 1);
  if (kind == "add") return b_.constant(type, is_floating(t) ? -0.0 : 0.0);
  if (is_floating(t)) return b_.constant(type, least ? -INFINITY : INFINITY);
  return visit_dtype(t, [&]<class T>(std::type_identity<T>) -> Value {
    if constexpr (std::is_integral_v<T>) {
      return b_.integer(type, static_cast<std::int64_t>(least ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max()));
    } else {
      return {};
    }
  });
}

bool ElementEmitter::is_linear(int n) {
  for (int next = static_cast<int>(linear_.size()); next <= n; ++next) linear_.push_back(keeps_place(next));
  return linear_[static_cast<std::size_t>(n)];
}

bool ElementEmitter::keeps_place(int n) const {
  const BodyNode& node = this->node(n);
  const auto linear = [&](std::int32_t operand) { return linear_[static_cast<std::size_t>(operand)]; };
  if (node.op.empty() || shapes_.is_single(n)) return true;
  const auto special = structural().find(node.op);
  if (special == structural().end() || node.op == "cast" || node.op == "reshape") return llvm::all_of(node.operands, linear);
  if (node.op == "broadcast") return shapes_.is_single(node.operands[0]) && linear(node.operands[0]);
  return node.op == "constant" || node.op == "random" || (node.op == "iota" && node.shape.size() == 1);
}

void ElementEmitter::check_divisor(int node, Value divisor, const Mask& mask) {
  Value bad = b_.equal(divisor, b_.integer(Builder::element_type(divisor), 0));
  report(node, bad, b_.integer(0), static_cast<int>(KernelError::division_by_zero), mask);
}

void ElementEmitter::report(int node, Value bad, Value payload, int error, const Mask& mask) {
  if (Value lanes = lanes_mask({Builder::is_vector(bad) ? mask.lanes : Value{}, mask.guard, mask.lane_guard})) bad = b_.bit_and(bad, lanes);
  Value any = bad;
  if (Builder::is_vector(bad)) any = b_.pure<mlir::vector::ReductionOp>({bad}, mlir::vector::CombiningKind::OR, bad);
  if (Builder::is_constant_equal(any, 0)) return;
  b_.branch(any, [&] {
    Value reported = payload;
    if (Builder::is_vector(payload)) {
      const int n = Builder::lanes_of(payload);
      Value lane = b_.select(bad, b_.iota(b_.i64(), n), b_.integer(n));
      Value first = b_.pure<mlir::vector::ReductionOp>({lane}, mlir::vector::CombiningKind::MINSI, lane);
      reported = mlir::vector::ExtractOp::create(b_.mlir(), b_.location(), payload, mlir::OpFoldResult(first));
    }
    b_.hooks().report(b_, context_, b_.integer(b_.i32(), error), b_.integer(b_.i32(), this->node(node).ordinal), reported);
  });
}

}  // namespace kiln::codegen
