// How faithful compiled code is to eager code.
#pragma once
#include <cstdint>

namespace kiln {

/// strict: eager's bits. standard: a*b+c may contract across ops and rules tagged `rounding` apply. fast: also rules that assume finite
/// values.
enum class Numerics : std::uint8_t { strict, standard, fast };

}  // namespace kiln
