// Shape rules of the structural ops, and their definitions.
#include "ops/structural.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/half.h"
#include "base/require.h"

namespace kiln::ops {
namespace {

template <class Op>
consteval Traits traits_of() {
  if constexpr (requires { Op::traits; }) {
    return Op::traits;
  } else {
    return {};
  }
}

template <class Op>
OpDef define() {
  OpDef def;
  def.name = Op::name;
  def.doc = Op::doc;
  def.kind = OpKind::structural;
  def.arity = Op::arity;
  def.traits = traits_of<Op>();
  def.differentiable = HasGradient<Op>;
  def.infer = [](const OpDef& op, std::span<const TensorType> operands, const Attrs& attrs) {
    KILN_REQUIRE(op.arity < 0 || operands.size() == static_cast<std::size_t>(op.arity), ValueError, "{}: {} operands needed, {} given",
                 op.name, op.arity, operands.size());
    return Op::infer(operands, attrs);
  };
  def.kernel = [](const OpDef&, std::span<const View> operands, const View& result, const Attrs& attrs) {
    Op::kernel(operands, result, attrs);
  };
  def.reference = [](const OpDef&, std::span<const TensorType> types, std::span<const std::vector<double>> operands, const TensorType& type,
                     std::vector<double>& result, const Attrs& attrs) { Op::reference(types, operands, type, result, attrs); };
  return def;
}

void require_axis(std::string_view op, std::int64_t axis, const Shape& shape) {
  KILN_REQUIRE(axis >= 0 && axis < shape.rank(), ShapeError, "{}: axis {} is out of range for shape {} of rank {}", op, axis, shape.str(),
               shape.rank());
}

void require_per_axis(std::string_view op, std::string_view attr, const Ints& values, const Shape& shape) {
  KILN_REQUIRE(values.size() == shape.size(), ShapeError, "{}: {} has {} entries, but shape {} has {} axes; give one an axis", op, attr,
               values.size(), shape.str(), shape.rank());
}

void require_numbers(std::string_view op, DType dtype) {
  KILN_REQUIRE(dtype != DType::boolean, DTypeError, "{}: needs numbers, but the operand is bool; cast() it first", op);
}

void require_alike(std::string_view op, DType a, DType b) {
  KILN_REQUIRE(a == b, DTypeError, "{}: operands are {} and {}; cast() one of them", op, kiln::name(a), kiln::name(b));
}

void require_indices(std::string_view op, DType dtype) {
  KILN_REQUIRE(dtype == DType::int32 || dtype == DType::int64, DTypeError,
               "{}: indices must be int32 or int64, but they are {}; cast() them", op, kiln::name(dtype));
}

void require_nonnegative(std::string_view op, const Shape& shape) {
  for (Dim d : shape) {
    KILN_REQUIRE(d.value_or(0) >= 0, ShapeError, "{}: shape {} has a negative length", op, shape.str());
  }
}

Dim slice_length(Dim length, std::int64_t start, std::int64_t limit, std::int64_t step) {
  std::int64_t size = step > 0 ? step : -step;
  if (!length.is_constant()) {
    if (step > 0 && limit == kSliceEnd)
      return start == 0 ? floordiv(length + (size - 1), size) : max(floordiv(length - start + (size - 1), size), Dim(0));
    if (step < 0 && start == kSliceEnd) return max(floordiv(length - 1 - limit + (size - 1), size), Dim(0));
    // min(a, b) = -max(-a, -b): never beyond the run-time end.
    if (step > 0) return max(floordiv(0 - max(Dim(-limit), 0 - length) - start + (size - 1), size), Dim(0));
    return max(floordiv(0 - max(Dim(-start), 1 - length) - limit + (size - 1), size), Dim(0));
  }
  std::int64_t n = length;
  if (step > 0 && limit == kSliceEnd) limit = n;
  if (step < 0 && start == kSliceEnd) start = n - 1;
  std::int64_t distance = step > 0 ? limit - start : start - limit;
  return distance <= 0 ? 0 : (distance + size - 1) / size;
}

TensorType infer_window(std::string_view op, const TensorType& x, const Attrs& attrs) {
  WindowAttrs w = window_attrs(attrs);
  require_numbers(op, x.dtype);
  require_per_axis(op, "window", w.window, x.shape);
  require_per_axis(op, "strides", w.strides, x.shape);
  require_per_axis(op, "padding_low", w.padding_low, x.shape);
  require_per_axis(op, "padding_high", w.padding_high, x.shape);
  TensorType result{x.dtype, {}};
  for (std::size_t i = 0; i < w.window.size(); ++i) {
    KILN_REQUIRE(w.window[i] > 0 && w.strides[i] > 0, ValueError, "{}: window and strides must be positive, but axis {} has {} and {}", op,
                 i, w.window[i], w.strides[i]);
    bool trivial = w.window[i] == 1 && w.strides[i] == 1 && w.padding_low[i] == 0 && w.padding_high[i] == 0;
    ContractWindow along{w.strides[i], w.padding_low[i], w.padding_high[i], 1, 1, false};
    result.shape.push_back(trivial ? x.shape[i] : window_length(x.shape[i], w.window[i], along));
  }
  return result;
}

}  // namespace

Ints all_axes(int rank) {
  Ints axes;
  for (int i = 0; i < rank; ++i) axes.push_back(i);
  return axes;
}

Ints other_axes(int rank, const Ints& axes) {
  Ints others;
  for (int i = 0; i < rank; ++i) {
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) others.push_back(i);
  }
  return others;
}

