// Which axes of a kernel's values are one axis, so that lengths that only happen to be equal do not make another kernel.
#pragma once
#include <span>
#include <vector>

#include "passes/kernel_spec_collapse.h"

namespace kiln::passes {

/// A class for each axis of each value: axes that iterate together have one. So have those of the values `iterated` that have equal shapes.
std::vector<std::vector<int>> axis_classes(const std::vector<DraftNode>& body, std::span<const int> iterated);

}  // namespace kiln::passes
