// Attributes of an op: a small sorted dictionary, the same in the graph, the IR, the kernel specs and the cache.
#pragma once
#include <kiln/shape.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace kiln {

/// A constant tensor's bytes, row-major, shared and immutable. A splat keeps one element for any count; equal elements (so a single one
/// too) are always a splat, so that equal constants hash alike.
struct Literal {
  TensorType type;
  bool splat = false;
  std::shared_ptr<const std::vector<std::byte>> bytes;
  friend bool operator==(const Literal& a, const Literal& b);
};

using Ints = std::vector<std::int64_t>;
using AttrValue = std::variant<std::int64_t, double, std::string, Ints, DType, Shape, Literal>;

/// Attributes by name, sorted by name. Names are interned strings or literals.
class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<const char*, AttrValue>> entries);

  bool empty() const { return entries_.empty(); }
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// nullptr if absent.
  const AttrValue* find(std::string_view name) const;
  /// The attribute's value; InternalError if absent or of another type.
  template <class T>
  const T& get(std::string_view name) const;
  void set(const char* name, AttrValue value);

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  friend bool operator==(const Attrs&, const Attrs&) = default;

 private:
  [[noreturn]] void fail_missing(std::string_view name) const;
  std::vector<std::pair<const char*, AttrValue>> entries_;
};

template <class T>
const T& Attrs::get(std::string_view name) const {
  const AttrValue* v = find(name);
  if (v == nullptr || !std::holds_alternative<T>(*v)) fail_missing(name);
  return std::get<T>(*v);
}

}  // namespace kiln
