// Eager elementwise loops, part 6 of 8.
#include "ops/kernels/isa/elementwise_loop.h"

KILN_ELEMENTWISE_PART(6)
