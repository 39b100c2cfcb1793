// Loop kernels that read across their rows: a square tile at a time is read along the operand's rows and transposed in registers.
#pragma once
#include <optional>
#include <vector>

#include "codegen/kernel_emitter.h"
#include "codegen/loop_nest.h"

namespace kiln::codegen {

/// The transposes of a body whose operands run along another axis than the outputs' last one.
struct TransposedReads {
  int axis = 0;            ///< of the outputs: where the operands are contiguous
  std::vector<int> nodes;  ///< transposes, read by every output at its own position

  /// Those of that kernel, if there are any.
  static std::optional<TransposedReads> of(ElementEmitter& e, const LoopNest& nest);
};

/// Number of independent parts of such a kernel, and elements of one.
Value transposed_units(ElementEmitter& e, const LoopNest& nest, const TransposedReads& reads);
Value transposed_unit_elements(ElementEmitter& e, const LoopNest& nest);

/// Parts [begin, end).
void emit_transposed_units(KernelModule& m, ElementEmitter& e, const LoopNest& nest, const TransposedReads& reads, Value begin, Value end);

}  // namespace kiln::codegen
