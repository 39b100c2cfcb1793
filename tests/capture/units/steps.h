// A traced function in a header, used by two translation units.
#pragma once
#include <kiln/kiln.h>

inline int shared_runs = 0;

KILN_INLINE_FUNCTION(kiln::Tensor, shared_step, (kiln::Tensor x), .strict = true) {
  ++shared_runs;
  return x + 1;
}
KILN_INLINE_FUNCTION(kiln::Tensor, outer_step, (kiln::Tensor x)) { return shared_step(x) * 2; }

/// Address of the function object, and captured text, as the other translation unit sees them.
const void* address_in_other_unit();
std::string ir_in_other_unit(const kiln::Tensor& x);
