// The attributes of contract, parsed once into label roles: what infer, the kernels, the gradient and the compiler read.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/attrs.h"
#include "base/contraction.h"

namespace kiln::ops {

/// What a label of a contract's equation does. A window label is a row in the result and a depth in the right operand.
enum class LabelRole : std::uint8_t { batch, row, col, depth, window };

/// How one window label slides: position = o * stride + k * rhs_dilation - padding_low in the left axis dilated by lhs_dilation.
struct ContractWindow {
  std::int64_t stride = 1;
  std::int64_t padding_low = 0;   ///< may be negative: crops
  std::int64_t padding_high = 0;  ///< may be negative: crops
  std::int64_t lhs_dilation = 1;
  std::int64_t rhs_dilation = 1;
  bool reverse = false;  ///< the right operand is read backwards along this label
};

/// One label with its axis in each tensor, -1 where it is absent.
struct ContractLabel {
  char name = 0;
  LabelRole role = LabelRole::batch;
  std::int8_t lhs = -1, rhs = -1, out = -1;
  std::int8_t window = -1;  ///< index into ContractView::windows
};

/// A contract's attributes in typed form.
struct ContractView {
  std::string lhs, rhs, out;  ///< labels of each tensor's axes: "nyxc", "yxco", "nyxo"
  std::string order;          ///< contracted labels, windows included, in summation order
  std::string window;         ///< labels that slide
  std::array<ContractWindow, 4> windows;
  std::array<ContractLabel, 2 * kMaxRank> labels;
  int num_labels = 0;

  /// From "nyxc,yxco->nyxo"; contracted labels are summed in the order in which `lhs` then `rhs` list them unless `order` is given,
  /// windows take their default. Throws ValueError for an equation that is no contraction.
  static ContractView make(std::string_view equation, std::string_view window = "", std::string_view order = "");
  /// From an op's attributes. Throws ValueError if they do not fit together.
  static ContractView parse(const Attrs& attrs);

  std::string equation() const { return lhs + "," + rhs + "->" + out; }
  Attrs attrs() const;
  std::span<const ContractLabel> all() const { return {labels.data(), static_cast<std::size_t>(num_labels)}; }
  /// The label of that name; InternalError if there is none.
  const ContractLabel& label(char name) const;

  /// Shape of the result. Throws ShapeError naming the label whose lengths differ.
  Shape result_shape(const Shape& lhs_shape, const Shape& rhs_shape) const;
  /// Loops over contiguous row-major operands of static shapes: batch, row and col in the order of `out`, depth in that of `order`, one
  /// loop a label. The two loops of a window have lhs_stride 0: the window says how they move.
  Contraction lower(DType dtype, std::span<const std::int64_t> lhs_sizes, std::span<const std::int64_t> rhs_sizes,
                    std::span<const std::int64_t> out_sizes) const;

  /// The contraction that gives the gradient of the left operand from (gradient of the result, right operand); a label's padding is solved
  /// from the shapes. Throws ShapeError if a symbolic length makes that impossible.
  ContractView gradient_lhs(const Shape& lhs_shape, const Shape& rhs_shape, const Shape& out_shape) const;
  /// The contraction that gives the gradient of the right operand from (left operand, gradient of the result). Along labels whose window is
  /// reversed, its result comes out backwards.
  ContractView gradient_rhs(const Shape& lhs_shape, const Shape& rhs_shape, const Shape& out_shape) const;

 private:
  void classify();
};

/// Length of a window's result: floor((dilated + padding - span) / stride) + 1, never below 0; dilated = (length - 1) * lhs_dilation + 1
/// and span = (taps - 1) * rhs_dilation + 1.
Dim window_length(Dim length, Dim taps, const ContractWindow& w);

}  // namespace kiln::ops
