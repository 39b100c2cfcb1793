// Hand-built kernel specs, compiled and compared with the eager kernels: bit for bit, on guarded memory, for several partitions.
#pragma once
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/half.h"
#include "base/kernel_abi.h"
#include "codegen/kernel_compiler.h"
#include "emulator.h"
#include "ops/op.h"
#include "runtime/kernel_spec.h"
#include "tests/catch.h"
#include "tests/guarded_memory.h"

namespace kiln::testing {

using runtime::BodyNode;
using runtime::KernelKind;
using runtime::KernelSpec;

/// A shared object opened from memory.
class LoadedKernel {
 public:
  explicit LoadedKernel(const std::string& bytes) {
    const int fd = memfd_create("kernel", MFD_CLOEXEC);
    REQUIRE(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    handle_ = dlopen(("/proc/self/fd/" + std::to_string(fd)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) FAIL(dlerror());
    close(fd);
    symbol_ = dlsym(handle_, runtime::kKernelEntry);
    REQUIRE(symbol_ != nullptr);
  }
  ~LoadedKernel() { dlclose(handle_); }
  LoadedKernel(const LoadedKernel&) = delete;
  LoadedKernel& operator=(const LoadedKernel&) = delete;
  template <class Fn = KernelFn>
  Fn entry() const {
    return reinterpret_cast<Fn>(symbol_);
  }

 private:
  void* handle_ = nullptr;
  void* symbol_ = nullptr;
};

/// What a kernel calls back, with a chosen partition of parallel loops: whole, or cut at odd places and run backwards or on threads.
enum class Partition { whole, pieces, threads };

struct TestContext : KernelContext {
  Partition partition = Partition::whole;
  std::int64_t reported_payload = 0;

  static void parallel(KernelContext* c, RangeFn fn, void** args, const std::int64_t* dims, std::int64_t count, std::int64_t) {
    switch (static_cast<TestContext*>(c)->partition) {
      case Partition::whole:
        fn(args, dims, c, 0, count);
        break;
      case Partition::pieces:
        for (std::int64_t end = count; end > 0;) {
          const std::int64_t begin = std::max<std::int64_t>(0, end - std::max<std::int64_t>(1, count / 3));
          fn(args, dims, c, begin, end);
          end = begin;
        }
        break;
      case Partition::threads: {
        const std::int64_t half = count / 2;
        std::thread other([&] { fn(args, dims, c, 0, half); });
        fn(args, dims, c, half, count);
        other.join();
        break;
      }
    }
  }
  static void on_report(KernelContext* c, std::int32_t error, std::int32_t ordinal, std::int64_t payload) {
    std::int32_t none = 0;
    if (!c->error.compare_exchange_strong(none, error)) return;
    c->error_ordinal = ordinal;
    c->error_payload = payload;
  }
  TestContext() {
    static const RuntimeCalls table = {&parallel, &on_report};
    calls = &table;
  }
};

/// Builds a KernelSpec of static shapes together with its eager evaluation.
class SpecBuilder {
 public:
  explicit SpecBuilder(KernelKind kind = KernelKind::loop, bool constant_dims = false) : constant_dims_(constant_dims) {
    spec_.kind = kind;
    spec_.numerics = Numerics::strict;
  }

  int input(DType dtype, std::vector<std::int64_t> shape) {
    REQUIRE(spec_.num_inputs == static_cast<std::int32_t>(spec_.body.size()));
    ++spec_.num_inputs;
    return add_node("", {}, {}, TensorType{dtype, Shape(shape)}, -1);
  }
  /// An op; `attrs` as OpDef::infer takes them.
  int op(const char* name, std::vector<int> operands, Attrs attrs = {}) {
    const ops::OpDef& def = ops::op(name);
    std::vector<TensorType> types;
    for (int o : operands) types.push_back(types_[static_cast<std::size_t>(o)]);
    return add_node(name, operands, attrs, def.infer(def, types, attrs), ordinal_++);
  }
  SpecBuilder& output(int node) {
    spec_.outputs.push_back(node);
    return *this;
  }
  SpecBuilder& root(int node) {
    spec_.root = node;
    return *this;
  }
  SpecBuilder& alias(int output, int input) {
    spec_.aliases.emplace_back(output, input);
    return *this;
  }
  SpecBuilder& numerics(Numerics n) {
    spec_.numerics = n;
    return *this;
  }

  const KernelSpec& spec() const { return spec_; }
  const TensorType& type(int node) const { return types_[static_cast<std::size_t>(node)]; }
  const std::vector<std::int64_t>& dims() const { return dims_; }
  const Attrs& attrs(int node) const { return attrs_[static_cast<std::size_t>(node)]; }
  std::size_t bytes(int node) const { return static_cast<std::size_t>(type(node).shape.count()) * size_of(type(node).dtype); }

 private:
  int add_node(const char* name, const std::vector<int>& operands, const Attrs& attrs, const TensorType& type, int ordinal) {
    BodyNode n;
    n.op = name;
    n.dtype = type.dtype;
    n.ordinal = ordinal;
    for (int o : operands) n.operands.push_back(o);
    for (const auto& [key, value] : attrs) {
      if (!std::holds_alternative<Shape>(value)) n.attrs.set(key, value);
    }
    for (std::int64_t length : type.shape.sizes()) n.shape.push_back(dim(length));
    spec_.body.push_back(n);
    types_.push_back(type);
    attrs_.push_back(attrs);
    return static_cast<int>(spec_.body.size()) - 1;
  }
  std::int32_t dim(std::int64_t length) {
    const auto [at, added] = index_.try_emplace(length, static_cast<std::int32_t>(dims_.size()));
    if (added) {
      dims_.push_back(length);
      spec_.num_dims = static_cast<std::int32_t>(dims_.size());
      if (constant_dims_ || length == 1) spec_.constant_dims.emplace_back(at->second, length);
    }
    return at->second;
  }

  KernelSpec spec_;
  bool constant_dims_;
  int ordinal_ = 0;
  std::vector<TensorType> types_;
  std::vector<Attrs> attrs_;
  std::vector<std::int64_t> dims_;
  std::map<std::int64_t, std::int32_t> index_;
};

using Bytes = std::vector<std::byte>;

/// Random bytes of a tensor: numbers of mixed size, with zeros, infinities and NaN now and then.
inline Bytes random_bytes(const TensorType& type, unsigned seed, bool special = true) {
  std::mt19937 engine(seed);
  const auto count = static_cast<std::size_t>(type.shape.count());
  Bytes bytes(count * size_of(type.dtype));
  std::uniform_real_distribution<double> real(-4, 4);
  const double specials[] = {0.0, -0.0, INFINITY, -INFINITY, std::nan(""), 1.0, -1.0, 1e-40, 3e38, 0.5, 88.8, -104.0};
  for (std::size_t i = 0; i < count; ++i) {
    double x = real(engine);
    if (special && engine() % 8 == 0) x = specials[engine() % std::size(specials)];
    visit_dtype(type.dtype, [&]<class T>(std::type_identity<T>) {
      T v{};
      if constexpr (std::is_same_v<T, bool>)
        v = engine() % 2 == 0;
      else if constexpr (std::is_same_v<T, float16>)
        v = to_float16(x);
      else if constexpr (std::is_same_v<T, bfloat16>)
        v = to_bfloat16(x);
      else if constexpr (std::is_floating_point_v<T>)
        v = static_cast<T>(x);
      else
        v = static_cast<T>(engine() % 4 == 0 && special ? (std::uint64_t{engine()} << 32 | engine())
                                                        : static_cast<std::uint64_t>(static_cast<std::int64_t>(real(engine) * 4)));
      std::memcpy(bytes.data() + i * sizeof(T), &v, sizeof(T));
    });
  }
  return bytes;
}

/// Elements as text, for messages; NaN is "nan" whatever its bits.
inline std::string element_text(DType t, const std::byte* p) {
  return visit_dtype(t, [&]<class T>(std::type_identity<T>) -> std::string {
    T v;
    std::memcpy(&v, p, sizeof(T));
    if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>)
      return fmt::format("{:a}", to_float(v));
    else if constexpr (std::is_floating_point_v<T>)
      return std::isnan(v) ? "nan" : fmt::format("{:a}", v);
    else
      return fmt::format("{}", static_cast<std::int64_t>(v));
  });
}

/// The first element that differs, or "".
inline std::string difference(const TensorType& type, const std::byte* expected, const std::byte* found) {
  const std::size_t size = size_of(type.dtype);
  const auto count = static_cast<std::size_t>(type.shape.count());
  for (std::size_t i = 0; i < count; ++i) {
    if (std::memcmp(expected + i * size, found + i * size, size) == 0) continue;
    const std::string a = element_text(type.dtype, expected + i * size), b = element_text(type.dtype, found + i * size);
    if (a.find("nan") != a.npos && b.find("nan") != b.npos) continue;
    return fmt::format("element {} of {}: eager {}, compiled {}", i, type.str(), a, b);
  }
  return {};
}

/// The values of all nodes by the eager kernels.
inline std::vector<Bytes> evaluate_eagerly(const SpecBuilder& s, const std::vector<Bytes>& inputs) {
  std::vector<Bytes> values = inputs;
  const std::vector<BodyNode>& body = s.spec().body;
  for (std::size_t n = inputs.size(); n < body.size(); ++n) {
    const ops::OpDef& def = ops::op(body[n].op);
    std::vector<ops::View> views;
    for (std::int32_t o : body[n].operands) views.push_back({values[static_cast<std::size_t>(o)].data(), s.type(o).dtype, s.type(o).shape});
    values.emplace_back(s.bytes(static_cast<int>(n)));
    def.kernel(def, views, {values.back().data(), s.type(static_cast<int>(n)).dtype, s.type(static_cast<int>(n)).shape},
               s.attrs(static_cast<int>(n)));
  }
  return values;
}

/// Runs a compiled kernel on guarded copies of the inputs; returns the outputs. Outputs start poisoned.
inline std::vector<Bytes> run_kernel(const SpecBuilder& s, const LoadedKernel& kernel, const std::vector<Bytes>& inputs,
                                     Partition partition, bool at_end, TestContext& context) {
  std::vector<std::unique_ptr<GuardedMemory>> memory;
  std::vector<void*> args;
  for (const Bytes& in : inputs) {
    memory.push_back(std::make_unique<GuardedMemory>(in.size(), at_end));
    if (!in.empty()) std::memcpy(memory.back()->data(), in.data(), in.size());
    args.push_back(memory.back()->data());
  }
  for (std::size_t i = 0; i < s.spec().outputs.size(); ++i) {
    int alias = -1;
    for (const auto& [output, input] : s.spec().aliases) {
      if (output == static_cast<int>(i)) alias = input;
    }
    if (alias >= 0) {
      args.push_back(args[static_cast<std::size_t>(alias)]);
      continue;
    }
    memory.push_back(std::make_unique<GuardedMemory>(s.bytes(s.spec().outputs[i]), at_end));
    std::memset(memory.back()->data(), 0xAB, memory.back()->bytes());
    args.push_back(memory.back()->data());
  }
  context.partition = partition;
  kernel.entry()(args.data(), s.dims().data(), &context);
  std::vector<Bytes> outputs;
  for (std::size_t i = 0; i < s.spec().outputs.size(); ++i) {
    const auto* p = static_cast<const std::byte*>(args[inputs.size() + i]);
    outputs.emplace_back(p, p + s.bytes(s.spec().outputs[i]));
  }
  return outputs;
}

/// The same on the emulator.
inline std::vector<Bytes> emulate_kernel(const SpecBuilder& s, const std::string& object, const std::vector<Bytes>& inputs,
                                         Partition partition, bool at_end, TestContext& context) {
  std::vector<Emulator::Arg> args;
  for (const Bytes& in : inputs) args.push_back({-1, in});
  for (std::size_t i = 0; i < s.spec().outputs.size(); ++i) {
    args.push_back({-1, Bytes(s.bytes(s.spec().outputs[i]), std::byte{0xAB})});
    for (const auto& [output, input] : s.spec().aliases) {
      if (output == static_cast<int>(i)) args.back().alias = input;
    }
  }
  context.error = static_cast<std::int32_t>(Emulator::instance().run(object, s.dims(), args, partition == Partition::pieces, at_end));
  std::vector<Bytes> outputs;
  for (std::size_t i = inputs.size(); i < args.size(); ++i) {
    outputs.push_back(args[i].alias < 0 ? args[i].bytes : args[static_cast<std::size_t>(args[i].alias)].bytes);
  }
  return outputs;
}

/// Compiles the spec for test_target() and checks every output against the eager kernels, under all partitions.
inline void check_against_eager(const SpecBuilder& s, unsigned seed = 1, bool special = true,
                                const std::function<void(std::vector<Bytes>&)>& adjust = {}) {
  std::vector<Bytes> inputs;
  for (int i = 0; i < s.spec().num_inputs; ++i) inputs.push_back(random_bytes(s.type(i), seed + static_cast<unsigned>(i), special));
  if (adjust) adjust(inputs);
  const std::vector<Bytes> expected = evaluate_eagerly(s, inputs);
  const std::string object = codegen::compile_kernel(s.spec(), test_target());
  const bool foreign = test_target().is_aarch64() != current_target().is_aarch64();
  std::optional<LoadedKernel> kernel;
  if (!foreign) kernel.emplace(object);
  for (const Partition partition : {Partition::whole, Partition::pieces, Partition::threads}) {
    if (foreign && partition == Partition::threads) continue;
    TestContext context;
    const bool at_end = partition != Partition::pieces;
    const std::vector<Bytes> found = foreign ? emulate_kernel(s, object, inputs, partition, at_end, context)
                                             : run_kernel(s, *kernel, inputs, partition, at_end, context);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const int node = s.spec().outputs[i];
      const std::string d = difference(s.type(node), expected[static_cast<std::size_t>(node)].data(), found[i].data());
      if (!d.empty()) {
        INFO(s.spec().text());
        FAIL("output " << i << ": " << d);
      }
    }
    CHECK(context.error.load() == 0);
  }
}

}  // namespace kiln::testing
