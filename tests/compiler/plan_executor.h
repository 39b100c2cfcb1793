// An independent executor of Plans: kernels run op by op through the vocabulary's eager kernels, contractions by the eager driver, memory
// exactly as the plan lays it out. What it computes must equal the interpreter bit for bit; whatever a launch may not overlap is checked.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/require.h"
#include "graph/interpret.h"
#include "ops/kernels/contraction.h"
#include "passes/kernel_spec.h"
#include "runtime/plan.h"

namespace kiln::testing {

/// Runs one plan once, on copies of the inputs.
class PlanExecutor {
 public:
  PlanExecutor(const runtime::Plan& plan, std::span<const graph::Value> inputs) : plan_(plan) {
    for (const graph::Value& v : inputs) {
      const runtime::Buffer buffer = v.buffer();
      Memory copy(static_cast<std::size_t>(v.shape().count()) * size_of(v.dtype()));
      if (!copy.empty()) std::memcpy(copy.data(), buffer.data(), copy.size());
      inputs_.push_back(std::move(copy));
      shapes_.push_back(v.shape());
    }
  }

  /// Results, then new states. Throws InternalError where the plan breaks a rule of memory.
  std::vector<graph::Value> run() {
    evaluate_dims();
    allocate();
    for (const runtime::Launch& launch : plan_.launches) {
      if (launch.kind == runtime::Launch::Kind::contraction) contract(launch);
      if (launch.kernel >= 0) run_kernel(launch);
    }
    std::vector<graph::Value> results;
    for (std::size_t i = 0; i < plan_.outputs.size(); ++i) results.push_back(result(i));
    return results;
  }

 private:
  using Memory = std::vector<std::byte>;
  struct Region {
    std::byte* data = nullptr;
    std::size_t bytes = 0;
    bool overlaps(const Region& o) const { return data < o.data + o.bytes && o.data < data + bytes && bytes > 0 && o.bytes > 0; }
  };
  static constexpr std::byte kPoison{0xff};
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  void evaluate_dims() {
    using Op = runtime::DimExpr::Op;
    for (const runtime::DimExpr& e : plan_.dims) {
      std::int64_t value = e.a;
      if (e.op == Op::input_dim) value = shapes_[at(e.a)][e.b];
      if (e.op == Op::add) value = dims_[at(e.a)] + dims_[at(e.b)];
      if (e.op == Op::mul) value = dims_[at(e.a)] * dims_[at(e.b)];
      if (e.op == Op::max) value = std::max(dims_[at(e.a)], dims_[at(e.b)]);
      if (e.op == Op::floordiv) value = std::int64_t{floordiv(Dim(dims_[at(e.a)]), Dim(dims_[at(e.b)]))};
      dims_.push_back(value);
    }
    for (const auto& [a, b] : plan_.equal_dims) KILN_ASSERT(dims_[at(a)] == dims_[at(b)], "lengths differ at entry");
  }

  Shape shape(std::span<const runtime::DimId> ids) const {
    std::vector<std::int64_t> sizes;
    for (runtime::DimId id : ids) sizes.push_back(dims_[at(id)]);
    return Shape(sizes);
  }

  void allocate() {
    arena_.assign(plan_.arena_bytes < 0 ? 0 : at(dims_[at(plan_.arena_bytes)]), kPoison);
    for (const runtime::PlanOutput& o : plan_.outputs) {
      outputs_.emplace_back(at(shape(o.type.shape).count()) * size_of(o.type.dtype), kPoison);
    }
  }

  static Region whole(Memory& m) { return {m.data(), m.size()}; }

  Region output_region(std::size_t i) {
    const runtime::PlanOutput& o = plan_.outputs[i];
    using Source = runtime::PlanOutput::Source;
    switch (o.source) {
      case Source::input:
        return whole(inputs_[at(o.index)]);
      case Source::output:
        return output_region(at(o.index));
      case Source::constant:
        return constant(o.index);
      case Source::fresh:
        break;
    }
    return o.in_place ? whole(inputs_[at(o.state_input)]) : whole(outputs_[i]);
  }

  Region constant(std::int32_t index) {
    const Memory& bytes = *plan_.constants[at(index)].bytes;
    return {const_cast<std::byte*>(bytes.data()), bytes.size()};
  }

