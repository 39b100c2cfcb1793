// The table of a function's signatures.
#include <algorithm>
#include <cstring>

#include "frontend/function_core.h"

namespace kiln::detail {

struct EntryTable::Key {
  std::uint64_t hash;
  std::vector<std::uint64_t> words;
  Entry* entry;

  bool equals(std::span<const std::uint64_t> other) const {
    return words.size() == other.size() && std::memcmp(words.data(), other.data(), other.size_bytes()) == 0;
  }
};

/// Open addressing; a slot is written once.
struct EntryTable::Slots {
  explicit Slots(std::size_t capacity) : slots(capacity) {}
  mutable std::vector<std::atomic<const Key*>> slots;

  void put(const Key* key) const {
    std::size_t mask = slots.size() - 1;
    for (std::size_t i = key->hash & mask;; i = (i + 1) & mask) {
      if (slots[i].load(std::memory_order_relaxed) != nullptr) continue;
      slots[i].store(key, std::memory_order_release);
      return;
    }
  }
};

namespace {

std::uint64_t hash_words(std::span<const std::uint64_t> words) {
  std::uint64_t h = words.size();
  for (std::uint64_t w : words) {
    h = (h ^ w) * 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
  }
  return h;
}

}  // namespace

EntryTable::EntryTable() {
  tables_.push_back(std::make_unique<const Slots>(16));
  slots_ = tables_.back().get();
}
EntryTable::~EntryTable() = default;

const EntryTable::Key* EntryTable::probe(std::uint64_t hash, std::span<const std::uint64_t> words) const {
  const Slots& table = *slots_.load(std::memory_order_acquire);
  std::size_t mask = table.slots.size() - 1;
  for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
    const Key* key = table.slots[i].load(std::memory_order_acquire);
    if (key == nullptr || (key->hash == hash && key->equals(words))) return key;
  }
}

Entry* EntryTable::find(std::span<const std::uint64_t> words) const {
  const Key* recent = last_.load(std::memory_order_acquire);
  if (recent != nullptr && recent->equals(words)) [[likely]]
    return recent->entry;
  const Key* key = probe(hash_words(words), words);
  if (key == nullptr) return nullptr;
  last_.store(key, std::memory_order_release);
  return key->entry;
}

void EntryTable::insert(std::span<const std::uint64_t> words, std::shared_ptr<Entry> entry) {
  std::lock_guard lock(writing_);
  keys_.push_back(std::make_unique<Key>(Key{hash_words(words), {words.begin(), words.end()}, entry.get()}));
  entries_.push_back(std::move(entry));
  const Slots* current = tables_.back().get();
  if (2 * keys_.size() <= current->slots.size()) {
    current->put(keys_.back().get());
    return;
  }
  auto bigger = std::make_unique<const Slots>(2 * current->slots.size());
  for (const auto& key : keys_) bigger->put(key.get());
  slots_.store(bigger.get(), std::memory_order_release);
  tables_.push_back(std::move(bigger));
}

std::shared_ptr<Entry> EntryTable::share(const Entry* entry) const {
  std::lock_guard lock(writing_);
  auto found = std::find_if(entries_.begin(), entries_.end(), [entry](const auto& e) { return e.get() == entry; });
  return found == entries_.end() ? nullptr : *found;
}

std::vector<std::shared_ptr<Entry>> EntryTable::all() const {
  std::lock_guard lock(writing_);
  return entries_;
}

}  // namespace kiln::detail
