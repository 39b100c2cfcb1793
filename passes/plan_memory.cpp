// Offsets of the arena's blocks.
#include "passes/plan_memory.h"

#include <algorithm>
#include <numeric>

namespace kiln::passes {
namespace {

constexpr std::int64_t kAlignment = 64;

Dim aligned(Dim bytes) { return floordiv(bytes + (kAlignment - 1), kAlignment) * kAlignment; }

bool overlap(const MemoryBlock& a, const MemoryBlock& b) { return a.first <= b.last && b.first <= a.last; }

struct Placed {
  std::int64_t begin, end;
  std::size_t block;
};

/// The smallest gap between blocks that live at the same time and has room, else the end of the last one. `placed` is sorted by begin.
std::int64_t best_fit(std::span<const MemoryBlock> blocks, const std::vector<Placed>& placed, const MemoryBlock& block,
                      std::int64_t bytes) {
  std::int64_t end = 0, best = -1, best_gap = 0;
  for (const Placed& p : placed) {
    if (!overlap(blocks[p.block], block)) continue;
    const std::int64_t gap = p.begin - end;
    if (gap >= bytes && (best < 0 || gap < best_gap)) {
      best = end;
      best_gap = gap;
    }
    end = std::max(end, p.end);
  }
  return best < 0 ? end : best;
}

std::int64_t place_static(std::span<const MemoryBlock> blocks, std::vector<std::size_t> order, std::vector<Dim>& offsets) {
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return blocks[a].bytes.bits() > blocks[b].bytes.bits(); });
  std::vector<Placed> placed;
  std::int64_t total = 0;
  for (std::size_t i : order) {
    const std::int64_t bytes = aligned(blocks[i].bytes);
    const std::int64_t offset = best_fit(blocks, placed, blocks[i], bytes);
    const Placed p{offset, offset + bytes, i};
    placed.insert(std::upper_bound(placed.begin(), placed.end(), p, [](const Placed& a, const Placed& b) { return a.begin < b.begin; }), p);
    offsets[i] = offset;
    total = std::max(total, p.end);
  }
  return total;
}

Dim place_symbolic(std::span<const MemoryBlock> blocks, std::vector<std::size_t> order, Dim begin, std::vector<Dim>& offsets) {
  struct Slot {
    Dim bytes, offset;
    int last;
  };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return blocks[a].first < blocks[b].first; });
  std::vector<Slot> slots;
  for (std::size_t i : order) {
    const MemoryBlock& block = blocks[i];
    auto free = std::find_if(slots.begin(), slots.end(), [&](const Slot& s) { return s.bytes == block.bytes && s.last < block.first; });
    if (free == slots.end()) {
      slots.push_back({block.bytes, begin, block.last});
      free = slots.end() - 1;
      begin = begin + aligned(block.bytes);
    }
    free->last = block.last;
    offsets[i] = free->offset;
  }
  return begin;
}

}  // namespace

MemoryLayout plan_memory(std::span<const MemoryBlock> blocks) {
  MemoryLayout layout;
  layout.offsets.resize(blocks.size());
  std::vector<std::size_t> known, symbolic;
  for (std::size_t i = 0; i < blocks.size(); ++i) (blocks[i].bytes.is_constant() ? known : symbolic).push_back(i);
  layout.total = place_static(blocks, std::move(known), layout.offsets);
  layout.total = place_symbolic(blocks, std::move(symbolic), layout.total, layout.offsets);
  return layout;
}

}  // namespace kiln::passes
