// Costs and memory of a plan, with its lengths evaluated for the call that was traced.
#include "frontend/cost.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/require.h"
#include "frontend/function_core.h"
#include "ops/op.h"
#include "runtime/binding.h"

namespace kiln::detail {

namespace {

using runtime::ArgRef;
using runtime::BodyNode;
using runtime::DimId;
using runtime::KernelSpec;
using runtime::Launch;
using runtime::Plan;

std::vector<Shape> input_shapes(const Entry& entry) {
  const graph::Graph& graph = *entry.captured.graph;
  std::vector<Shape> shapes;
  for (int i = 0; i < graph.num_parameters(); ++i) shapes.push_back(graph.node(i).type.shape);
  std::copy_n(entry.example.begin(), std::min(entry.example.size(), shapes.size()), shapes.begin());
  return shapes;
}

class PlanCost {
 public:
  explicit PlanCost(const Entry& entry)
      : entry_(entry), plan_(entry.code().plan()), values_(runtime::evaluate_dims(plan_, input_shapes(entry))) {}

  std::int64_t flops() const {
    std::int64_t total = 0;
    for (const Launch& l : plan_.launches) {
      if (l.kind == Launch::Kind::contraction) total += contraction_flops(l.contraction);
      if (l.kernel >= 0) total += kernel_flops(plan_.kernels[static_cast<std::size_t>(l.kernel)], l);
    }
    return total;
  }

  std::int64_t bytes_moved() const {
    std::int64_t total = 0;
    for (const Launch& l : plan_.launches) {
      // Two names of one place (an output written over an input's memory) are one tensor.
      std::set<std::tuple<int, std::int64_t, std::int64_t>> seen;
      for (const ArgRef& ref : references(l)) {
        const auto where = static_cast<int>(ref.where);
        const bool fresh = ref.where == ArgRef::Where::arena ? seen.emplace(where, slot(ref).first, slot(ref).second).second
                                                             : seen.emplace(where, ref.index, 0).second;
        if (fresh) total += bytes(ref);
      }
    }
    return total;
  }

  std::int64_t arena_bytes() const { return plan_.arena_bytes < 0 ? 0 : value(plan_.arena_bytes); }

  std::int64_t output_bytes() const {
    std::int64_t total = 0;
    for (std::size_t i = 0; i < plan_.outputs.size(); ++i) {
      const runtime::PlanOutput& o = plan_.outputs[i];
      if (o.source == runtime::PlanOutput::Source::fresh && !o.in_place) total += bytes({ArgRef::Where::output, static_cast<int>(i)});
    }
    return total;
  }

  std::int64_t constant_bytes() const {
    std::int64_t total = 0;
    for (std::size_t i = 0; i < plan_.constants.size(); ++i) total += bytes({ArgRef::Where::constant, static_cast<int>(i)});
    return total;
  }

  MemoryPlan memory() const {
    MemoryPlan memory;
    memory.total_bytes = arena_bytes();
    for (std::size_t i = 0; i < plan_.arena.size(); ++i) {
      const auto [offset, size] = slot({ArgRef::Where::arena, static_cast<int>(i)});
      memory.blocks.push_back(block(static_cast<int>(i), offset, size));
    }
    for (std::size_t l = 0; l < plan_.launches.size(); ++l) {
      std::int64_t live = 0;
      for (const MemoryBlock& b : memory.blocks) {
        if (b.first_launch <= static_cast<int>(l) && static_cast<int>(l) <= b.last_launch) live += (b.bytes + 63) / 64 * 64;
      }
      memory.lower_bound = std::max(memory.lower_bound, live);
    }
    return memory;
  }

 private:
  std::int64_t value(DimId id) const { return values_[static_cast<std::size_t>(id)]; }

  std::pair<std::int64_t, std::int64_t> slot(const ArgRef& ref) const {
    const runtime::ArenaSlot& s = plan_.arena[static_cast<std::size_t>(ref.index)];
    return {value(s.offset), value(s.bytes)};
  }

  std::int64_t tensor_bytes(const runtime::PlanTensor& t) const {
    auto total = static_cast<std::int64_t>(size_of(t.dtype));
    for (DimId id : t.shape) total *= value(id);
    return total;
  }

  std::int64_t bytes(const ArgRef& ref) const {
    const auto index = static_cast<std::size_t>(ref.index);
    switch (ref.where) {
      case ArgRef::Where::input:
        return tensor_bytes(plan_.inputs[index]);
      case ArgRef::Where::output:
        return tensor_bytes(plan_.outputs[index].type);
      case ArgRef::Where::arena:
        return slot(ref).second;
      case ArgRef::Where::constant:
        break;
    }
    const TensorType& type = plan_.constants[index].type;
    return type.shape.count() * static_cast<std::int64_t>(size_of(type.dtype));
  }

  /// What a launch reads and writes.
  static std::vector<ArgRef> references(const Launch& l) {
    std::vector<ArgRef> all = l.args;
    if (l.kind == Launch::Kind::contraction) all.insert(all.end(), {l.lhs, l.rhs, l.out});
    return all;
  }

