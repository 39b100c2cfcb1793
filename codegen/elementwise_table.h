// Elementwise ops as emitters: each op's scalar() template instantiated with Emitted values.
#pragma once
#include <kiln/dtype.h>

#include <span>
#include <string_view>

#include "codegen/builder.h"

namespace kiln::codegen {

/// Emits the elementwise op of that name. `dtype` is that of the operands (of the second and third for select); float16 and bfloat16 come
/// and go as float32, unrounded; bool as i1. InternalError if there is no such op or it does not take that type.
Value emit_elementwise(Builder& b, std::string_view op, DType dtype, std::span<const Value> operands);

}  // namespace kiln::codegen
