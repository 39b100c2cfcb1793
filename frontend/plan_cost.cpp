// Costs, memory and descriptions of a plan's launches.
#include "frontend/plan_cost.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/require.h"
#include "ops/op.h"
#include "runtime/binding.h"

namespace kiln::detail {

using runtime::ArgRef;
using runtime::BodyNode;
using runtime::KernelKind;
using runtime::KernelSpec;
using runtime::Launch;
using runtime::PlanContraction;

namespace {

/// What a launch reads and writes.
std::vector<ArgRef> references(const Launch& l) {
  std::vector<ArgRef> all = l.args;
  if (l.kind == Launch::Kind::contraction) all.insert(all.end(), {l.lhs, l.rhs, l.out});
  return all;
}

const char* kind_name(KernelKind kind) {
  switch (kind) {
    case KernelKind::loop:
      return "loop";
    case KernelKind::tile:
      return "tile";
    case KernelKind::reduce:
      return "reduce";
    case KernelKind::row:
      return "row";
    case KernelKind::scatter:
      return "scatter";
    case KernelKind::micro_kernel:
      break;
  }
  return "micro-kernel";
}

/// The op as a person calls it: a reduce by its kind.
std::string op_text(const BodyNode& node) {
  const bool reduces = node.op == "reduce" || node.op == "arg_reduce" || node.op == "window_reduce";
  return reduces ? fmt::format("{}-{}", node.op, node.attrs.get<std::string>("kind")) : node.op;
}

/// The ops of a body but those that only bring operands into shape, each once with its count: "mul*3 add tanh".
std::string ops_text(const KernelSpec& spec) {
  std::vector<std::pair<std::string, int>> counts;
  for (const BodyNode& node : spec.body) {
    if (node.op.empty() || node.op == "broadcast" || node.op == "constant" || node.op == "reshape") continue;
    const std::string text = op_text(node);
    auto known = std::find_if(counts.begin(), counts.end(), [&](const auto& c) { return c.first == text; });
    if (known == counts.end())
      counts.emplace_back(text, 1);
    else
      ++known->second;
  }
  std::string all;
  for (const auto& [op, count] : counts) all += (all.empty() ? "" : " ") + (count > 1 ? fmt::format("{}*{}", op, count) : op);
  return all.empty() ? "copy" : all;
}

}  // namespace

PlanCost::PlanCost(const graph::Graph& graph, const runtime::Plan& plan, std::span<const Shape> inputs)
    : graph_(graph), plan_(plan), values_(runtime::evaluate_dims(plan, inputs)) {}

std::int64_t PlanCost::flops(const Launch& l) const {
  std::int64_t total = l.kind == Launch::Kind::contraction ? contraction_flops(l.contraction) : 0;
  if (l.kernel >= 0) total += kernel_flops(plan_.kernels[static_cast<std::size_t>(l.kernel)], l);
  return total;
}

std::int64_t PlanCost::flops() const {
  std::int64_t total = 0;
  for (const Launch& l : plan_.launches) total += flops(l);
  return total;
}

std::int64_t PlanCost::bytes(const Launch& l) const {
  std::int64_t total = 0;
  // Two names of one place (an output written over an input's memory) are one tensor.
  std::set<std::tuple<int, std::int64_t, std::int64_t>> seen;
  for (const ArgRef& ref : references(l)) {
    const auto where = static_cast<int>(ref.where);
    const bool fresh = ref.where == ArgRef::Where::arena ? seen.emplace(where, slot(ref).first, slot(ref).second).second
                                                         : seen.emplace(where, ref.index, 0).second;
    if (fresh) total += bytes(ref);
  }
  return total;
}

std::int64_t PlanCost::footprint(const Launch& l) const {
  std::set<std::tuple<int, std::int64_t, std::int64_t>> seen;
  std::int64_t total = 0;
  for (ArgRef ref : references(l)) {
    if (ref.where == ArgRef::Where::output) {
      const runtime::PlanOutput& o = plan_.outputs[static_cast<std::size_t>(ref.index)];
      if (o.in_place) ref = {ArgRef::Where::input, o.state_input};
    }
    const auto where = static_cast<int>(ref.where);
    const bool arena = ref.where == ArgRef::Where::arena;
    if (seen.emplace(where, arena ? slot(ref).first : ref.index, arena ? slot(ref).second : 0).second) total += bytes(ref);
  }
  return total;
}

std::int64_t PlanCost::bytes_moved() const {
  std::int64_t total = 0;
  for (const Launch& l : plan_.launches) total += bytes(l);
  return total;
}

std::int64_t PlanCost::arena_bytes() const { return plan_.arena_bytes < 0 ? 0 : value(plan_.arena_bytes); }

std::int64_t PlanCost::output_bytes() const {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < plan_.outputs.size(); ++i) {
    const runtime::PlanOutput& o = plan_.outputs[i];
    if (o.source == runtime::PlanOutput::Source::fresh && !o.in_place) total += bytes({ArgRef::Where::output, static_cast<int>(i)});
  }
  return total;
}

std::int64_t PlanCost::constant_bytes() const {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < plan_.constants.size(); ++i) total += bytes({ArgRef::Where::constant, static_cast<int>(i)});
  return total;
}

