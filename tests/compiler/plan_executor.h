// An independent executor of Plans: kernels run op by op through the vocabulary's eager kernels, contractions by plain loops, memory
// exactly as the plan lays it out. What it computes must equal the interpreter bit for bit; whatever a launch may not overlap is checked.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/require.h"
#include "base/target.h"
#include "graph/interpret.h"
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

  struct Counter {
    std::vector<std::int64_t> extents, index;
    explicit Counter(std::vector<std::int64_t> n) : extents(std::move(n)), index(extents.size(), 0) {}
    bool empty() const { return std::find(extents.begin(), extents.end(), 0) != extents.end(); }
    bool next() {
      for (std::size_t i = extents.size(); i-- > 0;) {
        if (++index[i] < extents[i]) return true;
        index[i] = 0;
      }
      return false;
    }
  };

  using Loops = std::vector<runtime::PlanContraction::Loop>;

  Counter counter(const Loops& loops) const {
    std::vector<std::int64_t> extents;
    for (const auto& l : loops) extents.push_back(dims_[at(l.extent)]);
    return Counter(extents);
  }

  template <class Stride>
  std::int64_t offset(const Loops& loops, const Counter& c, Stride stride) const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < loops.size(); ++i) sum += c.index[i] * dims_[at(loops[i].*stride)];
    return sum;
  }

  void contract(const runtime::Launch& launch) {
    const Region lhs = region(launch.lhs), rhs = region(launch.rhs), out = region(launch.out);
    KILN_ASSERT(!out.overlaps(lhs) && !out.overlaps(rhs), "a product overlaps an operand");
    check_epilogue(launch, lhs, rhs, out);
    visit_dtype(launch.contraction.dtype, [&]<class T>(std::type_identity<T>) {
      contract_as(launch.contraction, reinterpret_cast<const T*>(lhs.data), reinterpret_cast<const T*>(rhs.data),
                  reinterpret_cast<T*>(out.data));
    });
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

  template <class T>
  void contract_as(const runtime::PlanContraction& c, const T* lhs, const T* rhs, T* out) const {
    using Loop = runtime::PlanContraction::Loop;
    Counter batch = counter(c.batch), row = counter(c.row), col = counter(c.col);
    if (batch.empty() || row.empty() || col.empty()) return;
    do {
      do {
        do {
          const std::int64_t l = offset(c.batch, batch, &Loop::lhs_stride) + offset(c.row, row, &Loop::lhs_stride);
          const std::int64_t r = offset(c.batch, batch, &Loop::rhs_stride) + offset(c.col, col, &Loop::rhs_stride);
          const std::int64_t o =
              offset(c.batch, batch, &Loop::out_stride) + offset(c.row, row, &Loop::out_stride) + offset(c.col, col, &Loop::out_stride);
          out[o] = element(c, lhs + l, rhs + r, row);
        } while (col.next());
      } while (row.next());
    } while (batch.next());
  }

  template <class T>
  T element(const runtime::PlanContraction& c, const T* lhs, const T* rhs, const Counter& row) const {
    using Loop = runtime::PlanContraction::Loop;
    Counter depth = counter(c.depth);
    auto sum = zero<T>();
    if (depth.empty()) return store<T>(sum);
    do {
      std::int64_t l = offset(c.depth, depth, &Loop::lhs_stride), r = offset(c.depth, depth, &Loop::rhs_stride);
      bool inside = true, hole = false;
      for (const auto& w : c.windows) {
        const std::int64_t tap = depth.index[at(w.depth)], taps = dims_[at(c.depth[at(w.depth)].extent)];
        const std::int64_t position = row.index[at(w.row)] * w.stride + tap * w.rhs_dilation - w.padding_low;
        if (w.reverse) r += (taps - 1 - 2 * tap) * dims_[at(c.depth[at(w.depth)].rhs_stride)];
        const std::int64_t last = (dims_[at(w.extent)] - 1) * w.lhs_dilation;
        if (position % w.lhs_dilation != 0)
          hole = true;
        else if (position < 0 || position > last)
          inside = false;
        else
          l += position / w.lhs_dilation * dims_[at(w.lhs_stride)];
      }
      if (hole) continue;
      sum = step(inside ? load(lhs[l]) : zero<T>(), load(rhs[r]), sum);
    } while (depth.next());
    return store<T>(sum);
  }

  static float load(float16 x) { return to_float(x); }
  static float load(bfloat16 x) { return to_float(x); }
  template <class T>
  static T load(T x) {
    return x;
  }
  template <class T>
  static auto zero() {
    return decltype(load(T{})){};
  }
  template <class T, class A>
  static T store(A sum) {
    if constexpr (std::same_as<T, float16>)
      return to_float16(sum);
    else if constexpr (std::same_as<T, bfloat16>)
      return to_bfloat16(sum);
    else
      return static_cast<T>(sum);
  }
  template <class A>
  static A step(A a, A b, A sum) {
    if constexpr (std::is_floating_point_v<A>) {
      return current_target().has_fma() ? std::fma(a, b, sum) : sum + a * b;
    } else {
      using U = std::uint64_t;
      return static_cast<A>(static_cast<U>(a) * static_cast<U>(b) + static_cast<U>(sum));
    }
  }

  const runtime::Plan& plan_;
  std::vector<Memory> inputs_;
  std::vector<Shape> shapes_;
  std::vector<std::int64_t> dims_;
  Memory arena_;
  std::vector<Memory> outputs_;
};

}  // namespace kiln::testing
