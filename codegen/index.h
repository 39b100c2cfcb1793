// Index: an element index for every lane, and the arithmetic on it that keeps lanes contiguous where they are.
#pragma once
#include "codegen/builder.h"

namespace kiln::codegen {

/// Lane l has the index base + l * step; or, if `lanes` (a vector of i64) is set, base + lanes[l], where the base may be null for none.
/// Indices are not negative, but for lanes that a mask turns off.
struct Index {
  Value base;
  std::int64_t step = 0;
  Value lanes;
  bool by_fours = false;  ///< base is known to be a multiple of 4

  bool uniform() const { return step == 0 && !lanes; }
  bool contiguous() const { return step == 1 && !lanes; }
};

/// Where an element is: one index an axis, or a single index into the row-major order of all elements.
struct Position {
  llvm::SmallVector<Index, 4> at;
  bool linear = false;

  bool uniform() const {
    for (const Index& i : at) {
      if (!i.uniform()) return false;
    }
    return true;
  }
};

/// Which lanes count. `lanes` (a vector of i1; null: all) has at least one lane on; `guard` and `lane_guard` (null: true) may turn off
/// everything: then nothing may be read at the position.
struct Mask {
  Value lanes;
  Value guard;       ///< i1: the position is valid at all
  Value lane_guard;  ///< vector of i1: the position is valid in that lane
};

/// Arithmetic on indices.
class Indexing {
 public:
  explicit Indexing(Builder& b) : b_(b) {}

  Index constant(std::int64_t value) { return {b_.integer(value)}; }
  Index add(const Index& a, const Index& b);
  Index add(const Index& a, std::int64_t n) { return n == 0 ? a : add(a, constant(n)); }
  Index multiply(const Index& a, Value uniform);
  Index multiply(const Index& a, std::int64_t n) { return multiply(a, b_.integer(n)); }
  /// Quotient and remainder by a uniform positive divisor.
  std::pair<Index, Index> divide(const Index& a, Value divisor);
  /// a < limit, or a >= limit: i1, or a vector of i1.
  Value below(const Index& a, Value limit);
  Value at_least(const Index& a, Value limit);
  Value equal(const Index& a, Value to);
  /// The indices of all lanes as a vector of i64 (a scalar where lanes() is 1).
  Value vector(const Index& a);
  /// From an i64 value, a scalar or a vector.
  Index from(Value v) { return Builder::is_vector(v) ? Index{{}, 0, v} : Index{v}; }

 private:
  Value lanes_of(const Index& a);
  Value to_float(Value v);
  Value to_integer(Value v);
  Builder& b_;
};

}  // namespace kiln::codegen