MemoryPlan PlanCost::memory() const {
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

std::pair<std::int64_t, std::int64_t> PlanCost::slot(const ArgRef& ref) const {
  const runtime::ArenaSlot& s = plan_.arena[static_cast<std::size_t>(ref.index)];
  return {value(s.offset), value(s.bytes)};
}

std::int64_t PlanCost::tensor_bytes(const runtime::PlanTensor& t) const {
  auto total = static_cast<std::int64_t>(size_of(t.dtype));
  for (runtime::DimId id : t.shape) total *= value(id);
  return total;
}

std::int64_t PlanCost::bytes(const ArgRef& ref) const {
  const auto index = static_cast<std::size_t>(ref.index);
  switch (ref.where) {
    case ArgRef::Where::input:
      return tensor_bytes(plan_.inputs[index]);
    case ArgRef::Where::output:
      return tensor_bytes(plan_.outputs[index].type);
    case ArgRef::Where::arena:
      return slot(ref).second;
    case ArgRef::Where::view:
      return value(plan_.views[index].bytes);
    case ArgRef::Where::constant:
      break;
  }
  const TensorType& type = plan_.constants[index].type;
  return type.shape.count() * static_cast<std::int64_t>(size_of(type.dtype));
}

std::int64_t PlanCost::contraction_flops(const PlanContraction& c) const {
  if (!is_floating(c.dtype)) return 0;
  std::int64_t product = 2;
  for (const auto* loops : {&c.batch, &c.row, &c.col, &c.depth}) {
    for (const PlanContraction::Loop& loop : *loops) product *= value(loop.extent);
  }
  return product;
}

std::int64_t PlanCost::elements(const BodyNode& node, const Launch& l) const {
  std::int64_t count = 1;
  for (std::int32_t d : node.shape) count *= value(l.dims[static_cast<std::size_t>(d)]);
  return count;
}

std::int64_t PlanCost::kernel_flops(const KernelSpec& spec, const Launch& l) const {
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

std::string PlanCost::describe_contraction(const PlanContraction& c) const {
  auto product = [&](const std::vector<PlanContraction::Loop>& loops) {
    std::int64_t total = 1;
    for (const PlanContraction::Loop& loop : loops) total *= value(loop.extent);
    return total;
  };
  std::string text = fmt::format("contract {}x{}x{}", product(c.row), product(c.col), product(c.depth));
  if (product(c.batch) > 1) text += fmt::format(" batch {}", product(c.batch));
  std::string taps;
  for (const PlanContraction::Window& w : c.windows) {
    taps += fmt::format("{}{}", taps.empty() ? "" : "x", value(c.depth[static_cast<std::size_t>(w.depth)].extent));
  }
  if (!taps.empty()) text += " window " + taps;
  return c.dtype == DType::float32 ? text : fmt::format("{} {}", text, name(c.dtype));
}

std::string PlanCost::shape_text(const BodyNode& node, const Launch& l) const {
  std::string text;
  for (std::int32_t d : node.shape) text += fmt::format("{}{}", text.empty() ? "" : ", ", value(l.dims[static_cast<std::size_t>(d)]));
  return "[" + text + "]";
}

std::string PlanCost::describe(const Launch& l) const {
  const bool contracts = l.kind == Launch::Kind::contraction;
  if (contracts && l.kernel < 0) return describe_contraction(l.contraction);
  const KernelSpec& spec = plan_.kernels[static_cast<std::size_t>(l.kernel)];
  if (contracts) return fmt::format("{}; {}", describe_contraction(l.contraction), ops_text(spec));
  const BodyNode* largest = nullptr;
  for (const BodyNode& node : spec.body) {
    if (largest == nullptr || elements(node, l) > elements(*largest, l)) largest = &node;
  }
  return fmt::format("{} {} {}", kind_name(spec.kind), largest == nullptr ? "" : shape_text(*largest, l), ops_text(spec));
}

std::pair<std::size_t, std::size_t> PlanCost::ops_of(std::size_t launch) const {
  const auto begin = static_cast<std::size_t>(plan_.launches[launch].first_ordinal);
  const bool last = launch + 1 == plan_.launches.size();
  return {begin, last ? plan_.op_nodes.size() : static_cast<std::size_t>(plan_.launches[launch + 1].first_ordinal)};
}

Loc PlanCost::where(std::size_t launch) const {
  const auto [begin, end] = ops_of(launch);
  Loc found;
  for (std::size_t i = begin; i < end; ++i) {
    const auto& [op, node] = plan_.op_nodes[i];
    if (node < 0 || node >= static_cast<std::int32_t>(graph_.nodes().size())) continue;
    const Loc loc = graph_.node(node).loc;
    if (loc.known()) found = loc;
    if (op == "contract" && loc.known()) return loc;
  }
  return found;
}

MemoryBlock PlanCost::block(int index, std::int64_t offset, std::int64_t size) const {
  MemoryBlock b{offset, size, -1, -1, "", {}};
  for (std::size_t l = 0; l < plan_.launches.size(); ++l) {
    const std::vector<ArgRef> all = references(plan_.launches[l]);
    const bool used = std::any_of(all.begin(), all.end(), [&](const ArgRef& r) {
      const ArgRef& whole = r.where == ArgRef::Where::view ? plan_.views[static_cast<std::size_t>(r.index)].of : r;
      return whole.where == ArgRef::Where::arena && whole.index == index;
    });
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
void PlanCost::name_maker(std::size_t launch, MemoryBlock& b) const {
  const auto [begin, end] = ops_of(launch);
  if (end <= begin) return;
  const auto& [op, node] = plan_.op_nodes[end - 1];
  b.op = op;
  if (node >= 0) b.where = graph_.node(node).loc;
}

}  // namespace kiln::detail
