// Ops that rearrange or select elements.
#include <kiln/math.h>
#include <kiln/ops.h>

#include <algorithm>
#include <utility>

#include "frontend/access.h"
#include "frontend/axes.h"
#include "ops/build.h"

namespace kiln {

using detail::Access;
using graph::Value;

namespace {

/// The shape with its -1, if any, worked out from the number of elements.
Shape complete(const Shape& wanted, const Shape& from) {
  Shape shape = wanted;
  int unknown = -1;
  Dim known = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == -1) {
      KILN_REQUIRE(unknown < 0, ShapeError, "reshape: more than one -1 in {}", wanted.str());
      unknown = i;
    } else {
      known = known * shape[i];
    }
  }
  Dim elements = from.elements();
  if (unknown < 0) return shape;
  const std::int64_t divisor = known.value_or(1);
  const bool fits = divisor != 0 && (!elements.is_constant() || static_cast<std::int64_t>(elements) % divisor == 0);
  KILN_REQUIRE(fits, ShapeError, "reshape: {} elements of shape {} do not fit into {}", elements.str(), from.str(), wanted.str());
  shape[unknown] = floordiv(elements, known);
  return shape;
}

std::vector<Value> values_of(std::string_view op, const std::vector<Tensor>& parts) {
  KILN_REQUIRE(!parts.empty(), ValueError, "{}: no tensors given", op);
  std::vector<Value> values;
  values.reserve(parts.size());
  for (const Tensor& t : parts) values.push_back(graph::strong(Access::value(t)));
  return values;
}

Value insert_axis(const Value& x, int axis) {
  Shape shape;
  for (int i = 0; i <= x.shape().rank(); ++i) {
    if (i == axis) shape.push_back(1);
    if (i < x.shape().rank()) shape.push_back(x.shape()[i]);
  }
  return ops::reshape(x, shape);
}

/// x with axes of length 1 before as many axes as still may get one, broadcast by their counts, which become 1.
Value tile_axes(const Value& x, std::vector<std::int64_t>& counts) {
  const Shape from = x.shape();
  Shape narrow, wide, merged;
  int spare = std::max(kMaxRank - from.rank(), 1);
  for (int axis = 0; axis < from.rank(); ++axis) {
    std::int64_t& count = counts[static_cast<std::size_t>(axis)];
    const bool now = count != 1 && spare-- > 0;
    merged.push_back(now ? from[axis] * count : from[axis]);
    if (now) {
      narrow.push_back(1);
      wide.push_back(std::exchange(count, 1));
    }
    narrow.push_back(from[axis]);
    wide.push_back(from[axis]);
  }
  return ops::reshape(ops::broadcast_to(ops::reshape(x, narrow), wide), merged);
}

std::vector<Tensor> split_at(const Value& x, const std::vector<std::int64_t>& lengths, int axis) {
  std::vector<Tensor> parts;
  std::int64_t start = 0;
  for (std::int64_t length : lengths) {
    parts.push_back(Access::tensor(ops::slice_axis(x, axis, start, start + length)));
    start += length;
  }
  return parts;
}

}  // namespace

Tensor cast(const Arg& x, DType dtype) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  if (v.weak() && (is_floating(dtype) || v.dtype() != DType::float32)) return Access::tensor(graph::strong(v, dtype));
  return Access::tensor(ops::cast(graph::strong(v), dtype));
}

Tensor reshape(const Arg& x, const Shape& shape) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  Shape full = complete(shape, v.shape());
  KILN_REQUIRE(full.elements() == v.shape().elements() || !full.is_static() || !v.shape().is_static(), ShapeError,
               "reshape: {} elements of shape {} do not fit into {}", v.shape().elements().str(), v.shape().str(), shape.str());
  return Access::tensor(ops::reshape(v, full));
}

Tensor transpose(const Arg& x, const Axes& permutation) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  int rank = v.shape().rank();
  Ints perm;
  if (permutation.all()) {
    for (int i = rank; i-- > 0;) perm.push_back(i);
  } else {
    for (std::int64_t axis : permutation.list()) perm.push_back(ops::normalize_axis("transpose", axis, rank));
    Ints sorted = perm;
    std::sort(sorted.begin(), sorted.end());
    KILN_REQUIRE(sorted == ops::all_axes(rank), ShapeError, "transpose: [{}] is no permutation of the {} axes of shape {}",
                 fmt::join(perm, ", "), rank, v.shape().str());
  }
  return Access::tensor(ops::transpose(v, perm));
}

Tensor broadcast_to(const Arg& x, const Shape& shape) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  bool fits = v.shape().rank() <= shape.rank();
  for (int i = 1; fits && i <= v.shape().rank(); ++i) {
    Dim from = v.shape()[v.shape().rank() - i], to = shape[shape.rank() - i];
    fits = from == to || from == 1;
  }
  KILN_REQUIRE(fits, ShapeError, "broadcast_to: shape {} does not broadcast to {}", v.shape().str(), shape.str());
  return Access::tensor(ops::broadcast_to(v, shape));
}

Tensor expand_dims(const Arg& x, std::int64_t axis) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  return Access::tensor(insert_axis(v, ops::normalize_axis("expand_dims", axis, v.shape().rank() + 1)));
}

