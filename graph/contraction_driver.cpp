// Gives the runtime the blocked driver of contractions, which lives in ops/, when the library is loaded.
#include "ops/kernels/contraction.h"
#include "runtime/executable.h"

namespace kiln::graph {

namespace {

void run(const runtime::ContractionCall& call) {
  ops::run_contraction({call.problem, call.lhs, call.rhs, call.out, call.epilogue, call.epilogue_args, call.epilogue_dims,
                        call.num_epilogue_args, call.product, call.context});
}

[[maybe_unused]] const bool installed = (runtime::set_contraction_driver(run), true);

}  // namespace

}  // namespace kiln::graph
