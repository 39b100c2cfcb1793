// What the rest of the frontend asks about the function being traced. Internal to frontend/.
#pragma once
#include <string>

namespace kiln::detail {

/// TraceError if a function is being traced for the second time (or later) and no layer is being built: the variable would be a new one at
/// each trace.
void require_new_variable_allowed(const std::string& name);
/// True inside a BuildScope of this thread.
bool building();

}  // namespace kiln::detail
