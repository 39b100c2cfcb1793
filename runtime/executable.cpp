// Loads a plan's kernels and runs its launches.
#include "runtime/executable.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <tuple>

#include "base/float_environment.h"
#include "base/require.h"
#include "base/thread_pool.h"
#include "runtime/binding.h"
#include "runtime/compile.h"
#include "runtime/kernel_cache.h"

namespace kiln::runtime {
namespace {

std::atomic<ContractionDriver> contraction_driver{nullptr};

struct RangeCall {
  RangeFn fn;
  void** args;
  const std::int64_t* dims;
  KernelContext* context;
};

void call_parallel_for(KernelContext* context, RangeFn fn, void** args, const std::int64_t* dims, std::int64_t count, std::int64_t grain) {
  RangeCall call{fn, args, dims, context};
  parallel_for(
      count, grain,
      [](void* c, std::int64_t begin, std::int64_t end) {
        auto* range = static_cast<RangeCall*>(c);
        range->fn(range->args, range->dims, range->context, begin, end);
      },
      &call);
}

/// Of several reports the one with the lowest op counts, then the lowest payload: the outcome does not depend on the order of threads.
void call_report(KernelContext* context, std::int32_t error, std::int32_t ordinal, std::int64_t payload) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const std::int32_t op = context->first_ordinal + ordinal;
  const bool first = context->error.load(std::memory_order_relaxed) == 0;
  if (!first && std::tie(context->error_ordinal, context->error_payload) <= std::tie(op, payload)) return;
  context->error_ordinal = op;
  context->error_payload = payload;
  context->error.store(error, std::memory_order_relaxed);
}

constexpr RuntimeCalls kRuntimeCalls = {call_parallel_for, call_report};

/// A fixed array on the stack, or on the heap beyond N.
template <class T, std::size_t N>
class SmallArray {
 public:
  explicit SmallArray(std::size_t size) : data_(size <= N ? small_.data() : (large_ = std::make_unique<T[]>(size)).get()) {}
  T* data() { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  std::array<T, N> small_;
  std::unique_ptr<T[]> large_;
  T* data_;
};

std::size_t count_elements(const TensorType& type) { return static_cast<std::size_t>(type.shape.count()); }

/// A constant's bytes in memory of ours, a splat written out.
Buffer make_constant(const Literal& literal) {
  std::size_t element = size_of(literal.type.dtype);
  std::size_t count = literal.splat ? count_elements(literal.type) : literal.bytes->size() / element;
  Buffer buffer = Buffer::allocate(count * element);
  auto* to = static_cast<std::byte*>(buffer.data());
  if (!literal.splat) {
    std::copy(literal.bytes->begin(), literal.bytes->end(), to);
    return buffer;
  }
  for (std::size_t i = 0; i < count; ++i) std::copy_n(literal.bytes->begin(), element, to + i * element);
  return buffer;
}

/// Bindings beyond this many are made for one run and dropped: a dimension that changes at every call must not fill the memory.
constexpr std::size_t kMaxBindings = 256;

}  // namespace

void set_contraction_driver(ContractionDriver driver) { contraction_driver.store(driver, std::memory_order_release); }

struct Executable::Impl {
  Plan plan;
  SlotLayout layout;
  PlanCode code;
  std::vector<Buffer> constants;
  /// By output: the state input whose memory it may take, or -1.
  std::vector<std::int32_t> donors;
  std::size_t most_arguments = 0;
  int kernels_loaded = 0;

  mutable std::atomic<const Binding*> last{nullptr};
  mutable std::shared_mutex mutex;
  mutable std::vector<std::unique_ptr<const Binding>> bindings;  // guarded by mutex; never shrinks

  Impl(Plan given, std::span<const KernelObject> objects) : plan(std::move(given)), layout(plan) {
    plan.check();
    flatten_outputs();
    load_kernels(objects);
    for (const Literal& literal : plan.constants) constants.push_back(make_constant(literal));
    for (const PlanOutput& output : plan.outputs) donors.push_back(donor_of(output));
    for (const Launch& launch : plan.launches) most_arguments = std::max(most_arguments, launch.args.size());
    bool is_static = std::none_of(plan.dims.begin(), plan.dims.end(), [](const DimExpr& d) { return d.op == DimExpr::Op::input_dim; });
    if (is_static) bind_static();
  }

  /// An output that shares an output that itself shares something: names that thing.
  void flatten_outputs() {
    for (PlanOutput& output : plan.outputs) {
      if (output.source != PlanOutput::Source::output) continue;
      const PlanOutput& other = plan.outputs[static_cast<std::size_t>(output.index)];
      if (other.source == PlanOutput::Source::fresh) continue;
      output.source = other.source;
      output.index = other.index;
    }
  }