Shape reduced_shape(const Shape& shape, const Ints& axes) {
  Shape result;
  for (std::int64_t axis : other_axes(shape.rank(), axes)) result.push_back(shape[axis]);
  return result;
}

int normalize_axis(std::string_view op, std::int64_t axis, int rank) {
  KILN_REQUIRE(axis >= -rank && axis < rank, ShapeError, "{}: axis {} is out of range for a tensor of rank {}; use {} to {}", op, axis,
               rank, -rank, rank - 1);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Ints normalize_axes(std::string_view op, const Ints& axes, int rank) {
  Ints result;
  for (std::int64_t axis : axes) result.push_back(normalize_axis(op, axis, rank));
  std::sort(result.begin(), result.end());
  auto twice = std::adjacent_find(result.begin(), result.end());
  KILN_REQUIRE(twice == result.end(), ShapeError, "{}: axis {} is given twice", op, *twice);
  return result;
}

Literal scalar_literal(DType dtype, double value) {
  auto bytes = std::make_shared<std::vector<std::byte>>(size_of(dtype));
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    T stored;
    if constexpr (std::same_as<T, float16>) {
      stored = to_float16(value);
    } else if constexpr (std::same_as<T, bfloat16>) {
      stored = to_bfloat16(value);
    } else if constexpr (std::same_as<T, bool>) {
      stored = value != 0;
    } else if constexpr (std::integral<T>) {
      // The largest integer may not be a double: compare with the power of two above it.
      double above = std::ldexp(1.0, std::numeric_limits<T>::digits);
      if (std::isnan(value))
        stored = 0;
      else if (value >= above)
        stored = std::numeric_limits<T>::max();
      else if (value <= static_cast<double>(std::numeric_limits<T>::min()))
        stored = std::numeric_limits<T>::min();
      else
        stored = static_cast<T>(value);
    } else {
      stored = static_cast<T>(value);
    }
    std::memcpy(bytes->data(), &stored, sizeof(T));
  });
  return {TensorType{dtype, {}}, true, std::move(bytes)};
}

Attrs WindowAttrs::attrs(std::string_view kind) const {
  return {
      {"kind", std::string(kind)}, {"window", window}, {"strides", strides}, {"padding_low", padding_low}, {"padding_high", padding_high}};
}

WindowAttrs window_attrs(const Attrs& attrs) {
  return {attrs.get<Ints>("window"), attrs.get<Ints>("strides"), attrs.get<Ints>("padding_low"), attrs.get<Ints>("padding_high")};
}

bool WindowMaxGrad::next_tap(Ints& tap, const Ints& window) {
  for (std::size_t i = tap.size(); i-- > 0;) {
    if (++tap[i] < window[i]) return true;
    tap[i] = 0;
  }
  return false;
}

