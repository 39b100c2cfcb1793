// The list of composites, which the documentation is made from.
#include <vector>

#include "ops/composite.h"

namespace kiln::ops {
namespace {

std::vector<CompositeInfo>& composite_list() {
  static std::vector<CompositeInfo> list;
  return list;
}

}  // namespace

std::span<const CompositeInfo> composites() { return composite_list(); }

bool detail::register_composite(std::string_view name, std::string_view doc, const Notes& notes) {
  composite_list().push_back({name, doc, notes});
  return true;
}

}  // namespace kiln::ops
