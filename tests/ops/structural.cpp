// Eager kernels of the structural ops against their double references: random types and attributes, edge values, guard bytes, thread
// counts, ISA levels.
#include <map>

#include "ops/build.h"
#include "ops/numeric_order.h"
#include "ops/structural.h"
#include "tests/fuzz/lib/structural_cases.h"
#include "tests/ops/kernel_check.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

double random_number(DType dtype, Rng& rng, bool edge_values) {
  if (dtype == DType::boolean) return static_cast<double>(rng.below(2));
  if (dtype == DType::uint8) return static_cast<double>(rng.below(256));
  if (is_integer(dtype)) return static_cast<double>(rng.between(-100, 100));
  if (edge_values && rng.chance(0.1)) {
    double infinity = std::numeric_limits<double>::infinity();
    return rng.pick<double>({0.0, -0.0, 1.0, infinity, -infinity, std::nan("")});
  }
  return rng.uniform() * 4 - 2;
}

OpCase make_case(const ops::OpDef& op, const StructuralCase& from, Rng& rng, bool edge_values) {
  OpCase c{.op = &op, .types = {}, .operands = {}, .attrs = from.attrs};
  for (const OperandSpec& spec : from.operands) {
    std::vector<double> numbers(static_cast<std::size_t>(spec.type.shape.count()));
    for (double& x : numbers)
      x = spec.limit > 0 ? static_cast<double>(rng.below(spec.limit)) : random_number(spec.type.dtype, rng, edge_values);
    c.types.push_back(spec.type);
    c.operands.push_back(std::move(numbers));
  }
  return c;
}

/// The same op on absolute values: what rounding errors are measured against. Products' own magnitude is their value.
std::vector<double> magnitude_of(const OpCase& c) {
  std::vector<std::vector<double>> operands = stored(c);
  bool sums = c.op->name == "contract" || c.op->name == "scatter_add";
  const AttrValue* kind = c.attrs.find("kind");
  bool adds = kind != nullptr && std::get<std::string>(*kind) == "add";
  bool multiplies = kind != nullptr && std::get<std::string>(*kind) == "mul";
  if (c.op->name == "window_max_grad") {
    for (double& x : operands[1]) x = std::abs(x);
  } else if (sums || adds || multiplies) {
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (!is_floating(c.types[i].dtype)) continue;
      for (double& x : operands[i]) x = std::isfinite(x) ? std::abs(x) : 0;
    }
  } else {
    return {};
  }
  return run_reference(c, operands);
}

double roundings_of(const OpCase& c) {
  double n = 1;
  for (const TensorType& t : c.types) n = std::max(n, static_cast<double>(t.shape.count()));
  return n;
}

void check_random_cases(const ops::OpDef& op, std::uint64_t seed, int count, bool edge_values) {
  Rng rng(seed);
  int checked = 0;
  for (int attempt = 0; attempt < 20 * count && checked < count; ++attempt) {
    TensorType x{random_dtype(rng), random_shape(rng)};
    std::optional<StructuralCase> generated = structural_case(op, x, rng);
    if (!generated) continue;
    OpCase c = make_case(op, *generated, rng, edge_values);
    if (c.op->name == "random") continue;
    if (c.op->name == "window_max_grad" && edge_values) continue;  // inf - inf depends on where the maximum is found
    check_kernel(c, roundings_of(c), magnitude_of(c));
    ++checked;
  }
  if (op.name != "random") CHECK(checked > 0);
}

}  // namespace

TEST_CASE("structural kernels agree with their references") {
  for (const ops::OpDef& op : ops::structural_ops()) {
    if (!has_structural_case(op)) continue;
    check_random_cases(op, 11, 120, false);
  }
}

TEST_CASE("structural kernels treat NaN, infinities and signed zeros as their references do") {
  for (const char* name : {"reduce", "arg_reduce", "window_reduce", "transpose", "slice", "pad", "gather", "broadcast", "concat"}) {
    check_random_cases(ops::op(name), 12, 80, true);
  }
}

