// The stage `kernels` as text.
#include <fmt/format.h>

#include <cstring>
#include <set>

#include "passes/build_plan.h"

namespace kiln::passes {
namespace {

using runtime::ArgRef;
using runtime::DimExpr;
using runtime::DimId;
using runtime::Launch;
using runtime::Plan;

class Printer {
 public:
  Printer(const graph::Graph& lines, const Plan& plan) : lines_(lines), plan_(plan) {}

  std::string run() {
    text_ = fmt::format("plan @{}: {} launches, {} kernels, arena {} bytes in {} slots\n", plan_.name, plan_.launches.size(),
                        plan_.kernels.size(), plan_.arena_bytes < 0 ? "0" : length(plan_.arena_bytes), plan_.arena.size());
    for (std::size_t i = 0; i < plan_.inputs.size(); ++i) text_ += fmt::format("input {}: {}\n", i, tensor(plan_.inputs[i]));
    for (std::size_t i = 0; i < plan_.constants.size(); ++i) text_ += fmt::format("constant {}: {}\n", i, plan_.constants[i].type.str());
    for (std::size_t i = 0; i < plan_.outputs.size(); ++i) output(i);
    for (std::size_t i = 0; i < plan_.launches.size(); ++i) launch(i);
    for (std::size_t i = 0; i < plan_.kernels.size(); ++i) text_ += fmt::format("\nkernel {}:\n{}", i, plan_.kernels[i].text());
    return text_;
  }

 private:
  std::string length(DimId id) const {
    const DimExpr& e = plan_.dims[static_cast<std::size_t>(id)];
    const auto binary = [&](std::string_view op) {
      return fmt::format("({} {} {})", length(static_cast<DimId>(e.a)), op, length(static_cast<DimId>(e.b)));
    };
    switch (e.op) {
      case DimExpr::Op::constant:
        return std::to_string(e.a);
      case DimExpr::Op::input_dim:
        return fmt::format("input{}.{}", e.a, e.b);
      case DimExpr::Op::add:
        return binary("+");
      case DimExpr::Op::mul:
        return binary("*");
      case DimExpr::Op::floordiv:
        return binary("//");
      case DimExpr::Op::max:
        break;
    }
    return binary("max");
  }

  std::string lengths(const std::vector<DimId>& ids) const {
    std::string text;
    for (DimId id : ids) text += (text.empty() ? "" : ", ") + length(id);
    return "[" + text + "]";
  }
  std::string tensor(const runtime::PlanTensor& t) const { return std::string(name(t.dtype)) + lengths(t.shape); }

  /// " (0.0625)" for a float32 of rank 0.
  static std::string scalar(const Literal& literal) {
    if (literal.type.dtype != DType::float32 || literal.type.shape.rank() != 0) return "";
    float number = 0;
    std::memcpy(&number, literal.bytes->data(), sizeof number);
    return fmt::format(" ({})", number);
  }

  std::string place(const ArgRef& ref) const {
    static constexpr std::string_view names[] = {"input", "output", "arena", "constant"};
    if (ref.where == ArgRef::Where::view) {
      const runtime::PlanView& view = plan_.views[static_cast<std::size_t>(ref.index)];
      return fmt::format("{} from byte {} on", place(view.of), length(view.offset));
    }
    std::string text = fmt::format("{} {}", names[static_cast<int>(ref.where)], ref.index);
    if (ref.where == ArgRef::Where::constant) return text + scalar(plan_.constants[static_cast<std::size_t>(ref.index)]);
    if (ref.where != ArgRef::Where::arena) return text;
    const runtime::ArenaSlot& slot = plan_.arena[static_cast<std::size_t>(ref.index)];
    return text + fmt::format(" (+{}, {} bytes)", length(slot.offset), length(slot.bytes));
  }

  void output(std::size_t i) {
    static constexpr std::string_view sources[] = {"", "input", "output", "constant"};
    const runtime::PlanOutput& o = plan_.outputs[i];
    text_ += fmt::format("output {}: {}", i, tensor(o.type));
    if (o.source != runtime::PlanOutput::Source::fresh) text_ += fmt::format(", is {} {}", sources[static_cast<int>(o.source)], o.index);
    if (o.state_input >= 0) text_ += fmt::format(", new value of input {}{}", o.state_input, o.in_place ? ", in place" : "");
    text_ += "\n";
  }

  /// The lines of the ops of launch i, in order, each once.
  std::string lines(std::size_t i) const {
    const auto begin = static_cast<std::size_t>(plan_.launches[i].first_ordinal);
    const std::size_t end =
        i + 1 < plan_.launches.size() ? static_cast<std::size_t>(plan_.launches[i + 1].first_ordinal) : plan_.op_nodes.size();
    std::string text;
    std::set<std::string> seen;
    for (std::size_t n = begin; n < end; ++n) {
      const graph::NodeId node = plan_.op_nodes[n].second;
      std::string line = node < 0 ? std::string() : fmt::format("{}:{}", lines_.node(node).loc.file, lines_.node(node).loc.line);
      if (node < 0 || !lines_.node(node).loc.known()) continue;
      if (seen.insert(line).second) text += (text.empty() ? "" : ", ") + line;
    }
    return text.empty() ? "unknown lines" : text;
  }

  void launch(std::size_t i) {
    const Launch& l = plan_.launches[i];
    text_ += fmt::format("\nlaunch {}: ", i);
    if (l.kind == Launch::Kind::contraction) {
      text_ += contraction(l);
      if (l.kernel >= 0) text_ += fmt::format(", then kernel {} on each tile", l.kernel);
    } else {
      text_ += fmt::format("kernel {}", l.kernel);
    }
    text_ += fmt::format("  // {}\n", lines(i));
    if (l.kernel < 0) return;
    const auto inputs = static_cast<std::size_t>(plan_.kernels[static_cast<std::size_t>(l.kernel)].num_inputs);
    for (std::size_t a = 0; a < l.args.size(); ++a) text_ += fmt::format("  {} {}\n", a < inputs ? "reads " : "writes", place(l.args[a]));
    text_ += fmt::format("  dims {}\n", lengths(l.dims));
  }

  std::string contraction(const Launch& l) const {
    const auto extents = [&](const std::vector<runtime::PlanContraction::Loop>& loops) {
      std::vector<DimId> ids;
      for (const auto& loop : loops) ids.push_back(loop.extent);
      return lengths(ids);
    };
    const runtime::PlanContraction& c = l.contraction;
    return fmt::format("contraction {}{} batch {} row {} col {} depth {} windows {}, {} x {} -> {}", name(c.dtype),
                       c.relaxed ? " in pairs" : "", extents(c.batch), extents(c.row), extents(c.col), extents(c.depth), c.windows.size(),
                       place(l.lhs), place(l.rhs), place(l.out));
  }

  const graph::Graph& lines_;
  const Plan& plan_;
  std::string text_;
};

}  // namespace

std::string kernels_text(const FusedGraph& fused, const Plan& plan, const graph::Graph* captured) {
  return Printer(captured != nullptr ? *captured : fused.graph, plan).run();
}

}  // namespace kiln::passes
