// Which lengths change, and the signatures that leave them open.
#include "frontend/relaxation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "frontend/function_core.h"

namespace kiln::detail {

namespace {

/// A length that a symbol may stand for: 1 broadcasts, and 0 has no elements.
bool can_open(std::uint64_t word) {
  const auto length = static_cast<std::int64_t>(word);
  return length >= 2;
}

std::uint32_t word_of(Signature& signature, LeafAxis at) { return signature.tensors()[at.leaf].word + 1 + at.axis; }

/// The tensor axis that word `i` of the signature is; false if it is none.
bool axis_of_word(Signature& signature, std::uint32_t word, LeafAxis& at) {
  std::span<const Signature::Leaf> leaves = signature.tensors();
  for (std::size_t i = leaves.size(); i-- > 0;) {
    if (leaves[i].word > word) continue;
    const Tensor& t = *leaves[i].tensor;
    const std::uint32_t offset = word - leaves[i].word;
    if (offset == 0 || !t.defined() || offset > static_cast<std::uint32_t>(t.rank())) return false;
    at = {static_cast<std::uint32_t>(i), offset - 1};
    return true;
  }
  return false;
}

}  // namespace

struct Relaxation::Open {
  std::vector<std::uint64_t> words;                ///< 0 where open
  std::vector<std::vector<std::uint32_t>> groups;  ///< the open places, equal ones together
  std::vector<LeafAxis> axes;
  std::shared_ptr<Entry> entry;
  std::atomic<bool> refused{false};
  Open* next = nullptr;

  bool fits(std::span<const std::uint64_t> other) const {
    if (other.size() != words.size() || refused.load(std::memory_order_relaxed)) return false;
    std::size_t open_places = 0;
    for (const std::vector<std::uint32_t>& group : groups) {
      for (std::uint32_t place : group) {
        if (!can_open(other[place]) || other[place] != other[group.front()]) return false;
      }
      open_places += group.size();
    }
    std::size_t differing = 0;
    for (std::size_t i = 0; i < words.size(); ++i) differing += words[i] != other[i];
    return differing == open_places;  // an open place always differs: 0 is no length that fits
  }
};

Relaxation::~Relaxation() {
  for (Open* o = open_.load(); o != nullptr;) delete std::exchange(o, o->next);
}

Entry* Relaxation::find(Signature& signature) const {
  for (Open* o = open_.load(std::memory_order_acquire); o != nullptr; o = o->next) {
    if (o->fits(signature.words())) return o->entry.get();
  }
  return nullptr;
}

std::shared_ptr<Entry> Relaxation::share(const Entry* entry) const {
  for (Open* o = open_.load(std::memory_order_acquire); o != nullptr; o = o->next) {
    if (o->entry.get() == entry) return o->entry;
  }
  return nullptr;
}

OpenAxes Relaxation::propose(Signature& signature) const {
  if (after_ <= 0) return {};
  std::span<const std::uint64_t> now = signature.words();
  std::map<AxisSet, std::vector<const Fixed*>> by_difference;
  for (const Fixed& known : fixed_) {
    if (known.words.size() != now.size()) continue;
    AxisSet difference;
    bool only_lengths = true;
    for (std::size_t i = 0; i < now.size() && only_lengths; ++i) {
      if (now[i] == known.words[i]) continue;
      LeafAxis at;
      only_lengths = can_open(now[i]) && can_open(known.words[i]) && axis_of_word(signature, static_cast<std::uint32_t>(i), at);
      difference.push_back(at);
    }
    if (only_lengths && !difference.empty() && !refused_.contains(difference)) by_difference[difference].push_back(&known);
  }
  const AxisSet* best = nullptr;
  for (const auto& [difference, known] : by_difference) {
    if (known.size() >= static_cast<std::size_t>(after_) && (best == nullptr || difference.size() < best->size())) best = &difference;
  }
  if (best == nullptr) return {};
  for (Open* o = open_.load(std::memory_order_acquire); o != nullptr; o = o->next) {
    if (o->axes == *best) return {};  // open already, with lengths equal that differ here
  }
  // Axes whose lengths were equal in every one of these calls are one length.
  std::map<std::vector<std::uint64_t>, std::vector<LeafAxis>> by_history;
  for (LeafAxis at : *best) {
    const std::uint32_t place = word_of(signature, at);
    std::vector<std::uint64_t> history{now[place]};
    for (const Fixed* known : by_difference[*best]) history.push_back(known->words[place]);
    by_history[history].push_back(at);
  }
  OpenAxes axes;
  for (auto& [history, group] : by_history) axes.push_back(std::move(group));
  std::sort(axes.begin(), axes.end());
  return axes;
}

void Relaxation::add_fixed(Signature& signature) {
  if (after_ > 0) fixed_.push_back({{signature.words().begin(), signature.words().end()}});
}

void Relaxation::add_open(Signature& signature, const OpenAxes& axes, std::shared_ptr<Entry> entry) {
  auto open = std::make_unique<Open>();
  open->words.assign(signature.words().begin(), signature.words().end());
  for (const std::vector<LeafAxis>& group : axes) {
    std::vector<std::uint32_t>& places = open->groups.emplace_back();
    for (LeafAxis at : group) {
      places.push_back(word_of(signature, at));
      open->words[places.back()] = 0;
      open->axes.push_back(at);
    }
  }
  std::sort(open->axes.begin(), open->axes.end());
  open->entry = std::move(entry);
  open->next = open_.load(std::memory_order_relaxed);
  open_.store(open.release(), std::memory_order_release);
}

void Relaxation::refuse(const OpenAxes& axes) {
  AxisSet all;
  for (const std::vector<LeafAxis>& group : axes) all.insert(all.end(), group.begin(), group.end());
  std::sort(all.begin(), all.end());
  for (Open* o = open_.load(std::memory_order_acquire); o != nullptr; o = o->next) {
    if (o->axes == all) o->refused.store(true, std::memory_order_relaxed);
  }
  refused_.insert(std::move(all));
}

std::string describe_axes(const OpenAxes& axes, std::span<const std::string> paths) {
  std::string text;
  for (const std::vector<LeafAxis>& group : axes) {
    for (LeafAxis at : group) text += fmt::format("{}{} axis {}", text.empty() ? "" : ", ", paths[at.leaf], at.axis);
  }
  return text;
}

}  // namespace kiln::detail
