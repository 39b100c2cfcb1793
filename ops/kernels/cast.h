// Conversions between element types, built per ISA level.
#pragma once
#include <kiln/dtype.h>

#include <cstdint>

#include "ops/kernels/dispatch.h"

namespace kiln::ops {

KILN_DECLARE_PER_ISA(void cast_elements(DType from_type, const void* from, DType to_type, void* to, std::int64_t count))

}  // namespace kiln::ops
