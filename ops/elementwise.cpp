// Elementwise ops: result types, the double-precision reference, and the definitions made from the structs of ops/elementwise/.
#include "ops/elementwise.h"

#include <vector>

#include "base/require.h"
#include "ops/all_elementwise.h"
#include "ops/kernels/elementwise_driver.h"

namespace kiln::ops {

namespace {

std::string describe(std::span<const TensorType> operands) {
  std::string text;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (i > 0) text += i + 1 == operands.size() ? " and " : ", ";
    text += operands[i].str();
  }
  return text;
}

std::string_view expectation(TypeRule rule) {
  switch (rule) {
    case TypeRule::numeric:
      return "numbers";
    case TypeRule::floating:
    case TypeRule::predicate:
      return "floating-point numbers";
    case TypeRule::integral:
      return "integers";
    case TypeRule::boolean:
      return "bools";
    case TypeRule::bitwise:
      return "integers or bools";
    case TypeRule::compare:
    case TypeRule::select:
    case TypeRule::any:
      break;
  }
  return "any dtype";
}

void check_dtypes(const OpDef& op, std::span<const TensorType> operands) {
  std::span<const TensorType> values = operands;
  if (op.types == TypeRule::select) {
    KILN_REQUIRE(operands[0].dtype == DType::boolean, DTypeError,
                 "{}: the condition must be bool, got {}; convert it with cast() or compare it with 0", op.name, operands[0].str());
    values = operands.subspan(1);
  }
  for (const TensorType& t : values) {
    KILN_REQUIRE(t.dtype == values[0].dtype, DTypeError, "{}: operands must have one dtype, got {}; convert one with cast()", op.name,
                 describe(values));
  }
  DType t = values[0].dtype;
  KILN_REQUIRE(accepts(op.types, t), DTypeError, "{}: takes {}, got {}; convert with cast()", op.name, expectation(op.types),
               describe(operands));
}

Shape broadcast_operands(const OpDef& op, std::span<const TensorType> operands) {
  Shape shape = operands[0].shape;
  for (const TensorType& t : operands.subspan(1)) {
    if (t.shape == shape) continue;
    try {
      shape = broadcast_shapes(shape, t.shape);
    } catch (const ShapeError&) {
      throw ShapeError(fmt::format("{}: shapes do not broadcast: {}; lengths must be equal or 1, counted from the last axis", op.name,
                                   describe(operands)),
                       user_location());
    }
  }
  return shape;
}

TensorType infer_elementwise(const OpDef& op, std::span<const TensorType> operands, const Attrs&) {
  KILN_REQUIRE(static_cast<int>(operands.size()) == op.arity, ValueError, "{}: takes {} operand{}, got {}", op.name, op.arity,
               op.arity == 1 ? "" : "s", operands.size());
  check_dtypes(op, operands);
  return {result_dtype(op.types, operands.back().dtype), broadcast_operands(op, operands)};
}

// --- reference ------------------------------------------------------------------------------------------------------

/// Reads an operand as if it had the result's shape.
class BroadcastReader {
 public:
  BroadcastReader(const Shape& from, const Shape& to, const std::vector<double>& values) : values_(values) {
    int missing = to.rank() - from.rank();
    std::int64_t stride = 1;
    for (int axis = to.rank() - 1; axis >= 0; --axis) {
      std::int64_t length = axis >= missing ? static_cast<std::int64_t>(from[axis - missing]) : 1;
      strides_[static_cast<std::size_t>(axis)] = length == 1 ? 0 : stride;
      sizes_[static_cast<std::size_t>(axis)] = to[axis];
      stride *= length;
    }
    rank_ = to.rank();
  }

  double at(std::int64_t index) const {
    std::int64_t place = 0;
    for (int axis = rank_ - 1; axis >= 0; --axis) {
      auto a = static_cast<std::size_t>(axis);
      place += index % sizes_[a] * strides_[a];
      index /= sizes_[a];
    }
    return values_[static_cast<std::size_t>(place)];
  }

