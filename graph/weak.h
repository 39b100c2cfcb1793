// Weak scalars (bare C++ numbers) on their way to an element type. Internal to graph/.
#pragma once
#include "graph/value.h"

namespace kiln::graph {

/// A value with that type and nothing else yet.
Value new_value(TensorType type);
/// Writes the number as one element. Throws DTypeError if a float would become an integer, ValueError if an integer does not fit.
void store_weak(const Value& v, DType dtype, void* out);
/// The number as a rank-0 literal of that dtype.
Literal scalar_literal(const Value& weak, DType dtype);
/// A weak scalar from one element.
Value weak_from(DType dtype, const void* data);

}  // namespace kiln::graph
