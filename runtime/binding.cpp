// Evaluates a plan's lengths for given input shapes.
#include "runtime/binding.h"

#include <algorithm>

#include "base/require.h"

namespace kiln::runtime {
namespace {

using Values = std::vector<std::int64_t>;

std::int64_t evaluate(const DimExpr& dim, const Values& values, std::span<const Shape> inputs) {
  if (dim.op == DimExpr::Op::constant) return dim.a;
  if (dim.op == DimExpr::Op::input_dim) return inputs[static_cast<std::size_t>(dim.a)][dim.b];
  Dim a = values[static_cast<std::size_t>(dim.a)];
  Dim b = values[static_cast<std::size_t>(dim.b)];
  switch (dim.op) {
    case DimExpr::Op::add:
      return a + b;
    case DimExpr::Op::mul:
      return a * b;
    case DimExpr::Op::floordiv:
      return floordiv(a, b);
    default:
      return max(a, b);
  }
}

class Binder {
 public:
  Binder(const Plan& plan, const PlanCode& code, std::span<const Shape> inputs, const InputNamer* namer)
      : plan_(plan), code_(code), layout_(plan), inputs_(inputs), namer_(namer) {}

  std::unique_ptr<const Binding> bind() {
    check_ranks();
    values_ = evaluate_dims(plan_, inputs_);
    check_equal_dims();
    check_shapes();
    check_lengths();
    auto binding = std::make_unique<Binding>();
    binding->inputs.assign(inputs_.begin(), inputs_.end());
    for (const PlanOutput& output : plan_.outputs) {
      Shape shape = shape_of(output.type);
      binding->outputs.push_back({shape, bytes_of(output.type.dtype, shape)});
    }
    bind_arena(*binding);
    bind_views(*binding);
    for (std::size_t i = 0; i < plan_.launches.size(); ++i) binding->launches.push_back(bind_launch(i));
    return binding;
  }

 private:
  std::int64_t value(DimId id) const { return values_[static_cast<std::size_t>(id)]; }

  Values values_of(const std::vector<DimId>& ids) const {
    Values result;
    for (DimId id : ids) result.push_back(value(id));
    return result;
  }

  Shape shape_of(const PlanTensor& tensor) const { return Shape(values_of(tensor.shape)); }

  std::size_t bytes_of(DType dtype, const Shape& shape) const {
    bool negative = std::any_of(shape.begin(), shape.end(), [](Dim d) { return d.value_or(0) < 0; });
    KILN_REQUIRE(!negative, ShapeError, "{}: a result would have the shape {}", plan_.name, shape.str());
    return static_cast<std::size_t>(shape.elements().value_or(0)) * size_of(dtype);
  }

  void check_ranks() const {
    KILN_REQUIRE(inputs_.size() == plan_.inputs.size(), ShapeError, "{}: {} inputs given, {} expected", plan_.name, inputs_.size(),
                 plan_.inputs.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      std::size_t rank = plan_.inputs[i].shape.size();
      KILN_REQUIRE(inputs_[i].size() == rank, ShapeError, "{}: input {} has the shape {}, of rank {}; the compiled code is for rank {}",
                   plan_.name, i, inputs_[i].str(), inputs_[i].rank(), rank);
    }
  }

  void check_shapes() const {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      Shape expected = shape_of(plan_.inputs[i]);
      KILN_REQUIRE(inputs_[i] == expected, ShapeError, "{}: input {} has the shape {}; the compiled code is for {}", plan_.name, i,
                   inputs_[i].str(), expected.str());
    }
  }

  std::string describe(DimId id) const {
    const DimExpr& dim = plan_.dims[static_cast<std::size_t>(id)];
    if (dim.op == DimExpr::Op::input_dim) return fmt::format("axis {} of {} ({})", dim.b, input(dim.a), value(id));
    return fmt::format("a computed length ({})", value(id));
  }

  std::string input(std::int64_t i) const {
    const std::string name = namer_ != nullptr && *namer_ ? (*namer_)(static_cast<std::int32_t>(i)) : "";
    return name.empty() ? fmt::format("input {}", i) : fmt::format("\"{}\"", name);
  }

  void check_equal_dims() const {
    for (auto [a, b] : plan_.equal_dims) {
      KILN_REQUIRE(value(a) == value(b), ShapeError, "{}: {} and {} must be equal", plan_.name, describe(a), describe(b));
    }
  }

  /// A window may be longer than what it slides over, now that the lengths are known.
  void check_lengths() const {
    for (const Launch& launch : plan_.launches) {
      check_lengths(launch.dims);
      for (const auto* loops : {&launch.contraction.batch, &launch.contraction.row, &launch.contraction.col, &launch.contraction.depth}) {
        for (const PlanContraction::Loop& loop : *loops) check_lengths({loop.extent});
      }
    }
  }
  void check_lengths(const std::vector<DimId>& ids) const {
    for (DimId id : ids) {
      KILN_REQUIRE(value(id) >= 0, ShapeError, "{}: with inputs of these shapes an axis of an intermediate result would have length {}",
                   plan_.name, value(id));
    }
  }

