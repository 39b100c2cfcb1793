// Eager elementwise loops, part 2 of 8.
#include "ops/kernels/isa/elementwise_loop.h"

KILN_ELEMENTWISE_PART(2)
