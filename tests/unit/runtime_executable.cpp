// Executables from end to end: plans made by hand over kernels that the system's compiler makes here.
#include "runtime/executable.h"

#include <fenv.h>
#include <kiln/error.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/require.h"
#include "runtime/compile.h"
#include "runtime/kernel_cache.h"
#include "tests/catch.h"
#include "tests/stderr_text.h"
#include "tests/temporary_directory.h"

using namespace kiln;
using namespace kiln::runtime;
using Where = ArgRef::Where;

namespace {

/// Compiles C++ text to a shared object's bytes.
std::string make_object(const std::string& body) {
  TemporaryDirectory temporary;
  std::string source = temporary.path() + "/kernel.cpp", object = temporary.path() + "/kernel.so";
  std::ofstream(source) << "#include \"base/kernel_abi.h\"\nusing namespace kiln;\n" << body;
  std::string command = "c++ -std=c++20 -O1 -shared -fPIC -I" KILN_SOURCE_DIR " -o " + object + " " + source;
  REQUIRE(std::system(command.c_str()) == 0);
  std::ifstream in(object, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

/// out[i] = in[0][i] OP in[1][i] over dims[0] elements, in parallel. `tag` and the process make the key of a test its own:
/// the cache directory may hold the kernels of an earlier run.
KernelSpec binary_spec(const std::string& op, std::int32_t tag) {
  static const std::int64_t start = std::chrono::steady_clock::now().time_since_epoch().count();
  KernelSpec spec;
  BodyNode input{"", DType::float32, {0}, {}, {}, -1};
  spec.body = {input, input, {op, DType::float32, {0}, {0, 1}, Attrs{{"tag", Ints{tag, start}}}, -1}};
  spec.num_inputs = 2;
  spec.outputs = {2};
  spec.num_dims = 1;
  return spec;
}

KernelObject binary_object(const KernelSpec& spec, const std::string& symbol) {
  return {{spec.key()},
          make_object("static void part(void** a, const std::int64_t*, KernelContext*, std::int64_t begin, std::int64_t end) {\n"
                      "  for (std::int64_t i = begin; i < end; ++i) ((float*)a[2])[i] = ((float*)a[0])[i] " +
                      symbol +
                      " ((float*)a[1])[i];\n}\n"
                      "extern \"C\" void kiln_kernel(void** a, const std::int64_t* d, KernelContext* c) {\n"
                      "  c->calls->parallel_for(c, part, a, d, d[0], 1024);\n}\n")};
}

DimExpr constant(std::int64_t n) { return {DimExpr::Op::constant, n, 0}; }
DimExpr length(std::int64_t input, std::int64_t axis) { return {DimExpr::Op::input_dim, input, axis}; }

Argument floats(std::vector<float> values) {
  Argument a{Buffer::allocate(values.size() * sizeof(float)), Shape{static_cast<std::int64_t>(values.size())}};
  if (!values.empty()) std::memcpy(a.buffer.data(), values.data(), values.size() * sizeof(float));
  return a;
}

std::vector<float> values(const Argument& a) {
  const auto* data = static_cast<const float*>(a.buffer.data());
  return {data, data + a.buffer.bytes() / sizeof(float)};
}

std::vector<Argument> list(Argument a, Argument b) {
  std::vector<Argument> arguments;
  arguments.push_back(std::move(a));
  arguments.push_back(std::move(b));
  return arguments;
}

Launch kernel_launch(std::int32_t kernel, std::vector<ArgRef> args, std::vector<DimId> dims) {
  Launch launch;
  launch.kernel = kernel;
  launch.args = std::move(args);
  launch.dims = std::move(dims);
  return launch;
}

/// f(x, y) = x OP y of any length.
Plan binary_plan(const KernelSpec& spec) {
  Plan plan;
  plan.name = "f";
  plan.dims = {length(0, 0), length(1, 0)};
  plan.inputs = {{DType::float32, {0}}, {DType::float32, {1}}};
  plan.outputs = {{{DType::float32, {0}}}};
  plan.num_results = 1;
  plan.kernels = {spec};
  plan.launches = {kernel_launch(0, {{Where::input, 0}, {Where::input, 1}, {Where::output, 0}}, {0})};
  plan.equal_dims = {{0, 1}};
  plan.op_nodes = {{"add", 5}};
  return plan;
}

}  // namespace

TEST_CASE("a plan runs; its kernel is loaded once and kept on disk") {
  KernelSpec spec = binary_spec("add", 1);
  CHECK_THROWS_WITH(Executable(binary_plan(spec), {}), "kernel " + spec.key() + " is neither in memory nor in the cache");
  std::vector<KernelObject> objects = {binary_object(spec, "+")};
  Executable f(binary_plan(spec), objects);
  CHECK(f.kernels_loaded() == 1);
  CHECK(has_kernel(spec.key()));
  auto out = f.run(list(floats({1, 2, 3}), floats({10, 20, 30})));
  REQUIRE(out.size() == 1);
  CHECK(out[0].shape == Shape{3});
  CHECK(values(out[0]) == std::vector<float>{11, 22, 33});
  // Another length: the same code.
  CHECK(values(f.run(list(floats({1}), floats({2})))[0]) == std::vector<float>{3});
  std::vector<float> large(100000, 1.5f);
  CHECK(values(f.run(list(floats(large), floats(large)))[0]) == std::vector<float>(100000, 3.0f));
  CHECK(f.run(list(floats({}), floats({})))[0].buffer.bytes() == 0);
  Executable again(Plan::deserialize(binary_plan(spec).serialize()), {});
  CHECK(again.kernels_loaded() == 0);
}

TEST_CASE("shapes that a plan is not for") {
  KernelSpec spec = binary_spec("add", 2);
  std::vector<KernelObject> objects = {binary_object(spec, "+")};
  Executable f(binary_plan(spec), objects);
  std::vector<Argument> inputs = list(floats({1, 2, 3}), floats({1, 2}));
  CHECK_THROWS_WITH(f.run(std::move(inputs)), "f: axis 0 of input 0 (3) and axis 0 of input 1 (2) must be equal");
  CHECK(inputs[0].buffer.defined());
  Argument matrix = floats({1, 2, 3, 4});
  matrix.shape = Shape{2, 2};
  CHECK_THROWS_WITH(f.run(list(matrix, floats({1}))), "f: input 0 has the shape [2, 2], of rank 2; the compiled code is for rank 1");
  Plan fixed = binary_plan(spec);
  fixed.dims = {constant(2), constant(2)};
  Executable g(fixed, {});
  CHECK(values(g.run(list(floats({1, 2}), floats({3, 4})))[0]) == std::vector<float>{4, 6});
  CHECK_THROWS_WITH(g.run(list(floats({1}), floats({3, 4}))), "f: input 0 has the shape [1]; the compiled code is for [2]");
}

TEST_CASE("state is updated in place if nobody else holds it") {
  KernelSpec spec = binary_spec("sub", 3);
  std::vector<KernelObject> objects = {binary_object(spec, "-")};
  Plan plan = binary_plan(spec);
  plan.outputs[0].state_input = 0;
  plan.outputs[0].in_place = true;
  plan.outputs.push_back({{DType::float32, {0}}, PlanOutput::Source::output, 0});
  plan.outputs.push_back({{DType::float32, {1}}, PlanOutput::Source::input, 1});
  Executable f(plan, objects);

  std::vector<Argument> inputs = list(floats({5, 6}), floats({1, 1}));
  void* memory = inputs[0].buffer.data();
  auto out = f.run(std::move(inputs));
  CHECK_FALSE(inputs[0].buffer.defined());
  CHECK(out[0].buffer.data() == memory);
  CHECK(out[1].buffer.data() == memory);
  CHECK(out[2].buffer.data() == inputs[1].buffer.data());
  CHECK(values(out[0]) == std::vector<float>{4, 5});

  inputs = list(floats({5, 6}), floats({1, 1}));
  Argument reader = inputs[0];
  out = f.run(std::move(inputs));
  CHECK(out[0].buffer.data() != reader.buffer.data());
  CHECK(values(reader) == std::vector<float>{5, 6});
  CHECK(values(out[0]) == std::vector<float>{4, 5});

  float foreign[2] = {5, 6};
  inputs = list({Buffer::foreign(foreign, sizeof foreign, {}), Shape{2}}, floats({1, 1}));
  out = f.run(std::move(inputs));
  CHECK(foreign[0] == 5);
  CHECK(values(out[0]) == std::vector<float>{4, 5});

  // The old value is an output as well: no memory may be shared.
  plan.outputs[2].index = 0;
  plan.outputs[2].type.shape = {0};
  Executable g(plan, {});
  out = g.run(list(floats({5, 6}), floats({1, 1})));
  CHECK(values(out[0]) == std::vector<float>{4, 5});
  CHECK(values(out[2]) == std::vector<float>{5, 6});
}

TEST_CASE("arena, constants, splats, and outputs that are constants") {
  KernelSpec add = binary_spec("add", 4), sub = binary_spec("sub", 4);
  std::vector<KernelObject> objects = {binary_object(add, "+"), binary_object(sub, "-")};
  Plan plan = binary_plan(add);
  plan.dims = {length(0, 0), length(1, 0), constant(4), {DimExpr::Op::mul, 0, 2}, constant(0)};
  float ten = 10;
  std::vector<std::byte> bytes(4);
  std::memcpy(bytes.data(), &ten, 4);
  plan.constants = {{{DType::float32, Shape{3}}, true, std::make_shared<const std::vector<std::byte>>(bytes)}};
  plan.kernels = {add, sub};
  plan.arena = {{4, 3}};
  plan.arena_bytes = 3;
  plan.launches = {kernel_launch(0, {{Where::input, 0}, {Where::input, 1}, {Where::arena, 0}}, {0}),
                   kernel_launch(1, {{Where::arena, 0}, {Where::constant, 0}, {Where::output, 0}}, {0})};
  plan.dims.push_back(constant(3));
  plan.outputs.push_back({{DType::float32, {5}}, PlanOutput::Source::constant, 0});
  Executable f(plan, objects);
  CHECK(f.kernels_loaded() == 2);
  for (int round = 0; round < 3; ++round) {
    auto out = f.run(list(floats({1, 2, 3}), floats({4, 5, 6})));
    CHECK(values(out[0]) == std::vector<float>{-5, -3, -1});
    CHECK(values(out[1]) == std::vector<float>{10, 10, 10});
    CHECK_FALSE(out[1].buffer.unique());
  }
  plan.dims[3] = constant(-4);
  CHECK_THROWS_AS(Executable(plan, {}).run(list(floats({1, 2, 3}), floats({4, 5, 6}))), InternalError);
}

TEST_CASE("a kernel's error names the op and the line, and leaves the inputs") {
  KernelSpec spec = binary_spec("gather", 5);
  std::vector<KernelObject> objects = {
      {{spec.key()},
       make_object("extern \"C\" void kiln_kernel(void** a, const std::int64_t*, KernelContext* c) {\n"
                   "  const int error = (int)((float*)a[0])[0];\n"
                   "  c->calls->report(c, 2, 2, 7);\n"  // of all reports the lowest op's counts, and of those the lowest payload
                   "  c->calls->report(c, error, 1, 43);\n"
                   "  c->calls->report(c, error, 1, 42);\n"
                   "  c->calls->report(c, error, 1, 44);\n}\n")}};
  Plan plan = binary_plan(spec);
  plan.outputs[0].state_input = 0;
  plan.outputs[0].in_place = true;
  plan.launches[0].first_ordinal = 1;
  plan.op_nodes = {{"add", 5}, {"add", 6}, {"gather", 7}};
  Executable f(plan, objects);
  std::vector<Argument> inputs = list(floats({1}), floats({0}));
  CHECK_THROWS_WITH(f.run(std::move(inputs)), "gather: index 42 is out of range");
  CHECK(inputs[0].buffer.defined());
  CHECK(inputs[0].buffer.unique());
  NodeLocator locate = [](std::int32_t node) { return Loc{"model.cpp", 100 + node}; };
  CHECK_THROWS_WITH(f.run(std::move(inputs), &locate), "model.cpp:107: gather: index 42 is out of range");
  LocationScope scope({"caller.cpp", 3});
  CHECK_THROWS_WITH(f.run(std::move(inputs)), "caller.cpp:3: gather: index 42 is out of range");
  inputs = list(floats({2}), floats({0}));
  CHECK_THROWS_WITH(f.run(std::move(inputs), &locate), "model.cpp:107: gather: integer division by zero");
}

namespace {

/// A driver for this test: rank-2 matmul, then the epilogue over the whole result.
void plain_driver(const ContractionCall& call) {
  const Contraction& p = *call.problem;
  const auto* lhs = static_cast<const float*>(call.lhs);
  const auto* rhs = static_cast<const float*>(call.rhs);
  auto* out = static_cast<float*>(call.out);
  for (std::int64_t i = 0; i < p.row[0].extent; ++i) {
    for (std::int64_t j = 0; j < p.col[0].extent; ++j) {
      float sum = 0;
      for (std::int64_t k = 0; k < p.depth[0].extent; ++k) {
        sum += lhs[i * p.row[0].lhs_stride + k * p.depth[0].lhs_stride] * rhs[k * p.depth[0].rhs_stride + j * p.col[0].rhs_stride];
      }
      out[i * p.row[0].out_stride + j * p.col[0].out_stride] = sum;
    }
  }
  if (call.epilogue != nullptr) {
    call.epilogue(call.epilogue_args, call.epilogue_dims, call.context, 0, p.row[0].extent, 0, p.col[0].extent);
  }
}

}  // namespace

TEST_CASE("a contraction goes to the driver with its strides, and its epilogue runs") {
  set_contraction_driver(plain_driver);
  KernelSpec spec = binary_spec("maximum", 6);
  spec.kind = KernelKind::tile;
  spec.body[2].shape = spec.body[1].shape = spec.body[0].shape = {0, 1};
  spec.num_dims = 2;
  spec.aliases = {{0, 0}};
  std::vector<KernelObject> objects = {
      {{spec.key()},
       make_object(
           "extern \"C\" void kiln_kernel(void** a, const std::int64_t* d, KernelContext*, std::int64_t r0, std::int64_t r1, "
           "std::int64_t c0, std::int64_t c1) {\n"
           "  for (auto i = r0; i < r1; ++i) for (auto j = c0; j < c1; ++j) ((float*)a[2])[i * d[1] + j] = ((float*)a[0])[i * d[1] + j] + "
           "((float*)a[1])[j];\n}\n")}};
  Plan plan;
  plan.name = "dense";
  plan.dims = {length(0, 0), length(0, 1), length(1, 1), constant(1), constant(0)};
  plan.inputs = {{DType::float32, {0, 1}}, {DType::float32, {1, 2}}, {DType::float32, {2}}};
  plan.outputs = {{{DType::float32, {0, 2}}}};
  plan.kernels = {spec};
  Launch launch = kernel_launch(0, {{Where::output, 0}, {Where::input, 2}, {Where::output, 0}}, {0, 2});
  launch.kind = Launch::Kind::contraction;
  launch.contraction.row = {{0, 1, 4, 2}};
  launch.contraction.col = {{2, 4, 3, 3}};
  launch.contraction.depth = {{1, 3, 2, 4}};
  launch.lhs = {Where::input, 0};
  launch.rhs = {Where::input, 1};
  launch.out = {Where::output, 0};
  plan.launches = {launch};
  Executable f(plan, objects);
  std::vector<Argument> inputs;
  inputs.push_back({floats({1, 2, 3, 4, 5, 6}).buffer, Shape{2, 3}});
  inputs.push_back({floats({1, 0, 0, 1, 1, 1}).buffer, Shape{3, 2}});
  inputs.push_back({floats({10, 20}).buffer, Shape{2}});
  auto out = f.run(std::move(inputs));
  CHECK(out[0].shape == Shape{2, 2});
  CHECK(values(out[0]) == std::vector<float>{14, 25, 20, 31});
  set_contraction_driver(nullptr);
}

TEST_CASE("kernels run under the default control word") {
  KernelSpec spec = binary_spec("mul", 7);
  std::vector<KernelObject> objects = {binary_object(spec, "*")};
  Executable f(binary_plan(spec), objects);
  auto product = [&] { return values(f.run(list(floats({1.1f}), floats({1.3f})))[0])[0]; };
  float nearest = product();
  fesetround(FE_UPWARD);
  float upward = product();
  CHECK(fegetround() == FE_UPWARD);
  fesetround(FE_TONEAREST);
  CHECK(nearest == upward);
}

TEST_CASE("many threads and many shapes at once") {
  KernelSpec spec = binary_spec("add", 8);
  std::vector<KernelObject> objects = {binary_object(spec, "+")};
  Executable f(binary_plan(spec), objects);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 1000; ++round) {
        auto n = static_cast<std::size_t>((round * 7 + t) % 400 + 1);
        auto out = f.run(list(floats(std::vector<float>(n, 1)), floats(std::vector<float>(n, 2))));
        if (values(out[0]) != std::vector<float>(n, 3)) ++wrong;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("the part of the memory-file test that runs in a process of its own", "[.][without-disk]") {
  for (int i = 0; i < 4; ++i) {
    KernelSpec spec = binary_spec("add", 100 + i);
    std::vector<KernelObject> objects = {binary_object(spec, i % 2 == 0 ? "+" : "-")};
    Executable f(binary_plan(spec), objects);
    REQUIRE(values(f.run(list(floats({5}), floats({3})))[0]) == std::vector<float>{i % 2 == 0 ? 8.0f : 2.0f});
  }
}

TEST_CASE("without a disk cache kernels are loaded through memory files") {
  std::string path = std::filesystem::read_symlink("/proc/self/exe").string();
  CHECK(std::system(("KILN_CACHE_DIR= '" + path + "' '[without-disk]' > /dev/null").c_str()) == 0);
}
