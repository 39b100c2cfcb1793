// The structural ops: everything that is not one number in, one number out at the same index. One struct an op: name, doc, shape rule,
// gradient; its eager kernel lives in ops/kernels/, its double reference in ops/structural_reference.cpp.
//
// vjp() gets the gradient of the result, the result and the operands, and returns one gradient an operand; an undefined V{} is none. See
// ops/build.h for V.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "ops/build.h"
#include "ops/op.h"
#include "ops/op_list.h"

/// What every structural op's struct declares besides its name, doc, arity and gradient.
#define KILN_STRUCTURAL_OP                                                                                                        \
  static TensorType infer(std::span<const TensorType> operands, const Attrs& attrs);                                              \
  static void kernel(std::span<const View> operands, const View& result, const Attrs& attrs);                                     \
  static void reference(std::span<const TensorType> types, std::span<const std::vector<double>> operands, const TensorType& type, \
                        std::vector<double>& result, const Attrs& attrs)

namespace kiln::ops {

namespace detail {
struct GradientProbe {};
}  // namespace detail

/// True if the structural op has a gradient.
template <class Op>
concept HasGradient = requires { &Op::template vjp<detail::GradientProbe>; };

struct Reduce {
  static constexpr std::string_view name = "reduce";
  static constexpr std::string_view doc =
      "Sum (add), product (mul), maximum, minimum, or conjunction (and, or) of x over axes, which the result drops.";
  static constexpr Notes notes = {"any x; and, or: bool", "kind: add, mul, max, min, and, or; axes: ints, ascending",
                                  "sum(tensor({{1, 2}, {3, 4}}), 0)", "[4 6]"};
  static constexpr int arity = 1;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V& y, std::span<const V> operands, const Attrs& attrs) {
    const V& x = operands[0];
    const Ints& axes = attrs.get<Ints>("axes");
    const auto& kind = attrs.get<std::string>("kind");
    if (kind == "add") return {expand(g, x.shape(), axes)};
    if (kind == "mul") return {product_gradient(g, x, axes)};
    if (kind != "max" && kind != "min") return {V{}};
    // Elements that tie for the extreme share the gradient.
    V hit = equal(x, expand(y, x.shape(), axes));
    V share = g / reduce_sum(cast(hit, x.dtype()), axes);
    return {where(hit, expand(share, x.shape(), axes), V(0.0))};
  }

  /// Exact also where one element or several are zero.
  template <class V>
  static V product_gradient(const V& g, const V& x, const Ints& axes) {
    V is_zero = equal(x, V(0.0));
    V safe = where(is_zero, V(1.0), x);
    V product = g * reduce(safe, "mul", axes);
    V zeros = expand(reduce_sum(cast(is_zero, x.dtype()), axes), x.shape(), axes);
    V others = expand(product, x.shape(), axes) / safe;
    V own = where(equal(zeros, V(0.0)), others, V(0.0));
    return where(is_zero, where(equal(zeros, V(1.0)), others, V(0.0)), own);
  }
};

struct ArgReduce {
  static constexpr std::string_view name = "arg_reduce";
  static constexpr std::string_view doc =
      "Index (int64) of the first maximum or minimum of x along an axis, which the result drops; NaN is the extreme.";
  static constexpr Notes notes = {"any x but bool", "kind: max, min; axis: int", "argmax(tensor({{1.f, 5.f, 5.f}, {3.f, 2.f, 1.f}}), 1)",
                                  "[1 0]"};
  static constexpr int arity = 1;
  KILN_STRUCTURAL_OP;
};

struct Contract {
  static constexpr std::string_view name = "contract";
  static constexpr std::string_view doc =
      "Products of a and b summed over shared labels of an equation such as \"mk,kn->mn\"; window labels slide, which makes it a "
      "convolution.";
  static constexpr Notes notes = {"numbers a, b of one dtype",
                                  "equation: str; order: str, the contracted labels; window: str, the labels that slide; for each of these "
                                  "strides, padding_low, padding_high, lhs_dilation, rhs_dilation, reverse: ints",
                                  "matmul(tensor({{1, 2}, {3, 4}}), tensor({{1, 0}, {1, 1}}))", "[[3 2]\n [7 4]]"};
  static constexpr int arity = 2;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V& y, std::span<const V> operands, const Attrs& attrs) {
    ContractView view = ContractView::parse(attrs);
    const V &a = operands[0], &b = operands[1];
    V da, db;
    if (wants_gradient<V>(0)) da = contract(g, b, view.gradient_lhs(a.shape(), b.shape(), y.shape()));
    if (!wants_gradient<V>(1)) return {da, db};
    db = contract(a, g, view.gradient_rhs(a.shape(), b.shape(), y.shape()));
    Ints backwards;
    for (std::size_t i = 0; i < view.window.size(); ++i) {
      if (view.windows[i].reverse) backwards.push_back(view.label(view.window[i]).rhs);
    }
    return {da, reverse(db, backwards)};
  }
};

