// The other translation unit of the test of inline functions.
#include "tests/capture/units/steps.h"

namespace {
KILN_FUNCTION(kiln::Tensor, local_function, (kiln::Tensor x)) { return x * 3; }
}  // namespace

const void* address_in_other_unit() { return &shared_step; }

std::string ir_in_other_unit(const kiln::Tensor& x) {
  return shared_step.concrete(x).ir(kiln::Stage::captured) + local_function.concrete(x).ir(kiln::Stage::captured);
}
