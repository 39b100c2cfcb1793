// Errors for symbolic tensors in places where they cannot be. Internal to graph/.
#pragma once
#include <cstdint>
#include <string_view>

#include "graph/value.h"

namespace kiln::graph {

/// TraceError: `v` is symbolic and `what` needs its elements.
[[noreturn]] void fail_not_a_number(const Value& v, std::string_view what);
/// TraceError: `v` is symbolic and used by `op` where its trace is not open.
[[noreturn]] void fail_leaked(const Value& v, std::string_view op);

}  // namespace kiln::graph
