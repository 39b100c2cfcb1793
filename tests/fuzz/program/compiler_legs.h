// Legs that stop on the way to machine code: text, each pass alone, the fused graph, the plan.
#pragma once
#include <vector>

#include "tests/fuzz/lib/legs.h"

namespace kiln::testing {

/// Passes alone alternate between strict and standard by the seed, so that each graph meets each pass.
std::vector<Leg> compiler_legs();

}  // namespace kiln::testing
