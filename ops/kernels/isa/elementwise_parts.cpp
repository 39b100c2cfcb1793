// The elementwise loops of this ISA level by part.
#include "ops/kernels/elementwise_run.h"

namespace kiln::ops::KILN_ISA {

template <int Part>
const ElementwiseLoops* elementwise_part_table();

const ElementwiseLoops* elementwise_part(int part) {
  switch (part) {
    case 0:
      return elementwise_part_table<0>();
    case 1:
      return elementwise_part_table<1>();
    case 2:
      return elementwise_part_table<2>();
    case 3:
      return elementwise_part_table<3>();
    case 4:
      return elementwise_part_table<4>();
    case 5:
      return elementwise_part_table<5>();
    case 6:
      return elementwise_part_table<6>();
    default:
      return elementwise_part_table<7>();
  }
}

}  // namespace kiln::ops::KILN_ISA
