// Plan as bytes, and the check that makes a plan from a file as safe to run as one from the compiler.
#include "runtime/plan.h"

#include "runtime/serialize.h"

namespace kiln::runtime {
namespace {

constexpr std::uint32_t kVersion = 3;
constexpr const char* kWhat = "a cached plan";

template <class A, class B>
auto write_pair(ByteWriter& out, const std::pair<A, B>& p) {
  out.put(p.first);
  out.put(p.second);
}

void write_ref(ByteWriter& out, const ArgRef& ref) {
  out.put(ref.where);
  out.put(ref.index);
}

ArgRef read_ref(ByteReader& in) {
  ArgRef ref;
  ref.where = in.get_enum(ArgRef::Where::view);
  ref.index = in.get<std::int32_t>();
  return ref;
}

void write_tensor(ByteWriter& out, const PlanTensor& tensor) {
  out.put(tensor.dtype);
  write_numbers(out, tensor.shape);
}

PlanTensor read_tensor(ByteReader& in) {
  PlanTensor tensor;
  tensor.dtype = in.get_enum(DType::float64);
  tensor.shape = read_numbers<DimId>(in);
  return tensor;
}

void write_output(ByteWriter& out, const PlanOutput& output) {
  write_tensor(out, output.type);
  out.put(output.source);
  out.put(output.index);
  out.put(output.state_input);
  out.put(output.in_place);
}

PlanOutput read_output(ByteReader& in) {
  PlanOutput output;
  output.type = read_tensor(in);
  output.source = in.get_enum(PlanOutput::Source::constant);
  output.index = in.get<std::int32_t>();
  output.state_input = in.get<std::int32_t>();
  output.in_place = in.get<bool>();
  return output;
}

void write_dim(ByteWriter& out, const DimExpr& dim) {
  out.put(dim.op);
  out.put(dim.a);
  out.put(dim.b);
}

DimExpr read_dim(ByteReader& in) {
  DimExpr dim;
  dim.op = in.get_enum(DimExpr::Op::max);
  dim.a = in.get<std::int64_t>();
  dim.b = in.get<std::int64_t>();
  return dim;
}

void write_loop(ByteWriter& out, const PlanContraction::Loop& loop) {
  for (DimId id : {loop.extent, loop.lhs_stride, loop.rhs_stride, loop.out_stride}) out.put(id);
}

PlanContraction::Loop read_loop(ByteReader& in) {
  PlanContraction::Loop loop{};
  for (DimId* id : {&loop.extent, &loop.lhs_stride, &loop.rhs_stride, &loop.out_stride}) *id = in.get<DimId>();
  return loop;
}

void write_window(ByteWriter& out, const PlanContraction::Window& w) {
  for (std::int32_t id : {w.row, w.depth, w.extent, w.lhs_stride}) out.put(id);
  for (std::int64_t n : {w.stride, w.rhs_dilation, w.lhs_dilation, w.padding_low}) out.put(n);
  out.put(w.reverse);
}

PlanContraction::Window read_window(ByteReader& in) {
  PlanContraction::Window w{};
  for (std::int32_t* id : {&w.row, &w.depth, &w.extent, &w.lhs_stride}) *id = in.get<std::int32_t>();
  for (std::int64_t* n : {&w.stride, &w.rhs_dilation, &w.lhs_dilation, &w.padding_low}) *n = in.get<std::int64_t>();
  w.reverse = in.get<bool>();
  return w;
}

void write_launch(ByteWriter& out, const Launch& launch) {
  out.put(launch.kind);
  out.put(launch.kernel);
  write_list(out, launch.args, write_ref);
  write_numbers(out, launch.dims);
  out.put(launch.first_ordinal);
  if (launch.kind != Launch::Kind::contraction) return;
  const PlanContraction& c = launch.contraction;
  out.put(c.dtype);
  out.put(c.relaxed);
  for (const auto* loops : {&c.batch, &c.row, &c.col, &c.depth}) write_list(out, *loops, write_loop);
  write_list(out, c.windows, write_window);
  for (const ArgRef* ref : {&launch.lhs, &launch.rhs, &launch.out}) write_ref(out, *ref);
  write_numbers(out, launch.micro_kernels);
}

Launch read_launch(ByteReader& in) {
  Launch launch;
  launch.kind = in.get_enum(Launch::Kind::contraction);
  launch.kernel = in.get<std::int32_t>();
  launch.args = read_list<ArgRef>(in, read_ref);
  launch.dims = read_numbers<DimId>(in);
  launch.first_ordinal = in.get<std::int32_t>();
  if (launch.kind != Launch::Kind::contraction) return launch;
  PlanContraction& c = launch.contraction;
  c.dtype = in.get_enum(DType::float64);
  c.relaxed = in.get<bool>();
  for (auto* loops : {&c.batch, &c.row, &c.col, &c.depth}) *loops = read_list<PlanContraction::Loop>(in, read_loop);
  c.windows = read_list<PlanContraction::Window>(in, read_window);
  for (ArgRef* ref : {&launch.lhs, &launch.rhs, &launch.out}) *ref = read_ref(in);
  launch.micro_kernels = read_numbers<std::int32_t>(in);
  return launch;
}

/// Compares every index of a plan with what it indexes.
class Checker {
 public:
  explicit Checker(const Plan& plan) : plan_(plan) {}

