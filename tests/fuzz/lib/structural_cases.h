// Random valid attributes and operand types for structural ops.
#pragma once
#include <optional>
#include <vector>

#include "ops/op.h"
#include "tests/fuzz/lib/rng.h"

namespace kiln::testing {

/// What an operand must be. With `limit`, its elements are integers in [0, limit).
struct OperandSpec {
  TensorType type;
  Dim limit = 0;
};

struct StructuralCase {
  std::vector<OperandSpec> operands;
  Attrs attrs;
};

/// A use of `op` whose first operand is of type `x` (where it takes none: whose result is like x). Nothing if there is none for that type.
/// Lengths may be symbolic; then it may turn out not to fit at some of them.
std::optional<StructuralCase> structural_case(const ops::OpDef& op, const TensorType& x, Rng& rng);
/// False for an op that needs a generator written in structural_cases.cpp.
bool has_structural_case(const ops::OpDef& op);
/// A shape of up to `max_rank` axes and about `max_elements`: odd lengths, 1, now and then 0.
Shape random_shape(Rng& rng, int max_rank = 5, std::int64_t max_elements = 2000);
/// A float, integer or bool dtype; float32 most often.
DType random_dtype(Rng& rng);

}  // namespace kiln::testing