TensorType Reduce::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType& x = operands[0];
  const auto& kind = attrs.get<std::string>("kind");
  bool logical = kind == "and" || kind == "or";
  KILN_REQUIRE(logical || kind == "add" || kind == "mul" || kind == "max" || kind == "min", ValueError,
               "reduce: kind \"{}\" is unknown; use add, mul, max, min, and, or", kind);
  KILN_REQUIRE(!logical || x.dtype == DType::boolean, DTypeError,
               "reduce: kind \"{}\" needs bool, but the operand is {}; compare it with something first", kind, kiln::name(x.dtype));
  if (!logical) require_numbers("reduce", x.dtype);
  const Ints& axes = attrs.get<Ints>("axes");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    require_axis("reduce", axes[i], x.shape);
    KILN_REQUIRE(i == 0 || axes[i - 1] < axes[i], ValueError, "reduce: axes must ascend");
  }
  return {x.dtype, reduced_shape(x.shape, axes)};
}

TensorType ArgReduce::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType& x = operands[0];
  const auto& kind = attrs.get<std::string>("kind");
  KILN_REQUIRE(kind == "max" || kind == "min", ValueError, "arg_reduce: kind \"{}\" is unknown; use max or min", kind);
  std::int64_t axis = attrs.get<std::int64_t>("axis");
  require_axis("arg_reduce", axis, x.shape);
  KILN_REQUIRE(x.shape[axis] != 0, ShapeError, "arg_reduce: axis {} of shape {} is empty: it has no extreme", axis, x.shape.str());
  return {DType::int64, reduced_shape(x.shape, {axis})};
}

TensorType Contract::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  require_alike("contract", operands[0].dtype, operands[1].dtype);
  require_numbers("contract", operands[0].dtype);
  return {operands[0].dtype, ContractView::parse(attrs).result_shape(operands[0].shape, operands[1].shape)};
}

TensorType WindowReduce::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const auto& kind = attrs.get<std::string>("kind");
  KILN_REQUIRE(kind == "max" || kind == "min" || kind == "add", ValueError, "window_reduce: kind \"{}\" is unknown; use max, min, add",
               kind);
  return infer_window("window_reduce", operands[0], attrs);
}

TensorType WindowMaxGrad::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType &x = operands[0], &dy = operands[1];
  require_alike("window_max_grad", x.dtype, dy.dtype);
  TensorType expected = infer_window("window_max_grad", x, attrs);
  KILN_REQUIRE(expected.shape == dy.shape, ShapeError, "window_max_grad: windows of shape {} give shape {}, but dy has {}", x.shape.str(),
               expected.shape.str(), dy.shape.str());
  return x;
}

TensorType Reshape::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType& x = operands[0];
  const Shape& shape = attrs.get<Shape>("shape");
  require_nonnegative("reshape", shape);
  KILN_REQUIRE(shape.elements() == x.shape.elements(), ShapeError, "reshape: cannot view shape {} ({} elements) as {} ({} elements)",
               x.shape.str(), x.shape.elements().str(), shape.str(), shape.elements().str());
  return {x.dtype, shape};
}

TensorType Transpose::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType& x = operands[0];
  const Ints& perm = attrs.get<Ints>("perm");
  require_per_axis("transpose", "perm", perm, x.shape);
  TensorType result{x.dtype, {}};
  std::array<bool, kMaxRank> seen = {};
  for (std::int64_t axis : perm) {
    require_axis("transpose", axis, x.shape);
    KILN_REQUIRE(!seen[static_cast<std::size_t>(axis)], ShapeError, "transpose: axis {} is given twice in perm", axis);
    seen[static_cast<std::size_t>(axis)] = true;
    result.shape.push_back(x.shape[axis]);
  }
  return result;
}

