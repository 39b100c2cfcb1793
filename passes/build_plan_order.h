// The order of launches: values before their readers, and the readers of a variable before the launch that overwrites it.
#pragma once
#include <span>
#include <vector>

namespace kiln::passes {

class LaunchOrder {
 public:
  explicit LaunchOrder(int launches) : after_(static_cast<std::size_t>(launches)), hurried_(static_cast<std::size_t>(launches), false) {}

  /// `before` runs first. The caller knows that no cycle arises: `before` < `after`, or try_hold_back has said so.
  void add(int before, int after) { after_[static_cast<std::size_t>(before)].push_back(after); }
  /// Makes all of `first` run before `launch`; false, and nothing changed, if one of them must run after it.
  bool try_hold_back(int launch, std::span<const int> first);
  /// The launch runs as soon as it can, before all that are not hurried.
  void hurry(int launch) { hurried_[static_cast<std::size_t>(launch)] = true; }
  /// Launches in an order that obeys everything added; otherwise in their own.
  std::vector<int> order() const;

 private:
  std::vector<std::vector<int>> after_;
  std::vector<bool> hurried_;
};

}  // namespace kiln::passes
