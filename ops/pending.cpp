// Kernels that are not there yet.
#include "base/require.h"
#include "ops/structural.h"

namespace kiln::ops {
#define KILN_PENDING_REFERENCE(OP) \
  void OP::reference(std::span<const TensorType>, std::span<const std::vector<double>>, const TensorType&, std::vector<double>&, const Attrs&) { KILN_ASSERT(false, "no reference"); }
#define KILN_PENDING(OP) \
  void OP::kernel(std::span<const View>, const View&, const Attrs&) { KILN_ASSERT(false, "no kernel"); } \
  void OP::reference(std::span<const TensorType>, std::span<const std::vector<double>>, const TensorType&, std::vector<double>&, const Attrs&) { KILN_ASSERT(false, "no reference"); }
KILN_PENDING_REFERENCE(Reduce)
KILN_PENDING_REFERENCE(ArgReduce)
KILN_PENDING_REFERENCE(Contract)
KILN_PENDING_REFERENCE(WindowReduce)
KILN_PENDING_REFERENCE(WindowMaxGrad)
KILN_PENDING_REFERENCE(Reshape)
KILN_PENDING_REFERENCE(Transpose)
KILN_PENDING_REFERENCE(Broadcast)
KILN_PENDING_REFERENCE(Slice)
KILN_PENDING_REFERENCE(Concatenate)
KILN_PENDING_REFERENCE(Pad)
KILN_PENDING_REFERENCE(Gather)
KILN_PENDING_REFERENCE(ScatterAdd)
KILN_PENDING_REFERENCE(Iota)
KILN_PENDING_REFERENCE(Cast)
KILN_PENDING_REFERENCE(Constant)
KILN_PENDING(Random)
}  // namespace kiln::ops
