// Regions: a trace is one, and Tensor objects of outer regions that it assigns are logged, so that an abandoned trace leaves them as they
// were.
#pragma once
#include <cstdint>
#include <vector>

#include "graph/value.h"

namespace kiln {
class Tensor;
}

namespace kiln::detail {

/// Opens a region on this thread. Unless kept, the outer objects assigned inside get their old values back.
class RegionScope {
 public:
  RegionScope();
  ~RegionScope();
  RegionScope(const RegionScope&) = delete;
  RegionScope& operator=(const RegionScope&) = delete;
  void keep() { keep_ = true; }

 private:
  friend void assigning_outer(Tensor& object) noexcept;
  friend void moving_outer(Tensor& from, Tensor& to) noexcept;
  friend void destroying_outer(Tensor& object) noexcept;
  struct Write {
    Tensor* object;
    graph::Value old;
  };
  Write* find(const Tensor* object);

  std::vector<Write> writes_;
  RegionScope* parent_;
  std::uint32_t parent_region_;
  bool keep_ = false;
};

}  // namespace kiln::detail
