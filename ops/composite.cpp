// What composites compute from shapes alone.
#include "ops/composite.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "base/require.h"

namespace kiln::ops::detail {

std::pair<std::int64_t, std::int64_t> same_padding(std::string_view op, Dim length, std::int64_t taps, std::int64_t stride,
                                                   std::int64_t dilation) {
  Dim positions = floordiv(length + (stride - 1), stride);
  Dim needed = (positions - 1) * stride + (taps - 1) * dilation + 1 - length;
  KILN_REQUIRE(needed.is_constant(), ShapeError,
               "{}: padding Same with stride {} needs a known length, but the axis has length {}; fix it or pad by hand", op, stride,
               length.str());
  std::int64_t total = std::max<std::int64_t>(needed, 0);
  return {total / 2, total - total / 2};
}

MatmulPlan plan_matmul(const Shape& a, const Shape& b) {
  KILN_REQUIRE(a.rank() >= 1 && b.rank() >= 1, ShapeError,
               "matmul: operands must have at least one axis, but they have shapes {} and {}; use * for scalars", a.str(), b.str());
  Dim inner_a = a.back(), inner_b = b[b.rank() == 1 ? 0 : b.rank() - 2];
  KILN_REQUIRE(inner_a == inner_b, ShapeError, "matmul: inner dimensions differ: {} x {} ({} and {}); transpose or reshape an operand",
               a.str(), b.str(), inner_a.str(), inner_b.str());
  MatmulPlan plan;
  std::string lhs, rhs, out;
  int batch_a = std::max(a.rank() - 2, 0), batch_b = std::max(b.rank() - 2, 0), batch = std::max(batch_a, batch_b);
  for (int i = 0; i < batch; ++i) {
    int at_a = i - (batch - batch_a), at_b = i - (batch - batch_b);
    bool in_a = at_a >= 0, in_b = at_b >= 0;
    if (in_a && in_b && a[at_a] != b[at_b]) {
      KILN_REQUIRE(a[at_a] == 1 || b[at_b] == 1, ShapeError, "matmul: batch dimensions differ: {} x {} ({} and {}); make them equal or 1",
                   a.str(), b.str(), a[at_a].str(), b[at_b].str());
      (a[at_a] == 1 ? in_a : in_b) = false;
    }
    char label = static_cast<char>('a' + i);
    if (in_a) lhs.push_back(label), plan.lhs.push_back(a[at_a]);
    if (in_b) rhs.push_back(label), plan.rhs.push_back(b[at_b]);
    out.push_back(label);
  }
  if (a.rank() > 1) {
    lhs.push_back('m');
    out.push_back('m');
    plan.lhs.push_back(a[a.rank() - 2]);
  }
  lhs.push_back('k');
  plan.lhs.push_back(inner_a);
  rhs.push_back('k');
  plan.rhs.push_back(inner_b);
  if (b.rank() > 1) {
    rhs.push_back('n');
    out.push_back('n');
    plan.rhs.push_back(b.back());
  }
  plan.equation = lhs + "," + rhs + "->" + out;
  return plan;
}

ContractView plan_conv2d(const Shape& x, const Shape& filters, const Conv2DAttrs& attrs) {
  KILN_REQUIRE(x.rank() == 4, ShapeError, "conv2d: images must have shape [n, height, width, channels], but they have {}", x.str());
  KILN_REQUIRE(filters.rank() == 4, ShapeError, "conv2d: filters must have shape [height, width, in, out], but they have {}",
               filters.str());
  KILN_REQUIRE(attrs.groups > 0 && x[3] == filters[2] * attrs.groups &&
                   (attrs.groups == 1 || static_cast<std::int64_t>(filters[3]) % attrs.groups == 0),
               ShapeError,
               "conv2d: images {} have {} channels, but filters {} in {} group(s) take {} (and outputs must divide by the groups)", x.str(),
               x[3].str(), filters.str(), attrs.groups, (filters[2] * attrs.groups).str());
  ContractView view =
      attrs.groups == 1 ? ContractView::make("nyxc,yxco->nyxo", "yx", "yxc") : ContractView::make("nyxgc,yxcgo->nyxgo", "yx", "yxc");
  for (std::size_t i = 0; i < 2; ++i) {
    KILN_REQUIRE(attrs.strides[i] > 0 && attrs.dilation[i] > 0, ValueError,
                 "conv2d: strides and dilation must be positive, but they are {} and {}", attrs.strides[i], attrs.dilation[i]);
    Dim length = x[i + 1];
    std::int64_t taps = filters[i];
    ContractWindow& w = view.windows[i];
    w.stride = attrs.strides[i];
    w.rhs_dilation = attrs.dilation[i];
    if (attrs.same) std::tie(w.padding_low, w.padding_high) = same_padding("conv2d", length, taps, w.stride, w.rhs_dilation);
    std::int64_t span = (taps - 1) * w.rhs_dilation + 1;
    KILN_REQUIRE(!length.is_constant() || attrs.same || span <= static_cast<std::int64_t>(length), ShapeError,
                 "conv2d: filters {} with dilation {} are larger than the images {}; use padding Same or smaller filters", filters.str(),
                 w.rhs_dilation, x.str());
  }
  return view;
}

WindowAttrs plan_pool2d(std::string_view op, const Shape& x, const Pool2DAttrs& attrs) {
  KILN_REQUIRE(x.rank() == 4, ShapeError, "{}: images must have shape [n, height, width, channels], but they have {}", op, x.str());
  WindowAttrs w{{1, attrs.window[0], attrs.window[1], 1}, {1, attrs.strides[0], attrs.strides[1], 1}, {0, 0, 0, 0}, {0, 0, 0, 0}};
  for (std::size_t i = 1; i <= 2; ++i) {
    KILN_REQUIRE(w.window[i] > 0 && w.strides[i] > 0, ValueError, "{}: window and strides must be positive, but they are {} and {}", op,
                 w.window[i], w.strides[i]);
    if (attrs.same) std::tie(w.padding_low[i], w.padding_high[i]) = same_padding(op, x[i], w.window[i], w.strides[i], 1);
    KILN_REQUIRE(attrs.same || x[i].value_or(w.window[i]) >= w.window[i], ShapeError,
                 "{}: a window of {} x {} is larger than the images {}; use padding Same or a smaller window", op, attrs.window[0],
                 attrs.window[1], x.str());
  }
  return w;
}

Ints lone_axes(std::string_view labels, std::string_view other, std::string_view out) {
  Ints lone;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (other.find(labels[i]) == std::string_view::npos && out.find(labels[i]) == std::string_view::npos)
      lone.push_back(static_cast<std::int64_t>(i));
  }
  return lone;
}

