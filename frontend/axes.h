// Axes as given by the user, resolved against a rank. Internal to frontend/.
#pragma once
#include <kiln/ops.h>

#include <string_view>

#include "base/attrs.h"
#include "graph/value.h"

namespace kiln::detail {

/// Sorted, counted from the front. ShapeError naming `op` for an axis out of range or repeated.
Ints resolve_axes(std::string_view op, const Axes& axes, int rank);
/// The result of a reduction of a tensor of `shape`, with its axes back as length 1 if so wanted.
graph::Value keep_or_drop(const graph::Value& reduced, const Shape& shape, const Ints& axes, bool keepdims);

}  // namespace kiln::detail