TEST_CASE("reductions follow the numeric order to the bit") {
  Rng rng(5);
  auto check = [&]<class T>(std::type_identity<T>, DType dtype, std::int64_t outer, std::int64_t n, std::int64_t inner) {
    OpCase c{
        .op = &ops::op("reduce"), .types = {{dtype, {outer, n, inner}}}, .operands = {{}}, .attrs = {{"kind", "add"}, {"axes", Ints{1}}}};
    if (inner == 0) {
      c.types = {{dtype, {outer, n}}};
      inner = 1;
    }
    bool by_rows = c.types[0].shape.rank() == 2;
    for (std::int64_t i = 0; i < outer * n * inner; ++i)
      c.operands[0].push_back(rng.uniform() * std::pow(10.0, static_cast<double>(rng.between(-3, 3))) - 0.3);
    std::vector<double> x = stored(c)[0], got = run_kernel(c, 2).numbers();
    for (std::int64_t o = 0; o < outer; ++o) {
      for (std::int64_t k = 0; k < inner; ++k) {
        auto element = [&](std::int64_t i) { return static_cast<T>(x[static_cast<std::size_t>((o * n + i) * inner + k)]); };
        T expected = ops::reduce_in_order<T>(ops::ReduceKind::add, by_rows ? 64 : 4, n, element, [](T a, T b) { return a + b; });
        INFO(c.str() << " output " << o << ", " << k);
        REQUIRE(got[static_cast<std::size_t>(o * inner + k)] == static_cast<double>(expected));
      }
    }
  };
  for (std::int64_t n : {1, 2, 3, 4, 5, 63, 64, 65, 127, 1000, 4095, 4096, 4097, 8192, 20001}) {
    for (std::int64_t inner : {0, 1, 3, 16, 70}) {
      check(std::type_identity<float>{}, DType::float32, 2, n, inner);
      check(std::type_identity<double>{}, DType::float64, 1, n, inner);
    }
  }
  check(std::type_identity<float>{}, DType::float32, 1, 4096 * 70 + 5, 0);
}

TEST_CASE("the result of reducing nothing") {
  auto reduce_nothing = [](DType dtype, const std::string& kind) {
    OpCase c{.op = &ops::op("reduce"), .types = {{dtype, {2, 0}}}, .operands = {{}}, .attrs = {{"kind", kind}, {"axes", Ints{1}}}};
    return run_kernel(c, 1).numbers();
  };
  double infinity = std::numeric_limits<double>::infinity();
  CHECK(reduce_nothing(DType::float32, "add") == std::vector<double>{0, 0});
  CHECK(!std::signbit(reduce_nothing(DType::float32, "add")[0]));
  CHECK(reduce_nothing(DType::float16, "mul") == std::vector<double>{1, 1});
  CHECK(reduce_nothing(DType::float32, "max") == std::vector<double>{-infinity, -infinity});
  CHECK(reduce_nothing(DType::bfloat16, "min") == std::vector<double>{infinity, infinity});
  CHECK(reduce_nothing(DType::int8, "max") == std::vector<double>{-128, -128});
  CHECK(reduce_nothing(DType::boolean, "and") == std::vector<double>{1, 1});
  CHECK(reduce_nothing(DType::boolean, "or") == std::vector<double>{0, 0});
}

TEST_CASE("cast converts every pair of types") {
  double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> values = {0,    -0.0,   0.5,           -0.5,         1,      -1,      2.5,      127,       128,         255, 256,
                                -129, 300.75, -2147483648.0, 2147483648.0, 9.3e18, -9.3e18, infinity, -infinity, std::nan("")};
  for (int from = 0; from < kDTypeCount; ++from) {
    for (int to = 0; to < kDTypeCount; ++to) {
      auto source = static_cast<DType>(from);
      std::vector<double> chosen;
      for (double x : values) {
        bool fits =
            is_floating(source) ||
            (source == DType::boolean ? x == 0 || x == 1 : std::trunc(x) == x && std::abs(x) <= 127 && (x >= 0 || source != DType::uint8));
        if (fits) chosen.push_back(x);
      }
      OpCase c{.op = &ops::op("cast"),
               .types = {{source, {static_cast<std::int64_t>(chosen.size())}}},
               .operands = {chosen},
               .attrs = {{"dtype", static_cast<DType>(to)}}};
      GuardedTensor result = run_kernel(c, 1);
      std::vector<double> expected = GuardedTensor(result.type(), run_reference(c, stored(c))).numbers(), got = result.numbers();
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO(name(source) << " " << stored(c)[0][i] << " -> " << name(static_cast<DType>(to)));
        // The largest int64 is no double: the reference rounds it up.
        if (static_cast<DType>(to) == DType::int64 && stored(c)[0][i] >= 0x1p63) {
          CHECK(got[i] == 0x1p63);
        } else {
          CHECK((got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i]))));
        }
      }
    }
  }
}