/// The letters that occur once, in alphabetical order: the result of an equation that does not say it.
static std::string unique_letters(std::string_view letters) {
  std::string result;
  std::copy_if(letters.begin(), letters.end(), std::back_inserter(result),
               [&](char c) { return std::count(letters.begin(), letters.end(), c) == 1; });
  std::sort(result.begin(), result.end());
  return result;
}

std::array<std::string, 3> split_einsum(std::string_view equation, const Shape& a, const Shape& b) {
  std::string text;
  std::copy_if(equation.begin(), equation.end(), std::back_inserter(text), [](char c) { return c != ' '; });
  std::size_t comma = text.find(','), arrow = text.find("->");
  KILN_REQUIRE(comma != std::string::npos && comma < arrow, ValueError,
               "einsum: \"{}\" is no equation of two operands; write it like \"ij,jk->ik\"", equation);
  std::array<std::string, 3> labels = {text.substr(0, comma), text.substr(comma + 1, arrow - comma - 1)};
  labels[2] = arrow == std::string::npos ? unique_letters(labels[0] + labels[1]) : text.substr(arrow + 2);
  KILN_REQUIRE(labels[0].size() == a.size() && labels[1].size() == b.size(), ShapeError,
               "einsum: \"{}\" needs operands of rank {} and {}, but they have shapes {} and {}", equation, labels[0].size(),
               labels[1].size(), a.str(), b.str());
  return labels;
}

}  // namespace kiln::ops::detail