Tensor squeeze(const Arg& x, const Axes& axes) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  const Shape& from = v.shape();
  Ints dropped;
  if (axes.all()) {
    for (int i = 0; i < from.rank(); ++i) {
      if (from[i] == 1) dropped.push_back(i);
    }
  } else {
    dropped = detail::resolve_axes("squeeze", axes, from.rank());
  }
  Shape shape;
  for (int i = 0; i < from.rank(); ++i) {
    bool drop = std::find(dropped.begin(), dropped.end(), i) != dropped.end();
    KILN_REQUIRE(!drop || from[i] == 1, ShapeError, "squeeze: axis {} of shape {} is not of length 1", i, from.str());
    if (!drop) shape.push_back(from[i]);
  }
  return Access::tensor(ops::reshape(v, shape));
}

Tensor concat(const std::vector<Tensor>& parts, std::int64_t axis, Loc where) {
  LocationScope scope(where);
  std::vector<Value> values = values_of("concat", parts);
  int at = ops::normalize_axis("concat", axis, values.front().shape().rank());
  if (values.size() == 1) return parts.front();
  return Access::tensor(ops::concat(std::span<const Value>(values), at));
}

Tensor stack(const std::vector<Tensor>& parts, std::int64_t axis, Loc where) {
  LocationScope scope(where);
  std::vector<Value> values = values_of("stack", parts);
  int at = ops::normalize_axis("stack", axis, values.front().shape().rank() + 1);
  const Shape shape = values.front().shape();
  for (Value& v : values) {
    KILN_REQUIRE(v.shape() == shape, ShapeError, "stack: shapes {} and {} differ", shape.str(), v.shape().str());
    v = insert_axis(v, at);
  }
  return Access::tensor(ops::concat(std::span<const Value>(values), at));
}

std::vector<Tensor> split(const Arg& x, std::int64_t count, std::int64_t axis) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  int at = ops::normalize_axis("split", axis, v.shape().rank());
  std::int64_t n = v.shape()[at];
  KILN_REQUIRE(count >= 1 && n % count == 0, ShapeError, "split: axis {} of length {} does not divide into {} equal parts", at, n, count);
  return split_at(v, std::vector<std::int64_t>(static_cast<std::size_t>(count), n / count), at);
}

std::vector<Tensor> split(const Arg& x, const std::vector<std::int64_t>& lengths, std::int64_t axis) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  int at = ops::normalize_axis("split", axis, v.shape().rank());
  std::int64_t total = 0;
  for (std::int64_t length : lengths) {
    KILN_REQUIRE(length >= 0, ShapeError, "split: a part's length is {}", length);
    total += length;
  }
  KILN_REQUIRE(v.shape()[at] == total, ShapeError, "split: parts of [{}] add up to {}, axis {} has length {}", fmt::join(lengths, ", "),
               total, at, v.shape()[at].str());
  return split_at(v, lengths, at);
}

Tensor pad(const Arg& x, const std::vector<PadAmount>& amounts, const Arg& value) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  KILN_REQUIRE(static_cast<int>(amounts.size()) == v.shape().rank(), ShapeError, "pad: {} amounts for a tensor of shape {}", amounts.size(),
               v.shape().str());
  Ints low, high;
  for (const PadAmount& a : amounts) {
    low.push_back(a.low);
    high.push_back(a.high);
  }
  Value fill = Access::value(value);
  return Access::tensor(ops::pad(v, fill.weak() ? graph::strong(fill, v.dtype()) : fill, low, high, Ints(amounts.size(), 0)));
}

Tensor gather(const Arg& x, const Arg& indices, std::int64_t axis) {
  LocationScope scope(indices.loc());
  Value v = Access::value(x);
  return Access::tensor(ops::gather(v, graph::strong(Access::value(indices)), ops::normalize_axis("gather", axis, v.shape().rank())));
}

Tensor scatter_add(const Arg& x, const Arg& indices, const Arg& updates, std::int64_t axis) {
  LocationScope scope(updates.loc());
  Value v = Access::value(x);
  int at = ops::normalize_axis("scatter_add", axis, v.shape().rank());
  return Access::tensor(ops::scatter_add(v, graph::strong(Access::value(indices)), Access::value(updates), at));
}

Tensor tile(const Arg& x, const std::vector<std::int64_t>& counts) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  KILN_REQUIRE(static_cast<int>(counts.size()) == v.shape().rank(), ShapeError, "tile: {} counts for a tensor of shape {}", counts.size(),
               v.shape().str());
  for (const std::int64_t count : counts) KILN_REQUIRE(count >= 0, ValueError, "tile: a count is {}", count);
  std::vector<std::int64_t> left = counts;
  while (std::any_of(left.begin(), left.end(), [](std::int64_t count) { return count != 1; })) v = tile_axes(v, left);
  return Access::tensor(v);
}

Tensor reverse(const Arg& x, const Axes& axes) {
  LocationScope scope(x.loc());
  Value v = Access::value(x);
  return Access::tensor(ops::reverse(v, detail::resolve_axes("reverse", axes, v.shape().rank())));
}

}  // namespace kiln