  void bind_arena(Binding& binding) const {
    if (plan_.arena_bytes == -1) return;
    std::int64_t total = value(plan_.arena_bytes);
    for (const ArenaSlot& slot : plan_.arena) {
      std::int64_t offset = value(slot.offset);
      std::int64_t bytes = value(slot.bytes);
      KILN_ASSERT(offset >= 0 && bytes >= 0 && offset <= total && bytes <= total - offset, "{}: slot [{}, +{}) outside an arena of {}",
                  plan_.name, offset, bytes, total);
      binding.arena_offsets.push_back(offset);
    }
    binding.arena_bytes = static_cast<std::size_t>(total);
  }

  void bind_views(Binding& binding) const {
    for (const PlanView& view : plan_.views) binding.views.push_back({layout_.slot(view.of), value(view.offset)});
  }

  BoundLaunch bind_launch(std::size_t index) const {
    const Launch& launch = plan_.launches[index];
    BoundLaunch bound;
    bound.entry = launch.kernel == -1 ? nullptr : code_.entries[static_cast<std::size_t>(launch.kernel)];
    for (const ArgRef& ref : launch.args) bound.slots.push_back(layout_.slot(ref));
    bound.dims = values_of(launch.dims);
    bound.first_ordinal = launch.first_ordinal;
    if (launch.kind == Launch::Kind::contraction) {
      bound.contraction = std::make_unique<const Contraction>(bind_contraction(launch.contraction));
      bound.lhs = layout_.slot(launch.lhs);
      bound.rhs = layout_.slot(launch.rhs);
      bound.out = layout_.slot(launch.out);
      bound.product = product(launch, bound);
      bound.micro_kernels = code_.micro_kernels[index];
    }
    return bound;
  }

  /// Memory of the arena that no output of the epilogue shares holds nothing that others read.
  std::int32_t product(const Launch& launch, const BoundLaunch& bound) const {
    if (launch.kernel == -1 || launch.out.where != ArgRef::Where::arena) return -1;
    if (std::count(bound.slots.begin(), bound.slots.end(), bound.out) != 1) return -1;
    const auto at = static_cast<std::int32_t>(std::find(bound.slots.begin(), bound.slots.end(), bound.out) - bound.slots.begin());
    return at < plan_.kernels[static_cast<std::size_t>(launch.kernel)].num_inputs ? at : -1;
  }

  int bind_loops(const std::vector<PlanContraction::Loop>& loops, std::array<ContractionLoop, kMaxContractionLoops>& to) const {
    for (std::size_t i = 0; i < loops.size(); ++i) {
      to[i] = {value(loops[i].extent), value(loops[i].lhs_stride), value(loops[i].rhs_stride), value(loops[i].out_stride)};
    }
    return static_cast<int>(loops.size());
  }

  Contraction bind_contraction(const PlanContraction& from) const {
    Contraction c;
    c.dtype = from.dtype;
    c.relaxed = from.relaxed;
    c.num_batch = bind_loops(from.batch, c.batch);
    c.num_row = bind_loops(from.row, c.row);
    c.num_col = bind_loops(from.col, c.col);
    c.num_depth = bind_loops(from.depth, c.depth);
    for (const PlanContraction::Window& w : from.windows) {
      c.windows[static_cast<std::size_t>(c.num_windows++)] = {
          w.row, w.depth, value(w.extent), value(w.lhs_stride), w.stride, w.rhs_dilation, w.lhs_dilation, w.padding_low, w.reverse};
    }
    return c;
  }

  const Plan& plan_;
  const PlanCode& code_;
  SlotLayout layout_;
  std::span<const Shape> inputs_;
  const InputNamer* namer_;
  Values values_;
};

}  // namespace

SlotLayout::SlotLayout(const Plan& plan) {
  outputs = static_cast<std::int32_t>(plan.inputs.size());
  constants = outputs + static_cast<std::int32_t>(plan.outputs.size());
  arena = constants + static_cast<std::int32_t>(plan.constants.size());
  views = arena + static_cast<std::int32_t>(plan.arena.size());
  count = views + static_cast<std::int32_t>(plan.views.size());
}

std::int32_t SlotLayout::slot(const ArgRef& ref) const {
  switch (ref.where) {
    case ArgRef::Where::input:
      return ref.index;
    case ArgRef::Where::output:
      return outputs + ref.index;
    case ArgRef::Where::constant:
      return constants + ref.index;
    case ArgRef::Where::arena:
      return arena + ref.index;
    case ArgRef::Where::view:
      break;
  }
  return views + ref.index;
}

std::vector<std::int64_t> evaluate_dims(const Plan& plan, std::span<const Shape> inputs) {
  Values values;
  values.reserve(plan.dims.size());
  for (const DimExpr& dim : plan.dims) values.push_back(evaluate(dim, values, inputs));
  return values;
}

std::unique_ptr<const Binding> make_binding(const Plan& plan, const PlanCode& code, std::span<const Shape> inputs,
                                            const InputNamer* namer) {
  return Binder(plan, code, inputs, namer).bind();
}

}  // namespace kiln::runtime
