// Where each intermediate tensor lies in the arena: blocks that live at the same time do not overlap.
#pragma once
#include <kiln/dim.h>

#include <span>
#include <vector>

namespace kiln::passes {

/// Memory needed from launch `first` to launch `last`, both included.
struct MemoryBlock {
  Dim bytes = 0;
  int first = 0;
  int last = 0;
};

struct MemoryLayout {
  std::vector<Dim> offsets;  ///< by block; multiples of 64
  Dim total = 0;
};

/// Blocks of known size are placed by best fit, the largest first; a block of symbolic size takes over one of the same size that has died,
/// or lies behind all others.
MemoryLayout plan_memory(std::span<const MemoryBlock> blocks);

}  // namespace kiln::passes