TensorType Broadcast::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType& x = operands[0];
  const Shape& shape = attrs.get<Shape>("shape");
  const Ints& dims = attrs.get<Ints>("dims");
  require_nonnegative("broadcast", shape);
  require_per_axis("broadcast", "dims", dims, x.shape);
  for (std::size_t i = 0; i < dims.size(); ++i) {
    KILN_REQUIRE(dims[i] >= 0 && dims[i] < shape.rank() && (i == 0 || dims[i - 1] < dims[i]), ShapeError,
                 "broadcast: dims must ascend within the {} axes of shape {}", shape.rank(), shape.str());
    KILN_REQUIRE(x.shape[i] == shape[dims[i]] || x.shape[i] == 1, ShapeError,
                 "broadcast: cannot broadcast shape {} to {}: axis {} has length {}, which is neither 1 nor {}", x.shape.str(), shape.str(),
                 i, x.shape[i].str(), shape[dims[i]].str());
  }
  return {x.dtype, shape};
}

TensorType Slice::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType& x = operands[0];
  const Ints &start = attrs.get<Ints>("start"), &limit = attrs.get<Ints>("limit"), &step = attrs.get<Ints>("step");
  require_per_axis("slice", "start", start, x.shape);
  require_per_axis("slice", "limit", limit, x.shape);
  require_per_axis("slice", "step", step, x.shape);
  TensorType result{x.dtype, {}};
  for (std::size_t i = 0; i < start.size(); ++i) {
    KILN_REQUIRE(step[i] != 0, ValueError, "slice: step of axis {} is 0", i);
    Dim length = slice_length(x.shape[i], start[i], limit[i], step[i]);
    if (length.value_or(0) > 0 && x.shape[i].is_constant()) {
      std::int64_t n = x.shape[i], count = length;
      std::int64_t first = start[i] == kSliceEnd ? n - 1 : start[i];
      std::int64_t last = first + (count - 1) * step[i];
      KILN_REQUIRE(std::min(first, last) >= 0 && std::max(first, last) < n, ShapeError,
                   "slice: elements {} to {} of axis {} lie outside shape {}", first, last, i, x.shape.str());
    }
    bool symbolic_in_range = step[i] > 0 ? start[i] >= 0 && start[i] != kSliceEnd : limit[i] >= -1;
    KILN_REQUIRE(x.shape[i].is_constant() || symbolic_in_range, ShapeError, "slice: start {} of symbolic axis {} of shape {} is negative",
                 start[i], i, x.shape.str());
    result.shape.push_back(length);
  }
  return result;
}

TensorType Concatenate::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  KILN_REQUIRE(!operands.empty(), ValueError, "concat: needs at least one operand");
  std::int64_t axis = attrs.get<std::int64_t>("axis");
  TensorType result = operands[0];
  require_axis("concat", axis, result.shape);
  for (const TensorType& x : operands.subspan(1)) {
    require_alike("concat", result.dtype, x.dtype);
    bool fits = x.shape.rank() == result.shape.rank();
    for (int i = 0; fits && i < x.shape.rank(); ++i) fits = i == axis || x.shape[i] == result.shape[i];
    KILN_REQUIRE(fits, ShapeError, "concat: shapes {} and {} differ elsewhere than along axis {}", operands[0].shape.str(), x.shape.str(),
                 axis);
    result.shape[axis] = result.shape[axis] + x.shape[axis];
  }
  return result;
}

TensorType Pad::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType &x = operands[0], &value = operands[1];
  require_alike("pad", x.dtype, value.dtype);
  KILN_REQUIRE(value.shape.rank() == 0, ShapeError, "pad: the padding value must be a scalar, but it has shape {}", value.shape.str());
  const Ints &low = attrs.get<Ints>("low"), &high = attrs.get<Ints>("high"), &interior = attrs.get<Ints>("interior");
  require_per_axis("pad", "low", low, x.shape);
  require_per_axis("pad", "high", high, x.shape);
  require_per_axis("pad", "interior", interior, x.shape);
  TensorType result{x.dtype, {}};
  for (std::size_t i = 0; i < low.size(); ++i) {
    KILN_REQUIRE(interior[i] >= 0, ValueError, "pad: interior padding of axis {} is negative: {}", i, interior[i]);
    Dim n = x.shape[i];
    // No elements, no gaps between them.
    Dim spread = interior[i] == 0 ? n : max(n + (n - 1) * interior[i], Dim(0));
    Dim length = spread + low[i] + high[i];
    KILN_REQUIRE(length.value_or(0) >= 0, ShapeError, "pad: cropping axis {} of shape {} by {} and {} leaves a negative length", i,
                 x.shape.str(), low[i], high[i]);
    result.shape.push_back(length);
  }
  return result;
}

