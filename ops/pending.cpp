// Kernels that are not there yet.
#include "base/require.h"
#include "ops/structural.h"

namespace kiln::ops {
#define KILN_PENDING(OP) \
  void OP::kernel(std::span<const View>, const View&, const Attrs&) { KILN_ASSERT(false, "no kernel"); } \
  void OP::reference(std::span<const TensorType>, std::span<const std::vector<double>>, const TensorType&, std::vector<double>&, const Attrs&) { KILN_ASSERT(false, "no reference"); }
KILN_PENDING(Reduce)
KILN_PENDING(ArgReduce)
KILN_PENDING(Contract)
KILN_PENDING(WindowReduce)
KILN_PENDING(WindowMaxGrad)
KILN_PENDING(Reshape)
KILN_PENDING(Transpose)
KILN_PENDING(Broadcast)
KILN_PENDING(Slice)
KILN_PENDING(Concatenate)
KILN_PENDING(Pad)
KILN_PENDING(Gather)
KILN_PENDING(ScatterAdd)
KILN_PENDING(Iota)
KILN_PENDING(Cast)
KILN_PENDING(Constant)
KILN_PENDING(Random)
}  // namespace kiln::ops