  void load_kernels(std::span<const KernelObject> objects) {
    for (const KernelSpec& spec : plan.kernels) {
      LoadedKernel kernel = load_kernel(spec.key(), objects);
      code.entries.push_back(kernel.entry);
      kernels_loaded += kernel.fresh ? 1 : 0;
    }
    for (const Launch& launch : plan.launches) {
      auto& list = code.micro_kernels.emplace_back();
      for (std::int32_t k : launch.micro_kernels) {
        auto index = static_cast<std::size_t>(k);
        list.emplace_back(&plan.kernels[index], reinterpret_cast<MicroKernelFn>(code.entries[index]));
      }
    }
  }

  std::int32_t donor_of(const PlanOutput& output) const {
    if (!output.in_place) return -1;
    // The old value is still wanted if it is an output too.
    bool shared = std::any_of(plan.outputs.begin(), plan.outputs.end(), [&](const PlanOutput& other) {
      return other.source == PlanOutput::Source::input && other.index == output.state_input;
    });
    return shared ? -1 : output.state_input;
  }

  void bind_static() {
    std::vector<Shape> shapes;
    for (const PlanTensor& input : plan.inputs) {
      Shape shape;
      for (DimId id : input.shape) {
        std::int64_t length = plan.dims[static_cast<std::size_t>(id)].a;
        if (plan.dims[static_cast<std::size_t>(id)].op != DimExpr::Op::constant) return;
        shape.push_back(length);
      }
      shapes.push_back(shape);
    }
    bindings.push_back(make_binding(plan, code, shapes));
    last = bindings.back().get();
  }

  /// The binding for these inputs; `transient` keeps one that is not remembered.
  const Binding& binding(std::span<const Argument> inputs, std::unique_ptr<const Binding>& transient, const InputNamer* namer) const {
    const Binding* recent = last.load(std::memory_order_acquire);
    if (recent != nullptr && recent->fits(inputs)) [[likely]]
      return *recent;
    return look_up(inputs, transient, namer);
  }

  const Binding& look_up(std::span<const Argument> inputs, std::unique_ptr<const Binding>& transient, const InputNamer* namer) const {
    {
      std::shared_lock lock(mutex);
      for (const auto& known : bindings) {
        if (!known->fits(inputs)) continue;
        last.store(known.get(), std::memory_order_release);
        return *known;
      }
    }
    std::vector<Shape> shapes;
    for (const Argument& input : inputs) shapes.push_back(input.shape);
    std::unique_ptr<const Binding> made = make_binding(plan, code, shapes, namer);
    std::unique_lock lock(mutex);
    if (bindings.size() == kMaxBindings) {
      transient = std::move(made);
      return *transient;
    }
    bindings.push_back(std::move(made));
    last.store(bindings.back().get(), std::memory_order_release);
    return *bindings.back();
  }

  /// Gives output i its shape and memory; returns its address. An output that takes a state input's memory stays undefined until the run
  /// has succeeded.
  void* prepare_output(std::size_t i, const Binding::Output& size, std::span<Argument> inputs, std::span<Argument> outputs) const {
    const PlanOutput& output = plan.outputs[i];
    Argument& result = outputs[i];
    auto index = static_cast<std::size_t>(output.index);
    result.shape = size.shape;
    switch (output.source) {
      case PlanOutput::Source::input:
        result.buffer = inputs[index].buffer;
        break;
      case PlanOutput::Source::constant:
        result.buffer = constants[index];
        break;
      case PlanOutput::Source::output: {
        const Buffer& other = outputs[index].buffer;
        result.buffer = other;
        // The other one may be in place.
        if (!other.defined()) return inputs[static_cast<std::size_t>(donors[index])].buffer.data();
        break;
      }
      case PlanOutput::Source::fresh: {
        std::int32_t donor = donors[i];
        if (donor >= 0 && may_take(inputs[static_cast<std::size_t>(donor)].buffer, size.bytes)) {
          result.buffer = Buffer();
          return inputs[static_cast<std::size_t>(donor)].buffer.data();
        }
        result.buffer = Buffer::allocate(size.bytes);
        break;
      }
    }
    return result.buffer.data();
  }

  static bool may_take(const Buffer& buffer, std::size_t bytes) { return buffer.unique() && buffer.bytes() == bytes; }

