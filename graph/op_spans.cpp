// Names eager ops for profiles, and counts what they do.
#include "graph/op_spans.h"

#include <string>

#include "base/require.h"

namespace kiln::graph {

namespace {

/// Whose parts a loop within the op runs, before the whole site is known.
const SpanSite* parts_site(const ops::OpDef& op) {
  return span_site(std::string(op.name), [&] {
    SpanSite site;
    site.name = op.name;
    return site;
  });
}

std::string types_text(std::span<const Value> operands, const Value& result) {
  std::string text;
  for (const Value& v : operands) text += (text.empty() ? "" : ", ") + (v.weak() ? std::string("number") : v.type().str());
  return fmt::format("({}) -> {}", text, result.type().str());
}

std::int64_t bytes_of(const Value& v) { return v.weak() ? 0 : v.shape().count() * static_cast<std::int64_t>(size_of(v.dtype())); }

std::int64_t bytes_moved(const ops::OpDef& op, std::span<const Value> operands, const Value& result) {
  if (op.traits.view) return 0;
  std::int64_t total = bytes_of(result);
  for (const Value& v : operands) total += bytes_of(v);
  return total;
}

/// Multiply-adds of one element of the result: the contracted lengths, which the right operand has all.
std::int64_t contraction_depth(const Attrs& attrs, const Shape& rhs) {
  const std::string &equation = attrs.get<std::string>("equation"), &order = attrs.get<std::string>("order");
  const std::string labels = equation.substr(equation.find(',') + 1);
  std::int64_t depth = 1;
  for (char label : order) {
    const std::size_t axis = labels.find(label);
    if (axis < static_cast<std::size_t>(rhs.rank())) depth *= rhs[static_cast<int>(axis)].value_or(1);
  }
  return depth;
}

std::int64_t window_taps(const Attrs& attrs) {
  std::int64_t taps = 1;
  for (std::int64_t w : attrs.get<Ints>("window")) taps *= w;
  return taps;
}

}  // namespace

std::int64_t op_flops(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs, const Value& result) {
  if (!is_floating(result.dtype())) return 0;
  const std::int64_t elements = result.shape().count();
  if (op.kind == ops::OpKind::elementwise) return elements;
  if (op.name == "contract") return 2 * elements * contraction_depth(attrs, operands[1].shape());
  if (op.name == "reduce") return operands[0].shape().count();
  if (op.name == "scatter_add") return operands[2].shape().count();
  if (op.name == "window_reduce") return elements * window_taps(attrs);
  if (op.name == "window_max_grad") return operands[1].shape().count() * window_taps(attrs);
  return 0;
}

OpSpan::OpSpan(const ops::OpDef& op) : op_(op), saved_(current_span_site), begin_(0) {
  current_span_site = parts_site(op);
  begin_ = span_clock();
}

OpSpan::~OpSpan() { current_span_site = saved_; }

void OpSpan::finish(std::span<const Value> operands, const Attrs& attrs, const Value& result) {
  const std::int64_t end = span_clock();
  const Loc where = user_location();
  const std::string what = fmt::format("{} {}", op_.name, types_text(operands, result));
  const SpanSite* site = span_site(fmt::format("{}|{}:{}", what, where.file, where.line), [&] {
    const std::int64_t bytes = bytes_moved(op_, operands, result);
    return SpanSite{SpanSite::Kind::op, what, where, op_flops(op_, operands, attrs, result), bytes, bytes};
  });
  record_span({site, begin_, end});
}

}  // namespace kiln::graph