  Region region(const runtime::ArgRef& ref) {
    using Where = runtime::ArgRef::Where;
    switch (ref.where) {
      case Where::input:
        return whole(inputs_[at(ref.index)]);
      case Where::output:
        return output_region(at(ref.index));
      case Where::constant:
        return constant(ref.index);
      case Where::view: {
        const runtime::PlanView& view = plan_.views[at(ref.index)];
        const Region of = region(view.of);
        const std::size_t offset = at(dims_[at(view.offset)]), bytes = at(dims_[at(view.bytes)]);
        KILN_ASSERT(offset + bytes <= of.bytes, "a view outside of what it is of");
        return {of.data + offset, bytes};
      }
      case Where::arena:
        break;
    }
    const runtime::ArenaSlot& slot = plan_.arena[at(ref.index)];
    const std::size_t offset = at(dims_[at(slot.offset)]), bytes = at(dims_[at(slot.bytes)]);
    KILN_ASSERT(offset % 64 == 0 && offset + bytes <= arena_.size(), "a slot outside of the arena");
    return {arena_.data() + offset, bytes};
  }

  graph::Value result(std::size_t i) {
    const runtime::PlanOutput& o = plan_.outputs[i];
    const Region r = output_region(i);
    runtime::Buffer buffer = runtime::Buffer::allocate(r.bytes);
    if (r.bytes > 0) std::memcpy(buffer.data(), r.data, r.bytes);
    return graph::Value::eager({o.type.dtype, shape(o.type.shape)}, buffer);
  }

  // ---- kernels ----

  void run_kernel(const runtime::Launch& launch) {
    const runtime::KernelSpec& spec = plan_.kernels[at(launch.kernel)];
    KILN_ASSERT(launch.args.size() == at(spec.num_inputs) + spec.outputs.size(), "arguments of a launch");
    KILN_ASSERT(launch.dims.size() == at(spec.num_dims), "lengths of a launch");
    for (auto [dim, value] : spec.constant_dims) KILN_ASSERT(dims_[at(launch.dims[at(dim)])] == value, "a constant length");
    std::vector<Region> args;
    for (const runtime::ArgRef& ref : launch.args) args.push_back(region(ref));
    check_overlap(spec, args);
    std::vector<Memory> values(spec.body.size());
    std::vector<ops::View> views;
    for (std::size_t i = 0; i < spec.body.size(); ++i) {
      const runtime::BodyNode& node = spec.body[i];
      std::vector<runtime::DimId> ids;
      for (std::int32_t d : node.shape) ids.push_back(launch.dims[at(d)]);
      const Shape s = shape(ids);
      const std::size_t bytes = at(s.count()) * size_of(node.dtype);
      if (node.op.empty()) {
        KILN_ASSERT(args[i].bytes == bytes, "argument {} has {} bytes, the kernel reads {}", i, args[i].bytes, bytes);
        views.push_back({args[i].data, node.dtype, s});
        continue;
      }
      values[i].assign(bytes, kPoison);
      views.push_back({values[i].data(), node.dtype, s});
      run_node(node, views);
    }
    for (std::size_t o = 0; o < spec.outputs.size(); ++o) {
      const Region& to = args[at(spec.num_inputs) + o];
      const Memory& from = values[at(spec.outputs[o])];
      KILN_ASSERT(to.bytes == from.size(), "output {} has {} bytes, the kernel writes {}", o, to.bytes, from.size());
      if (!from.empty()) std::memcpy(to.data, from.data(), from.size());
    }
  }

  static void run_node(const runtime::BodyNode& node, std::span<const ops::View> views) {
    std::vector<ops::View> operands;
    std::vector<TensorType> types;
    std::vector<Shape> shapes;
    for (std::int32_t o : node.operands) {
      operands.push_back(views[at(o)]);
      types.push_back({views[at(o)].dtype, views[at(o)].shape});
      shapes.push_back(views[at(o)].shape);
    }
    const ops::OpDef& op = ops::op(node.op);
    const Attrs attrs = passes::full_attrs(node, views.back().shape, shapes);
    const TensorType type = op.infer(op, types, attrs);
    KILN_ASSERT(type == (TensorType{node.dtype, views.back().shape}), "{} gives {}, the kernel says {}{}", node.op, type.str(),
                name(node.dtype), views.back().shape.str());
    op.kernel(op, operands, views.back(), attrs);
  }