TEST_CASE("random numbers are Philox's and well spread") {
  // Known answers of the reference implementation (Random123's kat_vectors, philox4x32 10).
  CHECK(ops::op("random").traits.random);
  auto random = [](const char* kind, DType dtype, std::int64_t seed, std::int64_t base, std::int64_t stream, std::int64_t n) {
    return OpCase{.op = &ops::op("random"),
                  .types = {{DType::int64, {2}}},
                  .operands = {{static_cast<double>(seed), static_cast<double>(base)}},
                  .attrs = {{"kind", kind}, {"shape", Shape{n}}, {"dtype", dtype}, {"stream", stream}}};
  };
  std::vector<double> bits = run_kernel(random("bits", DType::int32, 0, 0, 0, 4), 1).numbers();
  std::vector<double> expected;
  for (std::uint32_t word : {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}) expected.push_back(static_cast<std::int32_t>(word));
  CHECK(bits == expected);
  CHECK(run_kernel(random("bits", DType::int32, 9, 3, 4, 100), 1).numbers() ==
        run_kernel(random("bits", DType::int32, 9, 7, 0, 100), 2).numbers());
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    check_kernel(random("uniform", dtype, 42, 1, 2, 20001), 0, {});
    OpCase normal = random("normal", dtype, 42, 1, 2, 20001);
    std::vector<double> ones(20001, 1.0);
    check_kernel(normal, 40, ones);
    double mean = 0, square = 0, low = 1, high = 0;
    for (double x : run_kernel(normal, 1).numbers()) {
      mean += x / 20001;
      square += x * x / 20001;
    }
    for (double x : run_kernel(random("uniform", dtype, 42, 1, 2, 20001), 1).numbers()) {
      low = std::min(low, x);
      high = std::max(high, x);
    }
    CHECK(std::abs(mean) < 0.03);
    CHECK(std::abs(square - 1) < 0.04);
    CHECK(low >= 0);
    CHECK(high < 1);
  }
}

TEST_CASE("padding between the elements of an axis of unknown length") {
  const ops::OpDef& pad = ops::op("pad");
  Attrs attrs{{"low", Ints{1}}, {"high", Ints{-1}}, {"interior", Ints{2}}};
  auto length = [&](Dim n) {
    std::vector<TensorType> operands = {{DType::float32, {n}}, {DType::float32, {}}};
    return pad.infer(pad, operands, attrs).shape[0];
  };
  Dim symbolic = length(Dim::symbol("n"));
  for (std::int64_t n : {0, 1, 2, 7}) {
    CHECK(symbolic.evaluate([&](std::string_view) { return n; }) == length(n));
    CHECK(length(n) == (n == 0 ? 0 : 3 * n - 2));
  }
}

TEST_CASE("indices out of range are reported") {
  OpCase c{.op = &ops::op("gather"),
           .types = {{DType::float32, {3, 2}}, {DType::int64, {2}}},
           .operands = {std::vector<double>(6, 1), {0, 3}},
           .attrs = {{"axis", std::int64_t{0}}}};
  CHECK_THROWS_WITH(run_kernel(c, 1), contains_text("gather: index 3 is out of range for axis 0 of length 3"));
  c.op = &ops::op("scatter_add");
  c.types.push_back({DType::float32, {2, 2}});
  c.operands.push_back(std::vector<double>(4, 1));
  c.operands[1] = {-1, 0};
  CHECK_THROWS_WITH(run_kernel(c, 1), contains_text("scatter_add: index -1 is out of range for axis 0 of length 3"));
}

namespace {

/// Prints the digest of the results of random cases of the ops that `takes` accepts.
template <class Takes>
void print_digest(const Takes& takes) {
  Rng rng(21);
  std::uint64_t hash = 1;
  for (const ops::OpDef& op : ops::structural_ops()) {
    for (int i = 0; i < 60; ++i) {
      TensorType x{random_dtype(rng), random_shape(rng)};
      std::optional<StructuralCase> generated = structural_case(op, x, rng);
      if (!generated) continue;
      OpCase c = make_case(op, *generated, rng, true);
      if (takes(op)) hash = digest(run_kernel(c, 1), hash);
    }
  }
  std::printf("digest %016llx\n", static_cast<unsigned long long>(hash));
}

}  // namespace

TEST_CASE("digest of ops without fma", "[.]") {
  print_digest([](const ops::OpDef& op) { return op.name != "contract" && op.name != "random"; });
}

TEST_CASE("digest of all structural ops", "[.]") {
  print_digest([](const ops::OpDef&) { return true; });
}

TEST_CASE("structural results have the same bits on every ISA level") {
  std::string baseline = run_with_target("baseline", "digest of ops without fma");
  REQUIRE(!baseline.empty());
  std::string avx2 = run_with_target("avx2", "digest of ops without fma");
  if (!avx2.empty()) CHECK(avx2 == baseline);
  std::string avx512 = run_with_target("avx512", "digest of all structural ops");
  if (!avx512.empty()) CHECK(avx512 == run_with_target("avx2", "digest of all structural ops"));
}
