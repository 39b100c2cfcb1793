// A hash table from addresses to small numbers: cheaper than std::unordered_map where every op looks its operands up.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kiln::graph {

/// Insert-only, open addressing, at most half full.
class PointerMap {
 public:
  /// The number stored for `key`, or -1.
  std::int32_t find(const void* key) const {
    if (slots_.empty()) return -1;
    for (std::size_t i = hash(key);; ++i) {
      const Slot& slot = slots_[i & mask_];
      if (slot.key == key) return slot.value;
      if (slot.key == nullptr) return -1;
    }
  }

  /// `key` must not be in the map.
  void insert(const void* key, std::int32_t value) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    place(key, value);
    ++count_;
  }

  void clear() {
    slots_.clear();
    count_ = 0;
  }

 private:
  struct Slot {
    const void* key = nullptr;
    std::int32_t value = -1;
  };

  static std::size_t hash(const void* key) {
    auto x = reinterpret_cast<std::uintptr_t>(key) * 0x9e3779b97f4a7c15u;
    return static_cast<std::size_t>(x >> 20);
  }

  void place(const void* key, std::int32_t value) {
    std::size_t i = hash(key);
    while (slots_[i & mask_].key != nullptr) ++i;
    slots_[i & mask_] = {key, value};
  }

  void grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_ = std::vector<Slot>(old.empty() ? 32 : old.size() * 2);
    mask_ = slots_.size() - 1;
    for (const Slot& slot : old) {
      if (slot.key != nullptr) place(slot.key, slot.value);
    }
  }

  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::size_t count_ = 0;
};

}  // namespace kiln::graph