struct WindowReduce {
  static constexpr std::string_view name = "window_reduce";
  static constexpr std::string_view doc = "Maximum, minimum or sum (add) of x over a sliding window; padding is the identity of the kind.";
  static constexpr Notes notes = {"numbers x", "kind: max, min, add; window, strides, padding_low, padding_high: ints, one an axis",
                                  "max_pool2d(reshape(arange(16), {1, 4, 4, 1}), 2)[{0, ellipsis, 0}]", "[[ 5  7]\n [13 15]]"};
  static constexpr int arity = 1;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V& y, std::span<const V> operands, const Attrs& attrs) {
    const V& x = operands[0];
    WindowAttrs w = window_attrs(attrs);
    const auto& kind = attrs.get<std::string>("kind");
    if (kind == "max") return {window_max_grad(x, g, w)};
    if (kind == "min") return {window_max_grad(-x, g, w)};
    WindowAttrs spread{w.window, Ints(w.window.size(), 1), {}, {}};
    Ints interior;
    for (std::size_t i = 0; i < w.window.size(); ++i) {
      interior.push_back(w.strides[i] - 1);
      spread.padding_low.push_back(w.window[i] - 1 - w.padding_low[i]);
      Dim high = x.shape()[i] - 1 - (y.shape()[i] - 1) * w.strides[i] + w.padding_low[i];
      spread.padding_high.push_back(high);
    }
    Ints none(w.window.size(), 0);
    return {window_reduce(pad(g, scalar<V>(g.dtype(), 0), none, none, interior), "add", spread)};
  }
};

struct WindowMaxGrad {
  static constexpr std::string_view name = "window_max_grad";
  static constexpr std::string_view doc = "Zeros of x's shape plus each element of dy added where its window of x has its first maximum.";
  static constexpr Notes notes = {"floating-point x, dy of one dtype", "window, strides, padding_low, padding_high: ints, one an axis", "",
                                  ""};
  static constexpr int arity = 2;
  KILN_STRUCTURAL_OP;

  /// The gradient of dy reads g where each window's first maximum is, tap by tap.
  template <class V>
  static std::vector<V> vjp(const V& g, const V&, std::span<const V> operands, const Attrs& attrs) {
    const V& x = operands[0];
    WindowAttrs w = window_attrs(attrs);
    V lowest = scalar<V>(x.dtype(), -std::numeric_limits<double>::infinity());
    Ints interior(w.window.size(), 0);
    V px = pad(x, lowest, w.padding_low, w.padding_high, interior);
    V pg = pad(g, scalar<V>(g.dtype(), 0), w.padding_low, w.padding_high, interior);
    V best, value;
    Ints tap(w.window.size(), 0);
    do {
      V xs = take_tap(px, operands[1].shape(), w, tap), gs = take_tap(pg, operands[1].shape(), w, tap);
      if (!best.defined()) {
        best = xs;
        value = gs;
        continue;
      }
      V better = logical_or(greater(xs, best), logical_and(isnan(xs), logical_not(isnan(best))));
      best = where(better, xs, best);
      value = where(better, gs, value);
    } while (next_tap(tap, w.window));
    return {V{}, value};
  }

 private:
  template <class V>
  static V take_tap(const V& padded, const Shape& result, const WindowAttrs& w, const Ints& tap) {
    Ints limit;
    for (std::size_t i = 0; i < tap.size(); ++i) {
      Dim end = (result[i] - 1) * w.strides[i] + tap[i] + 1;
      limit.push_back(end.value_or(kSliceEnd));
    }
    return slice(padded, tap, limit, w.strides);
  }
  static bool next_tap(Ints& tap, const Ints& window);
};

struct Reshape {
  static constexpr std::string_view name = "reshape";
  static constexpr std::string_view doc = "The elements of x in row-major order under another shape.";
  static constexpr Notes notes = {"any x", "shape: the result's", "reshape(tensor({1, 2, 3, 4}), {2, 2})", "[[1 2]\n [3 4]]"};
  static constexpr int arity = 1;
  static constexpr Traits traits = {.view = true};
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V&, std::span<const V> operands, const Attrs&) {
    return {reshape(g, operands[0].shape())};
  }
};

