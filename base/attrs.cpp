// Attributes: sorted insertion, look-up, equality of literals.
#include "base/attrs.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/require.h"

namespace kiln {
namespace {

/// Names come again and again as the same few literals: remembers, by address, what each was interned to.
const char* intern_name(const char* name) {
  struct Seen {
    const char* given;
    const char* interned;
  };
  static thread_local std::array<Seen, 64> cache{};
  Seen& seen = cache[(reinterpret_cast<std::uintptr_t>(name) >> 2) % cache.size()];
  if (seen.given == name && std::strcmp(name, seen.interned) == 0) return seen.interned;
  seen = {name, kiln::intern(name)};
  return seen.interned;
}

}  // namespace

bool operator==(const Literal& a, const Literal& b) {
  if (a.type != b.type || a.splat != b.splat) return false;
  if (a.bytes == b.bytes) return true;
  return a.bytes != nullptr && b.bytes != nullptr && *a.bytes == *b.bytes;
}

Attrs::Attrs(std::initializer_list<std::pair<const char*, AttrValue>> entries) {
  entries_.reserve(entries.size());
  for (const auto& [name, value] : entries) set(name, value);
}

const AttrValue* Attrs::find(std::string_view name) const {
  for (const auto& [entry_name, value] : entries_) {
    if (entry_name == name) return &value;
  }
  return nullptr;
}

void Attrs::set(const char* name, AttrValue value) {
  auto place = std::lower_bound(entries_.begin(), entries_.end(), name,
                                [](const auto& entry, const char* wanted) { return std::strcmp(entry.first, wanted) < 0; });
  if (place != entries_.end() && std::strcmp(place->first, name) == 0) {
    place->second = std::move(value);
  } else {
    entries_.emplace(place, intern_name(name), std::move(value));
  }
}

void Attrs::fail_missing(std::string_view name) const {
  std::string present;
  for (const auto& entry : entries_) present += fmt::format("{}{}", present.empty() ? "" : ", ", entry.first);
  const char* problem = has(name) ? "has another type" : "is missing";
  internal_error("attribute present", __FILE__, __LINE__, fmt::format("attribute \"{}\" {}; present: {}", name, problem, present));
}

}  // namespace kiln