  void check() {
    for (std::size_t i = 0; i < plan_.dims.size(); ++i) check_dim(i);
    for (const PlanTensor& input : plan_.inputs) check_tensor(input);
    require(in_range(plan_.num_results, plan_.outputs.size() + 1), "a count of results out of range");
    for (std::size_t i = 0; i < plan_.outputs.size(); ++i) check_output(i);
    for (const ArenaSlot& slot : plan_.arena) {
      require_dim(slot.offset);
      require_dim(slot.bytes);
    }
    require(plan_.arena_bytes == -1 ? plan_.arena.empty() : in_range(plan_.arena_bytes, plan_.dims.size()), "an arena without a size");
    for (const PlanView& view : plan_.views) {
      require(view.of.where != ArgRef::Where::view, "a view of a view");
      check_ref(view.of);
      require_dim(view.offset);
      require_dim(view.bytes);
    }
    for (auto [a, b] : plan_.equal_dims) {
      require_dim(a);
      require_dim(b);
    }
    for (const Launch& launch : plan_.launches) check_launch(launch);
  }

 private:
  static bool in_range(std::int64_t index, std::size_t size) { return index >= 0 && static_cast<std::uint64_t>(index) < size; }
  static void require(bool good, const char* how) {
    if (!good) throw FileError(fmt::format("{} is damaged: {}", kWhat, how), user_location());
  }
  void require_dim(std::int64_t id) const { require(in_range(id, plan_.dims.size()), "a length out of range"); }

  void check_dim(std::size_t i) const {
    const DimExpr& dim = plan_.dims[i];
    if (dim.op == DimExpr::Op::constant) return;
    if (dim.op == DimExpr::Op::input_dim) {
      require(in_range(dim.a, plan_.inputs.size()), "a length of an unknown input");
      require(in_range(dim.b, plan_.inputs[static_cast<std::size_t>(dim.a)].shape.size()), "a length of an unknown axis");
      return;
    }
    require(in_range(dim.a, i) && in_range(dim.b, i), "a length computed from later ones");
  }

  void check_tensor(const PlanTensor& tensor) const {
    require(tensor.shape.size() <= static_cast<std::size_t>(kMaxRank), "too many axes");
    for (DimId id : tensor.shape) require_dim(id);
  }

  void check_output(std::size_t i) const {
    const PlanOutput& output = plan_.outputs[i];
    check_tensor(output.type);
    bool state = output.state_input != -1;
    require(!state || in_range(output.state_input, plan_.inputs.size()), "an unknown state input");
    require(!output.in_place || (state && output.source == PlanOutput::Source::fresh), "an output in place of nothing");
    switch (output.source) {
      case PlanOutput::Source::fresh:
        break;
      case PlanOutput::Source::input:
        require(in_range(output.index, plan_.inputs.size()), "an output of an unknown input");
        break;
      case PlanOutput::Source::output:
        require(in_range(output.index, i), "an output of a later output");
        break;
      case PlanOutput::Source::constant:
        require(in_range(output.index, plan_.constants.size()), "an output of an unknown constant");
        break;
    }
  }

  void check_ref(const ArgRef& ref) const {
    switch (ref.where) {
      case ArgRef::Where::input:
        require(in_range(ref.index, plan_.inputs.size()), "an argument of an unknown input");
        break;
      case ArgRef::Where::output:
        require(in_range(ref.index, plan_.outputs.size()), "an argument of an unknown output");
        break;
      case ArgRef::Where::arena:
        require(in_range(ref.index, plan_.arena.size()), "an argument outside the arena");
        break;
      case ArgRef::Where::constant:
        require(in_range(ref.index, plan_.constants.size()), "an argument of an unknown constant");
        break;
      case ArgRef::Where::view:
        require(in_range(ref.index, plan_.views.size()), "an argument of an unknown view");
        break;
    }
  }

  void check_kernel(const Launch& launch) const {
    const KernelSpec& spec = plan_.kernels[static_cast<std::size_t>(launch.kernel)];
    bool contraction = launch.kind == Launch::Kind::contraction;
    bool fits = contraction ? spec.kind == KernelKind::tile : spec.kind != KernelKind::tile && spec.kind != KernelKind::micro_kernel;
    require(fits, "a launch of the wrong kind of kernel");
    require(launch.args.size() == static_cast<std::size_t>(spec.num_inputs) + spec.outputs.size(),
            "a launch with the wrong number of arguments");
    require(launch.dims.size() == static_cast<std::size_t>(spec.num_dims), "a launch with the wrong number of lengths");
  }