  std::int64_t contraction_flops(const runtime::PlanContraction& c) const {
    if (!is_floating(c.dtype)) return 0;
    std::int64_t product = 2;
    for (const auto* loops : {&c.batch, &c.row, &c.col, &c.depth}) {
      for (const runtime::PlanContraction::Loop& loop : *loops) product *= value(loop.extent);
    }
    return product;
  }

  std::int64_t elements(const BodyNode& node, const Launch& l) const {
    std::int64_t count = 1;
    for (std::int32_t d : node.shape) count *= value(l.dims[static_cast<std::size_t>(d)]);
    return count;
  }

  std::int64_t kernel_flops(const KernelSpec& spec, const Launch& l) const {
    std::int64_t total = 0;
    for (const BodyNode& node : spec.body) {
      if (node.op.empty() || !is_floating(node.dtype)) continue;
      const ops::OpDef& op = ops::op(node.op);
      auto operand = [&](std::size_t i) { return elements(spec.body[static_cast<std::size_t>(node.operands[i])], l); };
      if (op.kind == ops::OpKind::elementwise) {
        total += elements(node, l);
      } else if (node.op == "reduce") {
        total += operand(0);
      } else if (node.op == "scatter_add") {
        total += operand(2);
      } else if (node.op == "window_reduce" || node.op == "window_max_grad") {
        std::int64_t taps = 1;
        for (std::int64_t w : node.attrs.get<Ints>("window")) taps *= w;
        total += taps * (node.op == "window_reduce" ? elements(node, l) : operand(1));
      }
    }
    return total;
  }

  MemoryBlock block(int index, std::int64_t offset, std::int64_t size) const {
    MemoryBlock b{offset, size, -1, -1, "", {}};
    for (std::size_t l = 0; l < plan_.launches.size(); ++l) {
      const std::vector<ArgRef> all = references(plan_.launches[l]);
      const bool used =
          std::any_of(all.begin(), all.end(), [&](const ArgRef& r) { return r.where == ArgRef::Where::arena && r.index == index; });
      if (!used) continue;
      if (b.first_launch < 0) {
        b.first_launch = static_cast<int>(l);
        name_maker(l, b);
      }
      b.last_launch = static_cast<int>(l);
    }
    return b;
  }

  /// The last op of the launch that makes the block, and its line.
  void name_maker(std::size_t launch, MemoryBlock& b) const {
    const auto begin = static_cast<std::size_t>(plan_.launches[launch].first_ordinal);
    const std::size_t end =
        launch + 1 < plan_.launches.size() ? static_cast<std::size_t>(plan_.launches[launch + 1].first_ordinal) : plan_.op_nodes.size();
    if (end <= begin) return;
    const auto& [op, node] = plan_.op_nodes[end - 1];
    b.op = op;
    if (node >= 0) b.where = entry_.captured.graph->node(node).loc;
  }

  const Entry& entry_;
  const Plan& plan_;
  std::vector<std::int64_t> values_;
};

/// The optimized graph has one op a line.
int count_ops(const std::string& text) {
  int count = 0;
  for (std::size_t at = text.find(" = kiln."); at != std::string::npos; at = text.find(" = kiln.", at + 1)) ++count;
  return count;
}

}  // namespace

Cost cost_of(const Entry& entry) {
  const graph::Graph& graph = *entry.captured.graph;
  const PlanCost plan(entry);
  Cost cost;
  cost.captured_ops = static_cast<int>(graph.nodes().size()) - graph.num_parameters();
  cost.optimized_ops = count_ops(stage_text(graph, entry.numerics, runtime::StageId::optimized));
  cost.kernels = static_cast<int>(entry.code().plan().kernels.size());
  cost.launches = static_cast<int>(entry.code().plan().launches.size());
  cost.flops = plan.flops();
  cost.bytes_moved = plan.bytes_moved();
  cost.arena_bytes = plan.arena_bytes();
  cost.output_bytes = plan.output_bytes();
  cost.constant_bytes = plan.constant_bytes();
  cost.peak_bytes = cost.arena_bytes + cost.output_bytes + cost.constant_bytes;
  return cost;
}

MemoryPlan memory_plan_of(const Entry& entry) { return PlanCost(entry).memory(); }

}  // namespace kiln::detail

namespace kiln {

std::string MemoryPlan::str() const {
  std::string text = fmt::format("{:>10} {:>10}  {:<11} {}\n", "offset", "bytes", "launches", "made by");
  for (const MemoryBlock& b : blocks) {
    text += fmt::format("{:>10} {:>10}  {:<11} {}", b.offset, b.bytes, fmt::format("{} to {}", b.first_launch, b.last_launch), b.op);
    text += b.where.known() ? fmt::format("  {}:{}\n", b.where.file, b.where.line) : "\n";
  }
  return text + fmt::format("{} bytes in all; no plan needs fewer than {}\n", total_bytes, lower_bound);
}

}  // namespace kiln
