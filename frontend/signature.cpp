// Signatures: the words that calls are compared by.
#include <kiln/detail/call.h>
#include <kiln/mode.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "frontend/access.h"

namespace kiln::detail {

namespace {

constexpr std::uint64_t kUndefined = ~std::uint64_t{0};

/// A value of some hashable type that was seen, and its number.
struct Interned {
  const void* type;
  std::shared_ptr<const void> value;
  std::uint64_t number;
};

}  // namespace

Signature::Signature() noexcept { push(is_training() ? 1 : 0); }

Signature::~Signature() {
  if (words_ != inline_words_) delete[] words_;
  if (tensors_ != inline_tensors_) delete[] tensors_;
}

void Signature::grow() {
  auto* bigger = new std::uint64_t[2 * static_cast<std::size_t>(capacity_)];
  std::copy_n(words_, num_words_, bigger);
  if (words_ != inline_words_) delete[] words_;
  words_ = bigger;
  capacity_ *= 2;
}

void Signature::grow_tensors() {
  auto* bigger = new Leaf[2 * static_cast<std::size_t>(tensor_capacity_)];
  std::copy_n(tensors_, num_tensors_, bigger);
  if (tensors_ != inline_tensors_) delete[] tensors_;
  tensors_ = bigger;
  tensor_capacity_ *= 2;
}

void Signature::tensor(Tensor& t) {
  if (num_tensors_ == tensor_capacity_) [[unlikely]]
    grow_tensors();
  tensors_[num_tensors_++] = {&t, num_words_};
  const graph::ValueImpl* body = Access::impl(t);
  if (body == nullptr) {
    push(kUndefined);
    return;
  }
  push(static_cast<std::uint64_t>(body->type.dtype) | static_cast<std::uint64_t>(body->type.shape.rank()) << 8);
  for (Dim d : body->type.shape) push(static_cast<std::uint64_t>(d.bits()));
}

void Signature::text(std::string_view text) {
  push(text.size());
  for (std::size_t at = 0; at < text.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, std::min(sizeof word, text.size() - at));
    push(word);
  }
}

std::uint64_t Signature::intern_value(const void* type, std::size_t hash, const void* value, bool (*equal)(const void*, const void*),
                                      std::shared_ptr<const void> (*copy)(const void*)) {
  static std::mutex word;
  static auto& known = *new std::unordered_multimap<std::size_t, Interned>;
  std::lock_guard lock(word);
  auto [begin, end] = known.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (it->second.type == type && equal(it->second.value.get(), value)) return it->second.number;
  }
  return known.emplace(hash, Interned{type, copy(value), known.size() + 1})->second.number;
}

}  // namespace kiln::detail
