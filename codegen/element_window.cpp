// Sliding windows in the element emitter: pooling and the gradient of max pooling, both from the side of the result.
#include "base/require.h"
#include "codegen/element_emitter.h"

namespace kiln::codegen {

namespace arith = mlir::arith;

namespace {

/// Windows up to this many taps are written out.
constexpr std::int64_t kUnrolledTaps = 16;

/// The attributes of a windowed op.
struct Window {
  const Ints &size, &stride, &low, &high;
  explicit Window(const Attrs& attrs)
      : size(attrs.get<Ints>("window")),
        stride(attrs.get<Ints>("strides")),
        low(attrs.get<Ints>("padding_low")),
        high(attrs.get<Ints>("padding_high")) {}

  std::size_t rank() const { return size.size(); }
  std::int64_t taps() const {
    std::int64_t n = 1;
    for (std::int64_t s : size) n *= s;
    return n;
  }
};

/// Calls f with each tap in row-major order; as loops of the emitted code if there are many.
Value for_each_tap(Builder& b, const Ints& size, Value initial, const std::function<Value(llvm::ArrayRef<Value> tap, Value carried)>& f) {
  std::int64_t taps = 1;
  for (std::int64_t s : size) taps *= s;
  const bool unroll = taps <= kUnrolledTaps;
  Values tap;
  const std::function<Value(std::size_t, Value)> descend = [&](std::size_t axis, Value carried) -> Value {
    if (axis == size.size()) return f(tap, carried);
    const std::int64_t n = size[axis];
    if (n == 1 || unroll) {
      for (std::int64_t i = 0; i < n; ++i) {
        tap.push_back(b.integer(i));
        carried = descend(axis + 1, carried);
        tap.pop_back();
      }
      return carried;
    }
    return b.loop(b.integer(0), b.integer(n), b.integer(1), carried, [&](Value i, mlir::ValueRange inner) {
      tap.push_back(i);
      Value next = descend(axis + 1, inner[0]);
      tap.pop_back();
      return Values{next};
    })[0];
  };
  return descend(0, initial);
}

}  // namespace

/// Where tap `tap` of the window of result position `o` reads; adds the guards that padding needs to `mask` and `inside`.
static Position tap_position(ElementEmitter& e, int x, const Window& w, const Position& o, llvm::ArrayRef<Value> tap,
                             const std::function<void(Value)>& require) {
  Builder& b = e.builder();
  Indexing& ix = e.indexing();
  Position from;
  for (std::size_t axis = 0; axis < w.rank(); ++axis) {
    Index index = ix.add(ix.multiply(o.at[axis], w.stride[axis]), Index{b.add(tap[axis], b.integer(-w.low[axis]))});
    if (w.low[axis] > 0) require(ix.at_least(index, b.integer(0)));
    if (w.high[axis] > 0) require(ix.below(index, e.shapes().length(x, static_cast<int>(axis))));
    from.at.push_back(index);
  }
  return from;
}

Value ElementEmitter::window_reduce(int node, const Position& at, const Mask& mask) {
  const runtime::BodyNode& n = this->node(node);
  const int x = n.operands[0];
  const Window w(n.attrs);
  const auto& kind = n.attrs.get<std::string>("kind");
  const Position o = by_axes(node, at);
  Value none = identity(kind, n.dtype);
  Value initial = o.uniform() ? none : b_.splat(none);
  // A sum over padding alone is +0, but the value that changes no sum is -0.
  bool may_be_empty = false;
  for (std::size_t axis = 0; axis < w.rank(); ++axis) may_be_empty |= kind == "add" && w.low[axis] + w.high[axis] >= w.size[axis];
  Value result = for_each_tap(b_, w.size, initial, [&](llvm::ArrayRef<Value> tap, Value carried) {
    Mask inside = mask;
    Value all;
    const Position from = tap_position(*this, x, w, o, tap, [&](Value condition) {
      inside = guarded(inside, condition);
      all = all ? b_.bit_and(all, condition) : condition;
    });
    Value v = value(x, from, inside);
    Value next = combine(kind, n.dtype, carried, all ? b_.select(all, v, none) : v);
    return o.uniform() ? next : b_.splat(next);
  });
  if (may_be_empty) result = b_.select(window_is_empty(node, o), b_.constant(b_.value_type(n.dtype), 0), result);
  return round_half(result, n.dtype);
}

Value ElementEmitter::window_is_empty(int node, const Position& o) {
  const Window w(this->node(node).attrs);
  const int x = this->node(node).operands[0];
  Value empty = b_.boolean(false);
  for (std::size_t axis = 0; axis < w.rank(); ++axis) {
    const Index start = indexing_.add(indexing_.multiply(o.at[axis], w.stride[axis]), -w.low[axis]);
    Value before = indexing_.below(start, b_.integer(1 - w.size[axis]));
    Value after = indexing_.at_least(start, shapes_.length(x, static_cast<int>(axis)));
    empty = b_.bit_or(empty, b_.bit_or(before, after));
  }
  return empty;
}

/// True where a comes before b as the maximum: larger, or the only NaN.
static Value beats(Builder& b, DType t, Value x, Value y) {
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;
  if (!is_floating(t)) return b.compare(t == DType::uint8 || t == DType::boolean ? I::ugt : I::sgt, x, y);
  Value only = b.bit_and(b.compare(F::UNO, x, x), b.compare(F::ORD, y, y));
  return b.bit_or(b.compare(F::OGT, x, y), only);
}

/// True where y does not come before x.
static Value withstands(Builder& b, DType t, Value x, Value y) {
  using F = arith::CmpFPredicate;
  if (!is_floating(t)) return b.bit_not(beats(b, t, y, x));
  return b.bit_or(b.compare(F::OGE, x, y), b.compare(F::UNO, x, x));
}

Value ElementEmitter::window_max_grad(int node, const Position& at, const Mask& mask) {
  const runtime::BodyNode& n = this->node(node);
  const Window w(n.attrs);
  const Position p = by_axes(node, at);
  Value here = value(n.operands[0], p, mask);
  if (!p.uniform()) here = b_.splat(here);
  // Windows over p along an axis: the last starts at or before p, the others are up to a number of strides before it.
  std::vector<WindowsOver> windows;
  for (std::size_t axis = 0; axis < w.rank(); ++axis) {
    auto [last, tap] = indexing_.divide(indexing_.add(p.at[axis], w.low[axis]), b_.integer(w.stride[axis]));
    windows.push_back({last, tap, (w.size[axis] + w.stride[axis] - 1) / w.stride[axis]});
  }
  return round_half(sum_by_taps(node, windows, 0, here, mask), n.dtype);
}

Value ElementEmitter::sum_by_taps(int node, std::vector<WindowsOver>& windows, std::size_t axis, Value here, const Mask& mask) {
  const Window w(this->node(node).attrs);
  constexpr std::int64_t kMaxStride = 3;
  while (axis < windows.size() && (w.stride[axis] == 1 || w.stride[axis] > kMaxStride || !windows[axis].tap.uniform())) ++axis;
  if (axis == windows.size() || w.taps() > kUnrolledTaps) return sum_over_windows(node, windows, here, mask);
  const WindowsOver any = windows[axis];
  const std::function<Value(std::int64_t)> from = [&](std::int64_t tap) -> Value {
    const auto one = [&] {
      windows[axis] = {any.last, indexing_.constant(tap),
                       std::max<std::int64_t>(0, (w.size[axis] - tap + w.stride[axis] - 1) / w.stride[axis])};
      return Values{sum_by_taps(node, windows, axis + 1, here, mask)};
    };
    if (tap + 1 == w.stride[axis]) return one()[0];
    return b_.branch(b_.equal(any.tap.base, b_.integer(tap)), {here.getType()}, one, [&] { return Values{from(tap + 1)}; })[0];
  };
  Value sum = from(0);
  windows[axis] = any;
  return sum;
}

Value ElementEmitter::sum_over_windows(int node, const std::vector<WindowsOver>& windows, Value here, const Mask& mask) {
  const runtime::BodyNode& n = this->node(node);
  const int dy = n.operands[1];
  const Window w(n.attrs);
  Ints counts;
  for (const WindowsOver& over : windows) counts.push_back(over.count);
  Value zero = b_.constant(b_.value_type(n.dtype), 0);
  Value initial = Builder::is_vector(here) ? b_.splat(zero) : zero;
  return for_each_tap(b_, counts, initial, [&](llvm::ArrayRef<Value> nth, Value carried) {
    Mask valid = mask;
    Value hit = b_.boolean(true);
    Position o;
    Index own_tap = indexing_.constant(0);
    for (std::size_t axis = 0; axis < w.rank(); ++axis) {
      Value back = b_.sub(b_.integer(counts[axis] - 1), nth[axis]);
      Index window = indexing_.add(windows[axis].last, Index{b_.sub(b_.integer(0), back)});
      Index tap = indexing_.add(windows[axis].tap, Index{b_.mul(back, b_.integer(w.stride[axis]))});
      const auto require = [&](Value condition) {
        if (Builder::is_constant_equal(condition, -1) || Builder::is_constant_equal(condition, 1)) return;
        valid = guarded(valid, condition);
        hit = b_.bit_and(hit, condition);
      };
      if (w.size[axis] > 1 || w.stride[axis] > 1 || w.low[axis] != 0) {
        require(indexing_.at_least(window, b_.integer(0)));
        require(indexing_.below(window, shapes_.length(dy, static_cast<int>(axis))));
        require(indexing_.below(tap, b_.integer(w.size[axis])));
      }
      o.at.push_back(window);
      own_tap = indexing_.add(indexing_.multiply(own_tap, w.size[axis]), tap);
    }
    hit = b_.bit_and(hit, is_first_maximum(node, w.size, o, own_tap, here, valid));
    Value next = b_.select(hit, b_.add(carried, value(dy, o, valid)), carried);
    return Builder::is_vector(here) ? b_.splat(next) : next;
  });
}

Value ElementEmitter::is_first_maximum(int node, const Ints& size, const Position& o, const Index& own_tap, Value here, const Mask& valid) {
  const runtime::BodyNode& n = this->node(node);
  const int x = n.operands[0];
  const Window w(n.attrs);
  Value initial = o.uniform() ? b_.boolean(true) : b_.splat(b_.boolean(true));
  return for_each_tap(b_, size, initial, [&](llvm::ArrayRef<Value> tap, Value carried) {
    Mask inside = valid;
    Value outside = b_.boolean(false);
    const Position from = tap_position(*this, x, w, o, tap, [&](Value condition) {
      inside = guarded(inside, condition);
      outside = b_.bit_or(outside, b_.bit_not(condition));
    });
    Value number = b_.integer(0);
    for (std::size_t axis = 0; axis < w.rank(); ++axis) number = b_.add(b_.mul(number, b_.integer(size[axis])), tap[axis]);
    Value other = value(x, from, inside);
    Value later = indexing_.below(own_tap, b_.add(number, b_.integer(1)));
    Value wins;
    std::int64_t known = 0;
    if (Builder::is_constant(later, known))
      wins = known == 0 ? beats(b_, n.dtype, here, other) : withstands(b_, n.dtype, here, other);
    else
      wins = b_.select(later, withstands(b_, n.dtype, here, other), beats(b_, n.dtype, here, other));
    Value next = b_.bit_and(carried, b_.bit_or(outside, wins));
    return o.uniform() ? next : b_.splat(next);
  });
}

}  // namespace kiln::codegen