struct Transpose {
  static constexpr std::string_view name = "transpose";
  static constexpr std::string_view doc = "x with its axes permuted: result axis i is operand axis perm[i].";
  static constexpr Notes notes = {"any x", "perm: ints", "transpose(tensor({{1, 2}, {3, 4}}))", "[[1 3]\n [2 4]]"};
  static constexpr int arity = 1;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V&, std::span<const V>, const Attrs& attrs) {
    const Ints& perm = attrs.get<Ints>("perm");
    Ints inverse(perm.size());
    for (std::size_t i = 0; i < perm.size(); ++i) inverse[static_cast<std::size_t>(perm[i])] = static_cast<std::int64_t>(i);
    return {transpose(g, inverse)};
  }
};

struct Broadcast {
  static constexpr std::string_view name = "broadcast";
  static constexpr std::string_view doc =
      "x repeated to shape: operand axis i becomes result axis dims[i], of the same length or from length 1.";
  static constexpr Notes notes = {"any x", "shape: the result's; dims: ints", "broadcast_to(tensor({1, 2}), {2, 2})", "[[1 2]\n [1 2]]"};
  static constexpr int arity = 1;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V& y, std::span<const V> operands, const Attrs& attrs) {
    const Shape& from = operands[0].shape();
    const Ints& dims = attrs.get<Ints>("dims");
    Ints kept;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (from[i] == y.shape()[dims[i]]) kept.push_back(dims[i]);
    }
    Ints summed = other_axes(y.shape().rank(), kept);
    return {reshape(summed.empty() ? g : reduce_sum(g, summed), from)};
  }
};

struct Slice {
  static constexpr std::string_view name = "slice";
  static constexpr std::string_view doc = "Elements start, start + step, ... of x before limit along each axis; step may be negative.";
  static constexpr Notes notes = {"any x", "start, limit, step: ints, one an axis", "tensor({1, 2, 3, 4})[{Slice{3, 0, -1}}]", "[4 3 2]"};
  static constexpr int arity = 1;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V& y, std::span<const V> operands, const Attrs& attrs) {
    const Shape& from = operands[0].shape();
    const Ints &start = attrs.get<Ints>("start"), &step = attrs.get<Ints>("step");
    Ints low, high, interior, backwards;
    for (std::size_t i = 0; i < start.size(); ++i) {
      bool down = step[i] < 0;
      if (down) backwards.push_back(static_cast<std::int64_t>(i));
      Dim first = down && start[i] == kSliceEnd ? from[i] - 1 : Dim(start[i]);
      Dim span = (y.shape()[i] - 1) * (down ? -step[i] : step[i]);
      if (y.shape()[i] == 0) {
        low.push_back(from[i]);
        high.push_back(0);
      } else {
        low.push_back(down ? first - span : first);
        high.push_back(down ? from[i] - 1 - first : from[i] - 1 - first - span);
      }
      interior.push_back((down ? -step[i] : step[i]) - 1);
    }
    return {pad(reverse(g, backwards), scalar<V>(g.dtype(), 0), low, high, interior)};
  }
};

struct Concatenate {
  static constexpr std::string_view name = "concat";
  static constexpr std::string_view doc = "The operands one after another along an axis.";
  static constexpr Notes notes = {"one or more tensors of one dtype", "axis: int", "concat({tensor({1, 2}), tensor({3})})", "[1 2 3]"};
  static constexpr int arity = -1;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V&, std::span<const V> operands, const Attrs& attrs) {
    std::int64_t axis = attrs.get<std::int64_t>("axis");
    std::vector<V> gradients;
    Dim offset = 0;
    for (const V& x : operands) {
      Dim end = offset + x.shape()[axis];
      // The last part may have a symbolic length.
      std::int64_t limit = end == g.shape()[axis] ? end.value_or(kSliceEnd) : static_cast<std::int64_t>(end);
      gradients.push_back(slice_axis(g, static_cast<int>(axis), offset, limit));
      offset = end;
    }
    return gradients;
  }
};

struct Pad {
  static constexpr std::string_view name = "pad";
  static constexpr std::string_view doc =
      "x with value put before (low), behind (high) and between (interior) its elements; negative low or high crop.";
  static constexpr Notes notes = {"any x, and a value of its dtype", "low, high, interior: ints, one an axis",
                                  "pad(tensor({1, 2}), {{1, 2}}, 9)", "[9 1 2 9 9]"};
  static constexpr int arity = 2;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V&, std::span<const V> operands, const Attrs& attrs) {
    const V& x = operands[0];
    const Ints &low = attrs.get<Ints>("low"), &high = attrs.get<Ints>("high"), &interior = attrs.get<Ints>("interior");
    Ints crop_low, crop_high, limit, step, none(low.size(), 0);
    for (std::size_t i = 0; i < low.size(); ++i) {
      crop_low.push_back(-low[i]);
      crop_high.push_back(-high[i]);
      step.push_back(interior[i] + 1);
      limit.push_back(((x.shape()[i] - 1) * (interior[i] + 1) + 1).value_or(kSliceEnd));
      if (x.shape()[i] == 0) limit.back() = 0;
    }
    V dx = slice(pad(g, scalar<V>(g.dtype(), 0), crop_low, crop_high, none), none, limit, step);
    if (!wants_gradient<V>(1)) return {dx, V{}};
    V outside = pad(full<V>(x.shape(), g.dtype(), 0), scalar<V>(g.dtype(), 1), low, high, interior);
    return {dx, reduce_sum(g * outside, all_axes(g.shape().rank()))};
  }
};