TensorType Gather::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType &x = operands[0], &indices = operands[1];
  std::int64_t axis = attrs.get<std::int64_t>("axis");
  require_indices("gather", indices.dtype);
  require_axis("gather", axis, x.shape);
  TensorType result{x.dtype, {}};
  for (int i = 0; i < axis; ++i) result.shape.push_back(x.shape[i]);
  for (Dim d : indices.shape) result.shape.push_back(d);
  for (int i = static_cast<int>(axis) + 1; i < x.shape.rank(); ++i) result.shape.push_back(x.shape[i]);
  return result;
}

TensorType ScatterAdd::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const TensorType &x = operands[0], &indices = operands[1], &updates = operands[2];
  require_indices("scatter_add", indices.dtype);
  require_alike("scatter_add", x.dtype, updates.dtype);
  require_numbers("scatter_add", x.dtype);
  std::int64_t axis = attrs.get<std::int64_t>("axis");
  require_axis("scatter_add", axis, x.shape);
  Shape expected;
  for (int i = 0; i < axis; ++i) expected.push_back(x.shape[i]);
  for (Dim d : indices.shape) expected.push_back(d);
  for (int i = static_cast<int>(axis) + 1; i < x.shape.rank(); ++i) expected.push_back(x.shape[i]);
  KILN_REQUIRE(updates.shape == expected, ShapeError,
               "scatter_add: updates must have shape {} (x {}, indices {}, axis {}), but they have {}", expected.str(), x.shape.str(),
               indices.shape.str(), axis, updates.shape.str());
  return x;
}

TensorType Iota::infer(std::span<const TensorType>, const Attrs& attrs) {
  const Shape& shape = attrs.get<Shape>("shape");
  require_nonnegative("iota", shape);
  require_axis("iota", attrs.get<std::int64_t>("axis"), shape);
  require_numbers("iota", attrs.get<DType>("dtype"));
  return {attrs.get<DType>("dtype"), shape};
}

TensorType Cast::infer(std::span<const TensorType> operands, const Attrs& attrs) { return {attrs.get<DType>("dtype"), operands[0].shape}; }

TensorType Constant::infer(std::span<const TensorType>, const Attrs& attrs) {
  const Literal& value = attrs.get<Literal>("value");
  std::size_t elements = value.splat ? 1 : static_cast<std::size_t>(value.type.shape.count());
  KILN_REQUIRE(value.bytes != nullptr && value.bytes->size() == elements * size_of(value.type.dtype), ValueError,
               "constant: {} bytes cannot hold {}{}", value.bytes == nullptr ? 0 : value.bytes->size(),
               value.splat ? "one element of " : "", value.type.str());
  return value.type;
}

TensorType Random::infer(std::span<const TensorType> operands, const Attrs& attrs) {
  const auto& kind = attrs.get<std::string>("kind");
  DType dtype = attrs.get<DType>("dtype");
  KILN_REQUIRE(kind == "uniform" || kind == "normal" || kind == "bits", ValueError,
               "random: kind \"{}\" is unknown; use uniform, normal, bits", kind);
  KILN_REQUIRE(operands[0] == (TensorType{DType::int64, {2}}), ShapeError, "random: the key must be int64[2], but it is {}",
               operands[0].str());
  KILN_REQUIRE(kind == "bits" ? dtype == DType::int32 : is_floating(dtype), DTypeError, "random: kind \"{}\" cannot give {}; {}", kind,
               kiln::name(dtype), kind == "bits" ? "use int32" : "use a floating dtype and cast() the result");
  require_nonnegative("random", attrs.get<Shape>("shape"));
  return {dtype, attrs.get<Shape>("shape")};
}

std::span<const OpDef> structural_ops() {
  static const auto defs = []<class... Ops>(OpList<Ops...>) { return std::array{define<Ops>()...}; }(StructuralOps{});
  return defs;
}

}  // namespace kiln::ops
