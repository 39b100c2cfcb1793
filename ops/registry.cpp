// The table of all ops.
#include <algorithm>
#include <vector>

#include "base/require.h"
#include "ops/elementwise.h"
#include "ops/structural.h"

namespace kiln::ops {

namespace {

struct Registry {
  std::vector<const OpDef*> in_order;
  std::vector<const OpDef*> by_name;
};

const Registry& registry() {
  static const Registry instance = [] {
    Registry r;
    for (const OpDef& def : elementwise_ops()) r.in_order.push_back(&def);
    for (const OpDef& def : structural_ops()) r.in_order.push_back(&def);
    r.by_name = r.in_order;
    std::sort(r.by_name.begin(), r.by_name.end(), [](const OpDef* a, const OpDef* b) { return a->name < b->name; });
    for (std::size_t i = 1; i < r.by_name.size(); ++i) {
      KILN_ASSERT(r.by_name[i - 1]->name != r.by_name[i]->name, "two ops are named {}", r.by_name[i]->name);
    }
    return r;
  }();
  return instance;
}

}  // namespace

const OpDef* find_op(std::string_view name) {
  const std::vector<const OpDef*>& sorted = registry().by_name;
  auto place = std::lower_bound(sorted.begin(), sorted.end(), name, [](const OpDef* def, std::string_view n) { return def->name < n; });
  return place != sorted.end() && (*place)->name == name ? *place : nullptr;
}

const OpDef& op(std::string_view name) {
  const OpDef* found = find_op(name);
  KILN_REQUIRE(found != nullptr, ValueError, "there is no op named \"{}\"", name);
  return *found;
}

std::span<const OpDef* const> all_ops() { return registry().in_order; }

}  // namespace kiln::ops