struct Gather {
  static constexpr std::string_view name = "gather";
  static constexpr std::string_view doc = "Elements of x along an axis at integer indices; the indices' shape takes the axis's place.";
  static constexpr Notes notes = {"any x, int32 or int64 indices", "axis: int", "gather(tensor({10, 20, 30}), tensor({2, 0, 2}))",
                                  "[30 10 30]"};
  static constexpr int arity = 2;
  static constexpr Traits traits = {.fallible = true};
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V&, std::span<const V> operands, const Attrs& attrs) {
    const V& x = operands[0];
    return {scatter_add(full<V>(x.shape(), x.dtype(), 0), operands[1], g, attrs.get<std::int64_t>("axis")), V{}};
  }
};

struct ScatterAdd {
  static constexpr std::string_view name = "scatter_add";
  static constexpr std::string_view doc = "x plus updates added at integer indices along an axis, in row-major order of the indices.";
  static constexpr Notes notes = {"numbers x, int32 or int64 indices, updates of x's dtype", "axis: int",
                                  "scatter_add(tensor({0, 0, 0}), tensor({2, 0, 2}), tensor({1, 2, 3}))", "[2 0 4]"};
  static constexpr int arity = 3;
  static constexpr Traits traits = {.fallible = true};
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V&, std::span<const V> operands, const Attrs& attrs) {
    return {g, V{}, gather(g, operands[1], attrs.get<std::int64_t>("axis"))};
  }
};

struct Iota {
  static constexpr std::string_view name = "iota";
  static constexpr std::string_view doc = "0, 1, 2, ... along one axis of shape, repeated along the others.";
  static constexpr Notes notes = {"nothing", "shape, dtype: the result's; axis: int", "arange(4)", "[0 1 2 3]"};
  static constexpr int arity = 0;
  KILN_STRUCTURAL_OP;
};

struct Cast {
  static constexpr std::string_view name = "cast";
  static constexpr std::string_view doc = "x as another dtype; floats truncate and saturate to integers, NaN gives 0, and bool is x != 0.";
  static constexpr Notes notes = {"any x", "dtype: the result's", "cast(tensor({1.7f, -1.7f, 1e20f}), DType::int32)",
                                  "[         1         -1 2147483647]"};
  static constexpr int arity = 1;
  KILN_STRUCTURAL_OP;

  template <class V>
  static std::vector<V> vjp(const V& g, const V&, std::span<const V> operands, const Attrs&) {
    if (!is_floating(g.dtype()) || !is_floating(operands[0].dtype())) return {V{}};
    return {cast(g, operands[0].dtype())};
  }
};

struct Constant {
  static constexpr std::string_view name = "constant";
  static constexpr std::string_view doc = "A tensor known when the graph is made.";
  static constexpr Notes notes = {"nothing", "value: a literal", "tensor({1, 2})", "[1 2]"};
  static constexpr int arity = 0;
  KILN_STRUCTURAL_OP;
};

struct Random {
  static constexpr std::string_view name = "random";
  static constexpr std::string_view doc =
      "Philox4x32-10 numbers: uniform in [0, 1), standard normal, or int32 bits; key is (seed, base stream), and stream is added to the "
      "latter.";
  static constexpr Notes notes = {"key: int64[2]", "kind: uniform, normal, bits; shape, dtype: the result's; stream: int",
                                  "random::uniform({0})", "[]"};
  static constexpr int arity = 1;
  static constexpr Traits traits = {.random = true};
  KILN_STRUCTURAL_OP;
};

using StructuralOps = OpList<Reduce, ArgReduce, Contract, WindowReduce, WindowMaxGrad, Reshape, Transpose, Broadcast, Slice, Concatenate,
                             Pad, Gather, ScatterAdd, Iota, Cast, Constant, Random>;

/// The definitions of all structural ops, in the order of StructuralOps.
std::span<const OpDef> structural_ops();

}  // namespace kiln::ops

#undef KILN_STRUCTURAL_OP