  void check_contraction(const Launch& launch) const {
    const PlanContraction& c = launch.contraction;
    for (const auto* loops : {&c.batch, &c.row, &c.col, &c.depth}) {
      require(loops->size() <= static_cast<std::size_t>(kMaxContractionLoops), "too many loops");
      for (const PlanContraction::Loop& loop : *loops) {
        for (DimId id : {loop.extent, loop.lhs_stride, loop.rhs_stride, loop.out_stride}) require_dim(id);
      }
    }
    require(c.windows.size() <= std::tuple_size_v<decltype(Contraction::windows)>, "too many windows");
    for (const PlanContraction::Window& w : c.windows) {
      require(in_range(w.row, c.row.size()) && in_range(w.depth, c.depth.size()), "a window over unknown loops");
      require_dim(w.extent);
      require_dim(w.lhs_stride);
    }
    for (const ArgRef* ref : {&launch.lhs, &launch.rhs, &launch.out}) check_ref(*ref);
    for (std::int32_t kernel : launch.micro_kernels) {
      require(in_range(kernel, plan_.kernels.size()), "an unknown kernel");
      require(plan_.kernels[static_cast<std::size_t>(kernel)].kind == KernelKind::micro_kernel, "a launch of the wrong kind of kernel");
    }
  }

  void check_launch(const Launch& launch) const {
    bool epilogue_missing = launch.kind == Launch::Kind::contraction && launch.kernel == -1;
    require(epilogue_missing || in_range(launch.kernel, plan_.kernels.size()), "an unknown kernel");
    if (!epilogue_missing) check_kernel(launch);
    for (const ArgRef& ref : launch.args) check_ref(ref);
    for (DimId id : launch.dims) require_dim(id);
    require(in_range(launch.first_ordinal, plan_.op_nodes.size() + 1), "an unknown op");
    if (launch.kind == Launch::Kind::contraction) check_contraction(launch);
  }

  const Plan& plan_;
};

}  // namespace

void Plan::check() const { Checker(*this).check(); }

std::string Plan::serialize() const {
  ByteWriter out;
  out.put(kVersion);
  out.put_text(name);
  write_list(out, dims, write_dim);
  write_list(out, inputs, write_tensor);
  write_list(out, outputs, write_output);
  out.put(num_results);
  write_list(out, arena, [](ByteWriter& o, const ArenaSlot& slot) { write_pair(o, std::pair(slot.offset, slot.bytes)); });
  out.put(arena_bytes);
  write_list(out, constants, write_literal);
  write_list(out, views, [](ByteWriter& o, const PlanView& view) {
    write_ref(o, view.of);
    write_pair(o, std::pair(view.offset, view.bytes));
  });
  write_list(out, kernels, [](ByteWriter& o, const KernelSpec& spec) { o.put_text(spec.serialize()); });
  write_list(out, launches, write_launch);
  write_list(out, equal_dims, write_pair<DimId, DimId>);
  write_list(out, op_nodes, [](ByteWriter& o, const std::pair<std::string, std::int32_t>& op) {
    o.put_text(op.first);
    o.put(op.second);
  });
  return out.take();
}

Plan Plan::deserialize(std::string_view bytes) {
  ByteReader in(bytes, kWhat);
  if (in.get<std::uint32_t>() != kVersion) in.fail("another version");
  Plan plan;
  plan.name = in.get_text();
  plan.dims = read_list<DimExpr>(in, read_dim);
  plan.inputs = read_list<PlanTensor>(in, read_tensor);
  plan.outputs = read_list<PlanOutput>(in, read_output);
  plan.num_results = in.get<std::int32_t>();
  plan.arena = read_list<ArenaSlot>(in, [](ByteReader& i) {
    auto offset = i.get<DimId>();
    return ArenaSlot{offset, i.get<DimId>()};
  });
  plan.arena_bytes = in.get<DimId>();
  plan.constants = read_list<Literal>(in, read_literal);
  plan.views = read_list<PlanView>(in, [](ByteReader& i) {
    PlanView view{.of = read_ref(i)};
    view.offset = i.get<DimId>();
    view.bytes = i.get<DimId>();
    return view;
  });
  plan.kernels = read_list<KernelSpec>(in, [](ByteReader& i) { return KernelSpec::deserialize(i.get_text()); });
  plan.launches = read_list<Launch>(in, read_launch);
  plan.equal_dims = read_list<std::pair<DimId, DimId>>(in, [](ByteReader& i) {
    auto a = i.get<DimId>();
    return std::pair(a, i.get<DimId>());
  });
  plan.op_nodes = read_list<std::pair<std::string, std::int32_t>>(in, [](ByteReader& i) {
    std::string op(i.get_text());
    return std::pair(op, i.get<std::int32_t>());
  });
  in.expect_end();
  plan.check();
  return plan;
}

}  // namespace kiln::runtime
