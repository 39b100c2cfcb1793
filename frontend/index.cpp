// a[...] and set(): NumPy's indices, as slices, gathers and reshapes.
#include <kiln/math.h>
#include <kiln/ops.h>
#include <kiln/tensor.h>

#include <vector>

#include "frontend/access.h"
#include "ops/build.h"

namespace kiln {

using detail::Access;
using detail::Index;
using graph::Value;

namespace {

/// An index resolved against a shape: a slice of each axis, then at most one gather, then a reshape.
struct Selection {
  Ints start, limit, step;
  Shape sliced;            ///< after the slice
  Shape result;            ///< without the integer axes, with the new ones; the gathered axis still whole
  int gathered_axis = -1;  ///< in `result`
  Tensor indices;
};

int axes_used(const std::vector<Index>& list) {
  int used = 0;
  for (const Index& i : list) used += i.kind != Index::Kind::ellipsis && i.kind != Index::Kind::newaxis;
  return used;
}

std::vector<Index> expand_ellipsis(const std::vector<Index>& list, int rank) {
  int used = axes_used(list), ellipses = 0;
  for (const Index& i : list) ellipses += i.kind == Index::Kind::ellipsis;
  KILN_REQUIRE(used <= rank, ShapeError, "index: {} indices for a tensor of rank {}", used, rank);
  KILN_REQUIRE(ellipses <= 1, ShapeError, "index: more than one ellipsis");
  std::vector<Index> out;
  for (const Index& i : list) {
    if (i.kind == Index::Kind::ellipsis)
      out.insert(out.end(), static_cast<std::size_t>(rank - used), Index(Slice{}));
    else
      out.push_back(i);
  }
  if (ellipses == 0) out.insert(out.end(), static_cast<std::size_t>(rank - used), Index(Slice{}));
  return out;
}

std::int64_t clip(std::int64_t n, std::int64_t low, std::int64_t high) { return n < low ? low : n > high ? high : n; }

void add_integer(Selection& s, std::int64_t index, Dim length, int axis) {
  std::int64_t n = length;
  KILN_REQUIRE(index >= -n && index < n, ShapeError, "index: {} is out of range for axis {} of length {}", index, axis, n);
  std::int64_t at = index < 0 ? index + n : index;
  s.start.push_back(at);
  s.limit.push_back(at + 1);
  s.step.push_back(1);
  s.sliced.push_back(1);
}

void add_slice(Selection& s, const Slice& slice, Dim length) {
  KILN_REQUIRE(slice.step != 0, ValueError, "index: a slice's step is zero");
  if (!slice.start && !slice.stop && slice.step == 1) {
    s.start.push_back(0);
    s.limit.push_back(length.value_or(ops::kSliceEnd));
    s.step.push_back(1);
    s.sliced.push_back(length);
    s.result.push_back(length);
    return;
  }
  std::int64_t n = length;
  auto from_front = [n](std::int64_t i) { return i < 0 ? i + n : i; };
  bool forward = slice.step > 0;
  std::int64_t start = slice.start ? clip(from_front(*slice.start), forward ? 0 : -1, forward ? n : n - 1) : forward ? 0 : n - 1;
  std::int64_t stop = slice.stop ? clip(from_front(*slice.stop), forward ? 0 : -1, forward ? n : n - 1) : forward ? n : -1;
  std::int64_t count = forward ? (stop - start + slice.step - 1) / slice.step : (start - stop - slice.step - 1) / -slice.step;
  if (count <= 0) {
    count = 0;
    start = stop = 0;
  }
  s.start.push_back(start);
  s.limit.push_back(stop);
  s.step.push_back(count == 0 ? 1 : slice.step);
  s.sliced.push_back(count);
  s.result.push_back(count);
}

Selection select(const detail::Indices& indices, const Shape& shape) {
  Selection s;
  int axis = 0;
  for (const Index& index : expand_ellipsis(indices.list, shape.rank())) {
    switch (index.kind) {
      case Index::Kind::integer:
        add_integer(s, index.integer, shape[axis], axis);
        ++axis;
        break;
      case Index::Kind::slice:
        add_slice(s, index.slice, shape[axis]);
        ++axis;
        break;
      case Index::Kind::tensor:
        KILN_REQUIRE(is_integer(index.tensor.dtype()), DTypeError, "index: a tensor index must hold integers, got {}",
                     name(index.tensor.dtype()));
        KILN_REQUIRE(s.gathered_axis < 0, ValueError, "index: only one tensor among the indices is supported; use gather() twice");
        s.gathered_axis = s.result.rank();
        s.indices = index.tensor;
        add_slice(s, Slice{}, shape[axis]);
        ++axis;
        break;
      case Index::Kind::newaxis:
        s.result.push_back(1);
        break;
      case Index::Kind::ellipsis:
        break;
    }
  }
  return s;
}

/// For each element of a tensor of `shape`, in row-major order: the number of the selected element that it is, or -1.
Tensor selected_ordinals(const Selection& s, const Shape& shape) {
  std::vector<std::int64_t> sizes = shape.sizes(), picked = s.sliced.sizes();
  std::vector<std::int64_t> ordinals(static_cast<std::size_t>(shape.count()), -1);
  std::int64_t count = s.sliced.count();
  for (std::int64_t n = 0; n < count; ++n) {
    std::int64_t rest = n, position = 0, stride = 1;
    for (std::size_t axis = sizes.size(); axis-- > 0;) {
      position += (s.start[axis] + rest % picked[axis] * s.step[axis]) * stride;
      rest /= picked[axis];
      stride *= sizes[axis];
    }
    ordinals[static_cast<std::size_t>(position)] = n;
  }
  return tensor(ordinals, shape);
}

}  // namespace

Tensor Tensor::operator[](const detail::Indices& indices) const {
  LocationScope scope(indices.where);
  Value x = Access::value(*this);
  Selection s = select(indices, x.shape());
  if (s.sliced != x.shape() || s.step != Ints(s.step.size(), 1)) x = ops::slice(x, s.start, s.limit, s.step);
  x = ops::reshape(x, s.result);
  if (s.gathered_axis < 0) return Access::tensor(x);
  return gather(Access::tensor(x), s.indices, s.gathered_axis);
}

namespace {

/// For each of the `length` places of an axis: which of `indices` (of one axis) names it last, or -1.
Tensor last_ordinals(const Tensor& indices, std::int64_t length) {
  const Value v = Access::value(indices);
  if (v.symbolic()) {
    // Read through a gather, indices out of range are an error here as everywhere.
    const Tensor checked = gather(arange(length, DType::int64), indices);
    const Tensor hits = expand_dims(arange(length, DType::int64), 1) == expand_dims(checked, 0);
    return max(where(hits, arange(indices.shape()[0], DType::int64), -1), 1);
  }
  std::vector<std::int64_t> last(static_cast<std::size_t>(length), -1);
  const Tensor wide = cast(indices, DType::int64);
  std::int64_t ordinal = 0;
  for (std::int64_t i : wide.span<std::int64_t>()) {
    KILN_REQUIRE(i >= 0 && i < length, RuntimeError, "set: index {} is out of range for an axis of length {}", i, length);
    last[static_cast<std::size_t>(i)] = ordinal++;
  }
  return tensor(last, {length});
}

/// x with its slices at `indices` (of any shape) of an axis replaced by those of `updates`, of shape x[:axis] + indices + x[axis+1:].
Tensor set_along(const Tensor& x, int axis, const Tensor& indices, const Tensor& updates) {
  const Tensor flat = reshape(indices, {-1});
  if (flat.shape()[0] == 0) return x;
  Shape flat_shape = x.shape(), column;
  flat_shape[axis] = flat.shape()[0];
  for (int i = axis; i < x.rank(); ++i) column.push_back(i == axis ? x.shape()[axis] : Dim(1));
  const Tensor ordinals = last_ordinals(flat, x.shape()[axis]);
  const Tensor picked = gather(reshape(updates, flat_shape), maximum(ordinals, 0), axis);
  return where(reshape(ordinals >= 0, column), picked, x);
}

/// The same indices with the whole axis in place of a tensor.
detail::Indices without_tensor(const detail::Indices& indices) {
  detail::Indices rest = indices;
  for (Index& i : rest.list) {
    if (i.kind == Index::Kind::tensor) i = Index(Slice{});
  }
  return rest;
}

}  // namespace

Tensor Tensor::set(const detail::Indices& indices, const Arg& value) const {
  LocationScope scope(indices.where);
  Selection s = select(indices, shape());
  Tensor updates = value.tensor();
  if (Access::impl(updates)->weak) updates = full({}, updates, dtype());
  if (s.gathered_axis >= 0) {
    const detail::Indices rest = without_tensor(indices);
    const Tensor whole = (*this)[rest];
    const Shape& at = s.indices.shape();
    Shape wanted;
    for (int i = 0; i < s.result.rank(); ++i) {
      if (i != s.gathered_axis) wanted.push_back(s.result[i]);
      for (int j = 0; i == s.gathered_axis && j < at.rank(); ++j) wanted.push_back(at[j]);
    }
    const Tensor changed = set_along(whole, s.gathered_axis, s.indices, broadcast_to(updates, wanted));
    const bool whole_tensor = s.sliced == shape() && s.result == shape() && s.step == Ints(s.step.size(), 1);
    return whole_tensor ? changed : set(rest, changed);
  }
  updates = reshape(broadcast_to(updates, s.result), {-1});
  if (updates.size() == 0) return *this;
  Tensor ordinals = selected_ordinals(s, shape());
  return where(ordinals >= 0, gather(updates, maximum(ordinals, 0)), *this);
}

}  // namespace kiln
