// What a row kernel does to each row: one pass along it for each reduction, one for the outputs; and which values a pass keeps for later.
#pragma once
#include <vector>

#include "runtime/kernel_spec.h"

namespace kiln::codegen {

struct RowPass {
  int reduction = -1;      ///< the node that this pass reduces to one number; -1: the pass that writes the outputs
  std::vector<int> saved;  ///< nodes whose elements it leaves in scratch memory
  int cost = 0;            ///< rough cycles for a vector
};

struct RowPlan {
  std::vector<RowPass> passes;
  std::vector<std::int32_t> full;  ///< shape of the tensors whose last axis is a row

  bool is_full(const runtime::BodyNode& n) const { return n.shape == full; }
};

/// A value computed in one pass and needed in a later one is saved if computing it again costs more than a store and a load. At most
/// `max_saved` values are.
RowPlan plan_rows(const runtime::KernelSpec& spec, int max_saved);

}  // namespace kiln::codegen
