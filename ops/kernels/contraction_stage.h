// A copy of the part of the left operand that windows slide over, padding filled with zeros, elements widened: the contraction then reads
// it in place, and each element is copied once instead of once for each tap.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "ops/kernels/contraction_plan.h"
#include "ops/kernels/pack.h"

namespace kiln::ops {

class LeftStage {
 public:
  /// Nothing if even the smallest part would not fit `most` elements.
  static std::optional<LeftStage> make(const ContractionPhase& phase, std::int64_t most);

  /// The phase over the copy: no windows, strides of the left operand replaced.
  const ContractionPhase& phase() const { return staged_; }
  /// Rows and depth indices that one copy serves: whole iterations of the outermost loops. A count is that of all if it is not cut.
  std::int64_t rows() const { return rows_; }
  std::int64_t depths() const { return depths_; }
  std::int64_t elements() const { return elements_; }
  /// Copies what rows [row, row + rows()) and depth indices [depth, depth + depths()) read, both multiples of those counts. `from` is the
  /// phase's left base of one batch element. Returns the offset to add to `to`, in elements, for the staged phase's left base.
  std::int64_t fill(Widening widening, const void* from, std::int64_t stored_bytes, void* to, std::int64_t row, std::int64_t depth) const;

 private:
  /// One axis of the copy.
  struct Axis {
    std::int64_t extent = 1, from = 0, to = 0;
    int window = -1;  ///< that moves along it
    int row_loop = -1, depth_loop = -1, col_loop = -1;
  };
  LeftStage(const ContractionPhase& phase) : phase_(phase), staged_(phase) {}
  void add_axes();
  void cut(std::int64_t most);
  void lay_out();

  ContractionPhase phase_, staged_;
  std::array<Axis, 2 * kMaxContractionLoops> axes_;
  int count_ = 0;
  int cut_ = -1;  ///< axis of which a copy has only a part
  std::int64_t rows_ = 0, depths_ = 0, elements_ = 1;
};

}  // namespace kiln::ops
