// What a compiled function costs, read off its plan. Internal to frontend/.
#pragma once
#include <kiln/function.h>

namespace kiln::detail {

Cost cost_of(const Entry& entry);
MemoryPlan memory_plan_of(const Entry& entry);

}  // namespace kiln::detail