  /// Moves the handles of state inputs whose memory was taken to their outputs.
  void finish_outputs(std::span<Argument> inputs, std::span<Argument> outputs) const {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].buffer.defined()) continue;
      const PlanOutput& output = plan.outputs[i];
      bool shares = output.source == PlanOutput::Source::output;
      outputs[i].buffer =
          shares ? outputs[static_cast<std::size_t>(output.index)].buffer : std::move(inputs[static_cast<std::size_t>(donors[i])].buffer);
    }
  }

  [[noreturn]] void fail(const KernelContext& context, const NodeLocator* locate) const {
    auto index = static_cast<std::size_t>(context.error_ordinal);
    bool known = index < plan.op_nodes.size();
    std::string op = known ? plan.op_nodes[index].first : plan.name;
    Loc where = known && locate != nullptr && *locate ? (*locate)(plan.op_nodes[index].second) : Loc{};
    if (!where.known()) where = user_location();
    switch (static_cast<KernelError>(context.error.load())) {
      case KernelError::index_out_of_range:
        throw RuntimeError(fmt::format("{}: index {} is out of range", op, context.error_payload), where);
      case KernelError::division_by_zero:
        throw RuntimeError(fmt::format("{}: integer division by zero", op), where);
      case KernelError::none:
        break;
    }
    throw RuntimeError(fmt::format("{}: a kernel reports error {}", op, context.error.load()), where);
  }
};

namespace {

void launch_contraction(const BoundLaunch& launch, void** pointers, void** args, KernelContext& context) {
  ContractionDriver driver = contraction_driver.load(std::memory_order_acquire);
  KILN_ASSERT(driver != nullptr, "no contraction driver is installed");
  auto at = [&](std::int32_t slot) { return pointers[static_cast<std::size_t>(slot)]; };
  driver({launch.contraction.get(), at(launch.lhs), at(launch.rhs), at(launch.out), launch.micro_kernels,
          reinterpret_cast<TileFn>(launch.entry), args, launch.dims.data(), static_cast<int>(launch.slots.size()), launch.product,
          &context});
}

void run_launch(const BoundLaunch& launch, void** pointers, void** args, KernelContext& context) {
  for (std::size_t i = 0; i < launch.slots.size(); ++i) args[i] = pointers[static_cast<std::size_t>(launch.slots[i])];
  context.first_ordinal = launch.first_ordinal;
  if (launch.contraction == nullptr) {
    reinterpret_cast<KernelFn>(launch.entry)(args, launch.dims.data(), &context);
  } else {
    launch_contraction(launch, pointers, args, context);
  }
}

/// Runs all launches; stops at the first that reports an error.
void run_launches(const Binding& binding, void** pointers, void** args, KernelContext& context, LaunchObserver* observer) {
  for (const BoundLaunch& launch : binding.launches) {
    const auto index = static_cast<std::size_t>(&launch - binding.launches.data());
    if (observer != nullptr) [[unlikely]]
      observer->before(index);
    run_launch(launch, pointers, args, context);
    if (observer != nullptr) [[unlikely]]
      observer->after(index);
    if (context.error.load(std::memory_order_relaxed) != 0) [[unlikely]]
      return;
  }
}

}  // namespace

Executable::Executable(Plan plan, std::span<const KernelObject> objects) : impl_(std::make_unique<Impl>(std::move(plan), objects)) {}
Executable::~Executable() = default;

void Executable::run(std::span<Argument> inputs, std::span<Argument> outputs, const NodeLocator* locate, const InputNamer* namer,
                     LaunchObserver* observer) const {
  const Impl& impl = *impl_;
  DefaultFloatEnvironment environment;
  std::unique_ptr<const Binding> transient;
  const Binding& binding = impl.binding(inputs, transient, namer);
  KILN_ASSERT(outputs.size() == impl.donors.size(), "{} outputs given, {} expected", outputs.size(), impl.donors.size());

  SmallArray<void*, 64> pointers(static_cast<std::size_t>(impl.layout.count));
  void** next = pointers.data();
  for (const Argument& input : inputs) *next++ = input.buffer.data();
  for (std::size_t i = 0; i < outputs.size(); ++i) *next++ = impl.prepare_output(i, binding.outputs[i], inputs, outputs);
  for (const Buffer& constant : impl.constants) *next++ = constant.data();
  Buffer arena;
  if (!binding.arena_offsets.empty()) arena = Buffer::allocate(binding.arena_bytes);
  for (std::int64_t offset : binding.arena_offsets) *next++ = static_cast<std::byte*>(arena.data()) + offset;
  for (const Binding::View& view : binding.views)
    *next++ = static_cast<std::byte*>(pointers[static_cast<std::size_t>(view.slot)]) + view.offset;

  KernelContext context;
  context.calls = &kRuntimeCalls;
  SmallArray<void*, 32> args(impl.most_arguments);
  run_launches(binding, pointers.data(), args.data(), context, observer);
  if (context.error.load(std::memory_order_relaxed) != 0) [[unlikely]]
    impl.fail(context, locate);
  impl.finish_outputs(inputs, outputs);
}

std::vector<Argument> Executable::run(std::vector<Argument>&& inputs, const NodeLocator* locate) const {
  std::vector<Argument> outputs(impl_->plan.outputs.size());
  run(std::span<Argument>(inputs), std::span<Argument>(outputs), locate);
  return outputs;
}

const Plan& Executable::plan() const { return impl_->plan; }

int Executable::kernels_loaded() const { return impl_->kernels_loaded; }

}  // namespace kiln::runtime