  /// An output overlaps no other argument, unless it is exactly an input that the kernel lets it be.
  static void check_overlap(const runtime::KernelSpec& spec, const std::vector<Region>& args) {
    const auto inputs = at(spec.num_inputs);
    for (std::size_t o = inputs; o < args.size(); ++o) {
      for (std::size_t a = 0; a < args.size(); ++a) {
        if (a == o || !args[o].overlaps(args[a])) continue;
        const std::pair<std::int32_t, std::int32_t> pair(static_cast<std::int32_t>(o - inputs), static_cast<std::int32_t>(a));
        const bool allowed = a < inputs && std::find(spec.aliases.begin(), spec.aliases.end(), pair) != spec.aliases.end();
        KILN_ASSERT(allowed && args[o].data == args[a].data, "output {} overlaps argument {}", o - inputs, a);
      }
    }
  }

  // ---- contractions ----

  using Loops = std::vector<runtime::PlanContraction::Loop>;

  void contract(const runtime::Launch& launch) {
    const Region lhs = region(launch.lhs), rhs = region(launch.rhs), out = region(launch.out);
    KILN_ASSERT(!out.overlaps(lhs) && !out.overlaps(rhs), "a product overlaps an operand");
    check_epilogue(launch, lhs, rhs, out);
    contract_on(launch.contraction, lhs, rhs, out);
  }

  /// Tiles are finished one by one: the epilogue of the first runs before the product of the last.
  void check_epilogue(const runtime::Launch& launch, const Region& lhs, const Region& rhs, const Region& out) {
    if (launch.kernel < 0 || out.bytes == 0) return;
    const auto inputs = at(plan_.kernels[at(launch.kernel)].num_inputs);
    for (std::size_t a = 0; a < launch.args.size(); ++a) {
      const Region arg = region(launch.args[a]);
      if (a >= inputs) KILN_ASSERT(!arg.overlaps(lhs) && !arg.overlaps(rhs), "an epilogue's output overlaps an operand");
      KILN_ASSERT(!arg.overlaps(out) || arg.data == out.data, "an epilogue's argument overlaps the product");
    }
    check_row_major(launch.contraction);
    const auto is_product = [&](const runtime::ArgRef& ref) { return region(ref).data == out.data; };
    KILN_ASSERT(std::count_if(launch.args.begin(), launch.args.begin() + static_cast<std::ptrdiff_t>(inputs), is_product) == 1,
                "an epilogue reads the product once, and nothing else lies there");
  }

  /// Tiles are rectangles of (batch, row) x col.
  void check_row_major(const runtime::PlanContraction& c) const {
    std::int64_t stride = 1;
    for (const Loops* loops : {&c.col, &c.row, &c.batch}) {
      for (std::size_t i = loops->size(); i-- > 0;) {
        const auto& loop = (*loops)[i];
        KILN_ASSERT(dims_[at(loop.out_stride)] == stride || dims_[at(loop.extent)] == 1, "a product with an epilogue is not row-major");
        stride *= dims_[at(loop.extent)];
      }
    }
  }

  /// The eager driver on the plan's loops and strides, and its lengths as evaluated here.
  void contract_on(const runtime::PlanContraction& from, const Region& lhs, const Region& rhs, const Region& out) const {
    Contraction c;
    c.dtype = from.dtype;
    c.num_batch = bind(from.batch, c.batch);
    c.num_row = bind(from.row, c.row);
    c.num_col = bind(from.col, c.col);
    c.num_depth = bind(from.depth, c.depth);
    for (const auto& w : from.windows) {
      c.windows[at(c.num_windows++)] = {
          w.row, w.depth, dims_[at(w.extent)], dims_[at(w.lhs_stride)], w.stride, w.rhs_dilation, w.lhs_dilation, w.padding_low, w.reverse};
    }
    ops::run_contraction({.problem = &c, .lhs = lhs.data, .rhs = rhs.data, .out = out.data});
  }

  int bind(const Loops& from, std::array<ContractionLoop, kMaxContractionLoops>& to) const {
    for (std::size_t i = 0; i < from.size(); ++i)
      to[i] = {dims_[at(from[i].extent)], dims_[at(from[i].lhs_stride)], dims_[at(from[i].rhs_stride)], dims_[at(from[i].out_stride)]};
    return static_cast<int>(from.size());
  }

  const runtime::Plan& plan_;
  std::vector<Memory> inputs_;
  std::vector<Shape> shapes_;
  std::vector<std::int64_t> dims_;
  Memory arena_;
  std::vector<Memory> outputs_;
};

}  // namespace kiln::testing