 private:
  const std::vector<double>& values_;
  std::array<std::int64_t, kMaxRank> strides_ = {};
  std::array<std::int64_t, kMaxRank> sizes_ = {};
  int rank_ = 0;
};

template <class S>
S to_reference(double value) {
  S s;
  if constexpr (std::same_as<S, RefMask>) {
    s.value = value != 0;
  } else if constexpr (std::same_as<S, RefInt>) {
    s.value = value >= 0x1p63 ? std::numeric_limits<std::int64_t>::max() : static_cast<std::int64_t>(value);
  } else {
    s.value = value;
  }
  return s;
}

/// The number that the dtype stores for an exact integer result.
double wrapped(std::int64_t value, DType t) {
  switch (t) {
    case DType::uint8:
      return static_cast<std::uint8_t>(value);
    case DType::int8:
      return static_cast<std::int8_t>(value);
    case DType::int32:
      return static_cast<std::int32_t>(value);
    default:
      return static_cast<double>(value);
  }
}

double from_reference(RefMask s, DType) { return s.value ? 1 : 0; }
double from_reference(RefInt s, DType t) { return wrapped(s.value, t); }
double from_reference(Ref s, DType) { return s.value; }

template <class Op, class S>
double reference_at(std::span<const BroadcastReader> operands, std::int64_t i, DType result) {
  if constexpr (Op::types == TypeRule::select) {
    return from_reference(
        Op::scalar(to_reference<RefMask>(operands[0].at(i)), to_reference<S>(operands[1].at(i)), to_reference<S>(operands[2].at(i))),
        result);
  } else {
    return [&]<std::size_t... K>(std::index_sequence<K...>) {
      return from_reference(Op::scalar(to_reference<S>(operands[K].at(i))...), result);
    }(std::make_index_sequence<arity_of<Op>()>{});
  }
}

template <class Op>
void reference(const OpDef&, std::span<const TensorType> types, std::span<const std::vector<double>> operands, const TensorType& type,
               std::vector<double>& result, const Attrs&) {
  std::vector<BroadcastReader> readers;
  for (std::size_t i = 0; i < types.size(); ++i) readers.emplace_back(types[i].shape, type.shape, operands[i]);
  DType t = types.back().dtype;
  result.resize(static_cast<std::size_t>(type.shape.count()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    auto place = static_cast<std::int64_t>(i);
    if (is_floating(t)) {
      if constexpr (accepts(Op::types, DType::float32)) result[i] = reference_at<Op, Ref>(readers, place, type.dtype);
    } else if (t == DType::boolean) {
      if constexpr (accepts(Op::types, DType::boolean)) result[i] = reference_at<Op, RefMask>(readers, place, type.dtype);
    } else {
      if constexpr (accepts(Op::types, DType::int32)) result[i] = reference_at<Op, RefInt>(readers, place, type.dtype);
    }
  }
}

// --- definitions ----------------------------------------------------------------------------------------------------

template <ElementwiseOp Op>
OpDef define() {
  OpDef def;
  def.name = Op::name;
  def.doc = Op::doc;
  def.kind = OpKind::elementwise;
  def.arity = arity_of<Op>();
  def.types = Op::types;
  def.traits = Op::traits;
  def.examples = Op::examples;
  def.differentiable = Differentiable<Op>;
  def.infer = infer_elementwise;
  def.kernel = elementwise_kernel;
  def.reference = reference<Op>;
  def.symbol = symbol_of<Op>();
  return def;
}

}  // namespace

std::span<const OpDef> elementwise_ops() {
  static const std::vector<OpDef> all = [] {
    std::vector<OpDef> defs;
    for_each_op(AllElementwise{}, [&]<class Op>(std::type_identity<Op>) { defs.push_back(define<Op>()); });
    return defs;
  }();
  return all;
}

}  // namespace kiln::ops
