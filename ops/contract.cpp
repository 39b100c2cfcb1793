// Parsing, checking and lowering of contract's equation, and the equations of its gradients.
#include "ops/contract.h"

#include <algorithm>

#include "base/require.h"

namespace kiln::ops {
namespace {

void check_labels(std::string_view labels, std::string_view equation) {
  KILN_REQUIRE(labels.size() <= static_cast<std::size_t>(kMaxRank), ValueError,
               "contract: \"{}\" gives a tensor {} axes; at most {} are possible", equation, labels.size(), kMaxRank);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    char c = labels[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    KILN_REQUIRE(letter, ValueError, "contract: '{}' in \"{}\" is no label; labels are letters", c, equation);
    KILN_REQUIRE(labels.find(c, i + 1) == std::string_view::npos, ValueError,
                 "contract: label '{}' appears twice in \"{}\" of \"{}\"; take the diagonal first", c, labels, equation);
  }
}

ContractView split(std::string_view equation) {
  std::size_t comma = equation.find(',');
  std::size_t arrow = equation.find("->");
  KILN_REQUIRE(comma != std::string_view::npos && arrow != std::string_view::npos && comma < arrow, ValueError,
               "contract: \"{}\" is no equation; write it like \"mk,kn->mn\"", equation);
  ContractView view;
  view.lhs = equation.substr(0, comma);
  view.rhs = equation.substr(comma + 1, arrow - comma - 1);
  view.out = equation.substr(arrow + 2);
  for (const std::string* labels : {&view.lhs, &view.rhs, &view.out}) check_labels(*labels, equation);
  return view;
}

std::int8_t axis_of(const std::string& labels, char c) {
  std::size_t at = labels.find(c);
  return at == std::string::npos ? std::int8_t{-1} : static_cast<std::int8_t>(at);
}

bool contracted(const ContractLabel& label) { return label.role == LabelRole::depth || label.role == LabelRole::window; }

void row_major_strides(std::span<const std::int64_t> sizes, std::array<std::int64_t, kMaxRank>& strides) {
  std::int64_t stride = 1;
  for (std::size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= sizes[i];
  }
}

/// padding_high such that the window's result has exactly `length` elements.
std::int64_t solve_padding(Dim length, Dim lhs_length, Dim taps, const ContractWindow& w, char label) {
  Dim padding = (length - 1) * w.stride + (taps - 1) * w.rhs_dilation - (lhs_length - 1) * w.lhs_dilation - w.padding_low;
  KILN_REQUIRE(
      padding.is_constant(), ShapeError,
      "contract: the gradient along window label '{}' needs a length that is not known while tracing ({}); give that axis a fixed length",
      label, padding.str());
  return padding;
}

}  // namespace

Dim window_length(Dim length, Dim taps, const ContractWindow& w) {
  Dim dilated = (length - 1) * w.lhs_dilation + 1;
  Dim span = (taps - 1) * w.rhs_dilation + 1;
  Dim result = floordiv(dilated + w.padding_low + w.padding_high - span, w.stride) + 1;
  return result.is_constant() && result.value_or(0) < 0 ? Dim(0) : result;
}

ContractView ContractView::make(std::string_view equation, std::string_view window, std::string_view order) {
  ContractView view = split(equation);
  view.window = window;
  view.order = order;
  view.classify();
  if (order.empty()) {
    for (const std::string& labels : {view.lhs, view.rhs}) {
      for (char c : labels) {
        if (contracted(view.label(c)) && view.order.find(c) == std::string::npos) view.order.push_back(c);
      }
    }
  }
  return view;
}

ContractView ContractView::parse(const Attrs& attrs) {
  ContractView view = split(attrs.get<std::string>("equation"));
  view.window = attrs.get<std::string>("window");
  view.order = attrs.get<std::string>("order");
  view.classify();
  std::size_t num_contracted = 0;
  for (const ContractLabel& label : view.all()) {
    if (!contracted(label)) continue;
    ++num_contracted;
    KILN_REQUIRE(view.order.find(label.name) != std::string::npos, ValueError,
                 "contract: label '{}' of \"{}\" is contracted but missing in order \"{}\"", label.name, view.equation(), view.order);
  }
  KILN_REQUIRE(num_contracted == view.order.size(), ValueError,
               "contract: order \"{}\" must list the contracted labels of \"{}\" once each", view.order, view.equation());
  if (view.window.empty()) return view;
  const char* const names[] = {"strides", "padding_low", "padding_high", "lhs_dilation", "rhs_dilation", "reverse"};
  const Ints* values[6];
  for (int i = 0; i < 6; ++i) {
    values[i] = &attrs.get<Ints>(names[i]);
    KILN_REQUIRE(values[i]->size() == view.window.size(), ValueError, "contract: {} has {} entries for {} window labels \"{}\"", names[i],
                 values[i]->size(), view.window.size(), view.window);
  }
  for (std::size_t i = 0; i < view.window.size(); ++i) {
    view.windows[i] = {(*values[0])[i], (*values[1])[i], (*values[2])[i], (*values[3])[i], (*values[4])[i], (*values[5])[i] != 0};
    const ContractWindow& w = view.windows[i];
    KILN_REQUIRE(w.stride > 0 && w.lhs_dilation > 0 && w.rhs_dilation > 0, ValueError,
                 "contract: strides and dilations must be positive; label '{}' has stride {}, lhs_dilation {}, rhs_dilation {}",
                 view.window[i], w.stride, w.lhs_dilation, w.rhs_dilation);
  }
  return view;
}

void ContractView::classify() {
  KILN_REQUIRE(window.size() <= windows.size(), ValueError, "contract: {} window labels in \"{}\"; at most {} are possible", window.size(),
               window, windows.size());
  num_labels = 0;
  for (const std::string* source : {&lhs, &rhs, &out}) {
    for (char c : *source) {
      if (std::any_of(labels.begin(), labels.begin() + num_labels, [&](const ContractLabel& l) { return l.name == c; })) continue;
      ContractLabel label{c, LabelRole::batch, axis_of(lhs, c), axis_of(rhs, c), axis_of(out, c), axis_of(window, c)};
      bool in_a = label.lhs >= 0, in_b = label.rhs >= 0, in_out = label.out >= 0;
      KILN_REQUIRE(in_a + in_b + in_out >= 2, ValueError,
                   "contract: label '{}' appears in one tensor of \"{}\" only; reduce or broadcast it first", c, equation());
      if (label.window >= 0) {
        KILN_REQUIRE(in_a && in_b && in_out, ValueError,
                     "contract: window label '{}' must appear in both operands and the result of \"{}\"", c, equation());
        label.role = LabelRole::window;
      } else if (!in_out) {
        label.role = LabelRole::depth;
      } else if (!in_b) {
        label.role = LabelRole::row;
      } else if (!in_a) {
        label.role = LabelRole::col;
      }
      KILN_REQUIRE(num_labels < static_cast<int>(labels.size()), ValueError, "contract: too many labels in \"{}\"", equation());
      labels[static_cast<std::size_t>(num_labels++)] = label;
    }
  }
  for (char c : window) {
    KILN_REQUIRE(out.find(c) != std::string::npos, ValueError, "contract: window label '{}' is not in \"{}\"", c, equation());
  }
}

const ContractLabel& ContractView::label(char name) const {
  const ContractLabel* found =
      std::find_if(labels.begin(), labels.begin() + num_labels, [&](const ContractLabel& l) { return l.name == name; });
  KILN_ASSERT(found != labels.begin() + num_labels, "no label '{}' in {}", name, equation());
  return *found;
}

Attrs ContractView::attrs() const {
  Attrs attrs{{"equation", equation()}, {"order", order}, {"window", window}};
  if (window.empty()) return attrs;
  Ints strides, low, high, lhs_dilation, rhs_dilation, reverse;
  for (std::size_t i = 0; i < window.size(); ++i) {
    strides.push_back(windows[i].stride);
    low.push_back(windows[i].padding_low);
    high.push_back(windows[i].padding_high);
    lhs_dilation.push_back(windows[i].lhs_dilation);
    rhs_dilation.push_back(windows[i].rhs_dilation);
    reverse.push_back(windows[i].reverse ? 1 : 0);
  }
  attrs.set("strides", std::move(strides));
  attrs.set("padding_low", std::move(low));
  attrs.set("padding_high", std::move(high));
  attrs.set("lhs_dilation", std::move(lhs_dilation));
  attrs.set("rhs_dilation", std::move(rhs_dilation));
  attrs.set("reverse", std::move(reverse));
  return attrs;
}

Shape ContractView::result_shape(const Shape& lhs_shape, const Shape& rhs_shape) const {
  KILN_REQUIRE(lhs_shape.size() == lhs.size() && rhs_shape.size() == rhs.size(), ShapeError,
               "contract: \"{}\" needs operands of rank {} and {}, but they have shapes {} and {}", equation(), lhs.size(), rhs.size(),
               lhs_shape.str(), rhs_shape.str());
  Shape result;
  for (const ContractLabel& l : all()) {
    if (l.role != LabelRole::batch && l.role != LabelRole::depth) continue;
    KILN_REQUIRE(lhs_shape[l.lhs] == rhs_shape[l.rhs], ShapeError,
                 "contract: lengths of '{}' in \"{}\" differ: {} in the left operand {}, {} in the right operand {}; make them equal",
                 l.name, equation(), lhs_shape[l.lhs].str(), lhs_shape.str(), rhs_shape[l.rhs].str(), rhs_shape.str());
  }
  for (char c : out) {
    const ContractLabel& l = label(c);
    if (l.role == LabelRole::window) {
      result.push_back(window_length(lhs_shape[l.lhs], rhs_shape[l.rhs], windows[static_cast<std::size_t>(l.window)]));
    } else {
      result.push_back(l.lhs >= 0 ? lhs_shape[l.lhs] : rhs_shape[l.rhs]);
    }
  }
  return result;
}

Contraction ContractView::lower(DType dtype, std::span<const std::int64_t> lhs_sizes, std::span<const std::int64_t> rhs_sizes,
                                std::span<const std::int64_t> out_sizes) const {
  std::array<std::int64_t, kMaxRank> lhs_strides, rhs_strides, out_strides;
  row_major_strides(lhs_sizes, lhs_strides);
  row_major_strides(rhs_sizes, rhs_strides);
  row_major_strides(out_sizes, out_strides);
  auto stride = [](const std::array<std::int64_t, kMaxRank>& strides, int axis) {
    return axis < 0 ? 0 : strides[static_cast<std::size_t>(axis)];
  };
  Contraction c;
  c.dtype = dtype;
  for (char name : order) {
    const ContractLabel& l = label(name);
    bool slides = l.role == LabelRole::window;
    c.depth[static_cast<std::size_t>(c.num_depth++)] = {rhs_sizes[static_cast<std::size_t>(l.rhs)], slides ? 0 : stride(lhs_strides, l.lhs),
                                                        stride(rhs_strides, l.rhs), 0};
  }
  for (char name : out) {
    const ContractLabel& l = label(name);
    std::int64_t extent = out_sizes[static_cast<std::size_t>(l.out)];
    std::int64_t out_stride = stride(out_strides, l.out);
    if (l.role == LabelRole::window) {
      const ContractWindow& w = windows[static_cast<std::size_t>(l.window)];
      c.windows[static_cast<std::size_t>(c.num_windows++)] = {.row = c.num_row,
                                                              .depth = static_cast<int>(order.find(name)),
                                                              .extent = lhs_sizes[static_cast<std::size_t>(l.lhs)],
                                                              .lhs_stride = stride(lhs_strides, l.lhs),
                                                              .stride = w.stride,
                                                              .rhs_dilation = w.rhs_dilation,
                                                              .lhs_dilation = w.lhs_dilation,
                                                              .padding_low = w.padding_low,
                                                              .reverse = w.reverse};
      c.row[static_cast<std::size_t>(c.num_row++)] = {extent, 0, 0, out_stride};
    } else if (l.role == LabelRole::batch) {
      c.batch[static_cast<std::size_t>(c.num_batch++)] = {extent, stride(lhs_strides, l.lhs), stride(rhs_strides, l.rhs), out_stride};
    } else if (l.role == LabelRole::row) {
      c.row[static_cast<std::size_t>(c.num_row++)] = {extent, stride(lhs_strides, l.lhs), 0, out_stride};
    } else {
      c.col[static_cast<std::size_t>(c.num_col++)] = {extent, 0, stride(rhs_strides, l.rhs), out_stride};
    }
  }
  return c;
}

ContractView ContractView::gradient_lhs(const Shape& lhs_shape, const Shape& rhs_shape, const Shape& out_shape) const {
  std::string gradient_order;
  for (char c : out) {
    if (label(c).role == LabelRole::col || label(c).role == LabelRole::window) gradient_order.push_back(c);
  }
  ContractView g = make(out + "," + rhs + "->" + lhs, window, gradient_order);
  for (std::size_t i = 0; i < window.size(); ++i) {
    const ContractLabel& l = label(window[i]);
    const ContractWindow& w = windows[i];
    Dim low = (rhs_shape[l.rhs] - 1) * w.rhs_dilation - w.padding_low;
    ContractWindow& v = g.windows[i];
    v = {w.lhs_dilation, static_cast<std::int64_t>(low), 0, w.stride, w.rhs_dilation, !w.reverse};
    v.padding_high = solve_padding(lhs_shape[l.lhs], out_shape[l.out], rhs_shape[l.rhs], v, l.name);
  }
  return g;
}

ContractView ContractView::gradient_rhs(const Shape& lhs_shape, const Shape& rhs_shape, const Shape& out_shape) const {
  std::string gradient_order;
  for (char c : out) {
    if (label(c).role == LabelRole::row || label(c).role == LabelRole::window) gradient_order.push_back(c);
  }
  ContractView g = make(lhs + "," + out + "->" + rhs, window, gradient_order);
  for (std::size_t i = 0; i < window.size(); ++i) {
    const ContractLabel& l = label(window[i]);
    const ContractWindow& w = windows[i];
    ContractWindow& v = g.windows[i];
    v = {w.rhs_dilation, w.padding_low, 0, w.lhs_dilation, w.stride, false};
    v.padding_high = solve_padding(rhs_shape[l.rhs], lhs_shape[l.lhs], out_shape[l.out], v, l.name);
  }
  return g;
}

}  // namespace kiln::ops
