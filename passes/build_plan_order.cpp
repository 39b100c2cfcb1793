// Topological order with constraints that may be refused.
#include "passes/build_plan_order.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "passes/visits.h"

namespace kiln::passes {

bool LaunchOrder::try_hold_back(int launch, std::span<const int> first) {
  std::vector<bool> later(after_.size(), false);  // than `launch`
  std::vector<int> stack{launch};
  while (!stack.empty()) {
    const int at = stack.back();
    stack.pop_back();
    count_visits();
    for (int next : after_[static_cast<std::size_t>(at)]) {
      if (later[static_cast<std::size_t>(next)]) continue;
      later[static_cast<std::size_t>(next)] = true;
      stack.push_back(next);
    }
  }
  if (std::any_of(first.begin(), first.end(), [&](int f) { return later[static_cast<std::size_t>(f)]; })) return false;
  for (int f : first) {
    if (f != launch) add(f, launch);
  }
  return true;
}

std::vector<int> LaunchOrder::order() const {
  std::vector<int> waiting(after_.size(), 0);
  for (const auto& successors : after_) {
    for (int s : successors) ++waiting[static_cast<std::size_t>(s)];
  }
  using Place = std::pair<bool, int>;  // hurried launches first
  std::priority_queue<Place, std::vector<Place>, std::greater<>> ready;
  const auto push = [&](int launch) { ready.emplace(!hurried_[static_cast<std::size_t>(launch)], launch); };
  for (std::size_t i = 0; i < after_.size(); ++i) {
    if (waiting[i] == 0) push(static_cast<int>(i));
  }
  std::vector<int> result;
  while (!ready.empty()) {
    const int launch = ready.top().second;
    ready.pop();
    result.push_back(launch);
    for (int s : after_[static_cast<std::size_t>(launch)]) {
      if (--waiting[static_cast<std::size_t>(s)] == 0) push(s);
    }
  }
  return result;
}

}  // namespace kiln::passes
