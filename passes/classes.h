// Classes of things that belong together: a disjoint-set forest.
#pragma once
#include <cstddef>
#include <numeric>
#include <vector>

namespace kiln::passes {

/// Classes of things that share a fate; a class is hard once one member is.
class Classes {
 public:
  explicit Classes(std::size_t n) : parent_(n), hard_(n, false) { std::iota(parent_.begin(), parent_.end(), 0); }

  int find(int i) {
    while (parent_[at(i)] != i) i = parent_[at(i)] = parent_[at(parent_[at(i)])];
    return i;
  }
  void tie(int a, int b) {
    a = find(a);
    b = find(b);
    if (a == b) return;
    parent_[at(b)] = a;
    if (hard_[at(b)]) hard_[at(a)] = true;
  }
  void harden(int i) { hard_[at(find(i))] = true; }
  bool hard(int i) { return hard_[at(find(i))]; }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  std::vector<int> parent_;
  std::vector<bool> hard_;
};

}  // namespace kiln::passes
