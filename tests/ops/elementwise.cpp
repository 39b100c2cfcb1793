// Every elementwise op, dtype and edge value: eager kernel against the double reference, at every ISA level.
#include "ops/elementwise.h"

#include <fmt/format.h>

#include "base/require.h"
#include "base/thread_pool.h"
#include "ops/all_elementwise.h"
#include "tests/catch.h"
#include "tests/message_of.h"
#include "tests/ops/elementwise_support.h"

using namespace kiln;
using kiln::testing::message_of;
using namespace kiln::test;
using ops::OpDef;
using ops::TypeRule;

namespace {

/// Calls f(op, dtype) for every elementwise op and every dtype it takes.
template <class F>
void for_each_case(F&& f) {
  for (const OpDef& op : ops::elementwise_ops()) {
    for (DType t : kDTypes) {
      if (ops::accepts(op.types, t)) f(op, t);
    }
  }
}

/// Ulps of the result's dtype that an op may be off; correctly rounded ops have half of one. Halves round a float32 once.
double bound(const OpDef& op, DType t) {
  if (op.traits.exact || !is_floating(t)) return 0;
  double own = op.traits.cost < 10 ? 0.5 : t == DType::float64 ? 3.0 : 2.5;  // the reference itself has an ulp in float64
  return t == DType::float16 || t == DType::bfloat16 ? 0.502 : own;
}

/// A line that says how to run this case again.
std::string label(const OpDef& op, DType t, Isa isa) {
  return fmt::format("{} {} isa {}: tests/ops_elementwise \"{}\" -c {}", op.name, name(t), static_cast<int>(isa), "every op", op.name);
}

std::string arguments(std::vector<Guarded>& operands, std::size_t i) {
  std::string text;
  for (Guarded& g : operands) text += fmt::format("{}{:a}", text.empty() ? "" : ", ", g.at(i));
  return text;
}

/// a * b + c in two roundings differs from one without bound where it cancels.
bool fma_in_two_steps(const OpDef& op, Isa isa) { return op.name == "fma" && isa == Isa::baseline; }

/// floor(a / b) takes the quotient as rounded to the dtype it computes in.
double adjusted(const OpDef& op, DType t, std::vector<Guarded>& operands, std::size_t i, double want) {
  if (op.name != "floordiv" || !is_floating(t) || t == DType::float64) return want;
  return std::floor(static_cast<float>(operands[0].at(i)) / static_cast<float>(operands[1].at(i)));
}

std::string check_against_reference(Isa isa, const OpDef& op, DType t) {
  std::vector<Guarded> operands = operands_for(op, t, useful_count(op, t), 1);
  std::vector<double> want = reference(op, operands);
  Guarded got = run(isa, op, operands);
  if (!got.guards_hold()) return "wrote outside its result";
  double worst = bound(op, t);
  std::string text;
  for (std::size_t i = 0; i < want.size(); ++i) {
    double expected = adjusted(op, t, operands, i, want[i]);
    // Powers of 64-bit integers and products beyond 2^53 do not fit the reference's doubles.
    if (t == DType::int64 && std::fabs(expected) >= 0x1p53) continue;
    double distance = is_floating(got.dtype()) ? ulp_distance(got.dtype(), got.at(i), expected) : std::fabs(got.at(i) - expected);
    if (distance > worst) {
      worst = distance;
      text = fmt::format("({}) = {:a}, want {:a}: off by {} ulp", arguments(operands, i), got.at(i), expected, distance);
    }
  }
  return text;
}

}  // namespace

TEST_CASE("elementwise: every op agrees with the reference on edge values at every level") {
  for (Isa isa : isa_levels()) {
    for_each_case([&](const OpDef& op, DType t) {
      if (fma_in_two_steps(op, isa)) return;
      INFO(label(op, t, isa));
      CHECK(check_against_reference(isa, op, t) == "");
    });
  }
}

TEST_CASE("elementwise: worked examples hold for every dtype that stores them") {
  for_each_case([&](const OpDef& op, DType t) {
    REQUIRE(op.examples.size() >= 2);
    for (const ops::Example& example : op.examples) {
      std::vector<Guarded> operands;
      bool stored = true;
      for (int k = 0; k < op.arity; ++k) {
        double x = example.in[static_cast<std::size_t>(k)];
        Guarded& g = operands.emplace_back(operand_dtype(op, k, t), Shape{1});
        bool finite = std::isfinite(x) || is_floating(g.dtype());
        g.set(0, finite ? x : 0);
        stored = stored && finite && (g.at(0) == x || std::isnan(x));
      }
      if (!stored || (std::floor(example.out) != example.out && !is_floating(t)) || (t == DType::uint8 && example.out < 0)) continue;
      double got = run(current_target().isa, op, operands).at(0);
      double tolerance = t == DType::float64    ? 1e-14
                         : t == DType::float32  ? 1e-6
                         : t == DType::float16  ? 1e-3
                         : t == DType::bfloat16 ? 1e-2
                                                : 0;
      INFO(op.name << " " << name(t) << " " << example.in[0] << " " << example.in[1] << " " << example.in[2] << " gives " << got);
      CHECK(std::fabs(got - example.out) <= tolerance * std::fabs(example.out));
    }
  });
}

TEST_CASE("elementwise: a result depends on its operands only, not on length or position") {
  for (Isa isa : isa_levels()) {
    for_each_case([&](const OpDef& op, DType t) {
      constexpr std::int64_t kCount = 131;  // more than one register of bytes, with a tail
      std::vector<Guarded> operands = operands_for(op, t, kCount, 2);
      std::string whole = run(isa, op, operands).bits();
      std::size_t width = whole.size() / kCount;
      for (std::int64_t length : {1, 2, 3, 15, 16, 17, 33, 63, 64, 65, 127}) {
        for (std::int64_t start : {std::int64_t{0}, kCount - length}) {
          std::vector<Guarded> part;
          for (Guarded& g : operands) {
            Guarded& copy = part.emplace_back(g.dtype(), Shape{length});
            std::memcpy(copy.data(), static_cast<char*>(g.data()) + static_cast<std::size_t>(start) * size_of(g.dtype()),
                        copy.bits().size());
          }
          Guarded result = run(isa, op, part);
          INFO(label(op, t, isa) << " length " << length << " start " << start);
          REQUIRE(result.guards_hold());
          REQUIRE(result.bits() == whole.substr(static_cast<std::size_t>(start) * width, static_cast<std::size_t>(length) * width));
        }
      }
    });
  }
}

TEST_CASE("elementwise: AVX2 and AVX-512 give equal bits") {
  if (current_target().isa != Isa::avx512) return;
  for_each_case([&](const OpDef& op, DType t) {
    std::vector<Guarded> operands = operands_for(op, t, useful_count(op, t) + 20000, 3);
    Guarded narrow = run(Isa::avx2, op, operands);
    Guarded wide = run(Isa::avx512, op, operands);
    std::string first;
    for (std::size_t i = 0; i < narrow.count() && first.empty(); ++i) {
      bool equal = narrow.at(i) == wide.at(i) && std::signbit(narrow.at(i)) == std::signbit(wide.at(i));
      if (!equal && !(std::isnan(narrow.at(i)) && std::isnan(wide.at(i))))
        first = fmt::format("({}): {:a} and {:a}", arguments(operands, i), narrow.at(i), wide.at(i));
    }
    INFO(op.name << " " << name(t));
    CHECK(first == "");
  });
}

TEST_CASE("elementwise: empty tensors") {
  for_each_case([&](const OpDef& op, DType t) {
    std::vector<Guarded> operands;
    for (int k = 0; k < op.arity; ++k) operands.emplace_back(operand_dtype(op, k, t), k == 0 ? Shape{3, 0} : Shape{3, 1});
    if (op.arity > 1 && op.traits.fallible) {
      for (std::size_t i = 0; i < 3; ++i) operands[1].set(i, 0);  // no element of the result divides by it
    }
    Guarded result = run(current_target().isa, op, operands);
    CHECK(result.shape() == Shape{3, 0});
    CHECK(result.guards_hold());
  });
}

namespace {

/// Element of `from` that stands at `index` of a result of shape `to`.
std::size_t broadcast_place(const Shape& from, const Shape& to, std::int64_t index) {
  std::int64_t place = 0;
  std::int64_t stride = 1;
  for (int axis = to.rank() - 1; axis >= 0; --axis) {
    std::int64_t position = index % static_cast<std::int64_t>(to[axis]);
    index /= static_cast<std::int64_t>(to[axis]);
    int own = axis - to.rank() + from.rank();
    if (own < 0) continue;
    std::int64_t length = from[own];
    if (length != 1) place += position * stride;
    stride *= length;
  }
  return static_cast<std::size_t>(place);
}

void check_broadcast(const OpDef& op, DType t, const std::vector<Shape>& shapes) {
  std::vector<Guarded> operands;
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    std::vector<Guarded> filled = operands_for(op, t, shapes[k].count(), 7 + k);
    Guarded& g = operands.emplace_back(operand_dtype(op, static_cast<int>(k), t), shapes[k]);
    std::memcpy(g.data(), filled[k].data(), g.bits().size());
  }
  Guarded got = run(current_target().isa, op, operands);
  std::vector<Guarded> expanded;
  for (Guarded& g : operands) {
    Guarded& e = expanded.emplace_back(g.dtype(), got.shape());
    std::size_t width = size_of(g.dtype());
    for (std::size_t i = 0; i < e.count(); ++i) {
      std::size_t from = broadcast_place(g.shape(), got.shape(), static_cast<std::int64_t>(i));
      std::memcpy(static_cast<char*>(e.data()) + i * width, static_cast<char*>(g.data()) + from * width, width);
    }
  }
  Guarded want = run(current_target().isa, op, expanded);
  INFO(op.name << " " << name(t) << " " << shapes[0].str() << " " << shapes[1].str());
  REQUIRE(got.guards_hold());
  REQUIRE(got.bits() == want.bits());
}

}  // namespace

TEST_CASE("elementwise: broadcasting agrees with a naive loop") {
  const std::vector<std::vector<Shape>> pairs = {{Shape{7, 33}, Shape{33}},
                                                 {Shape{7, 33}, Shape{7, 1}},
                                                 {Shape{7, 33}, Shape{}},
                                                 {Shape{}, Shape{7, 33}},
                                                 {Shape{7, 1}, Shape{1, 33}},
                                                 {Shape{1, 33}, Shape{7, 1}},
                                                 {Shape{2, 3, 4, 5}, Shape{3, 1, 5}},
                                                 {Shape{2, 1, 4, 1}, Shape{1, 3, 1, 5}},
                                                 {Shape{5, 1, 1}, Shape{5, 6, 70}},
                                                 {Shape{6, 70}, Shape{5, 1, 70}},
                                                 {Shape{1}, Shape{1, 1}},
                                                 {Shape{}, Shape{}},
                                                 {Shape{1000, 3}, Shape{3}},
                                                 {Shape{1000, 3}, Shape{1000, 1}},
                                                 {Shape{2, 1, 2, 1, 2, 1, 2, 1}, Shape{1, 3, 1, 3, 1, 3, 1, 3}},
                                                 {Shape{64, 128}, Shape{128}},
                                                 {Shape{0, 3}, Shape{1, 3}}};
  for (std::string_view op : {"add", "less", "sub"}) {
    for (DType t : {DType::float32, DType::int8, DType::float64, DType::bfloat16}) {
      for (const std::vector<Shape>& shapes : pairs) check_broadcast(ops::op(op), t, shapes);
    }
  }
  const std::vector<std::vector<Shape>> triples = {{Shape{7, 33}, Shape{33}, Shape{7, 1}},  {Shape{7, 1}, Shape{}, Shape{7, 33}},
                                                   {Shape{}, Shape{7, 33}, Shape{33}},      {Shape{2, 1, 3}, Shape{4, 1}, Shape{1, 3}},
                                                   {Shape{3}, Shape{5, 3}, Shape{2, 5, 1}}, {Shape{1}, Shape{}, Shape{1, 1}}};
  for (const std::vector<Shape>& shapes : triples) {
    check_broadcast(ops::op("where"), DType::float64, shapes);
    check_broadcast(ops::op("where"), DType::boolean, shapes);
    check_broadcast(ops::op("where"), DType::int8, shapes);
    check_broadcast(ops::op("fma"), DType::float32, shapes);
  }
}

TEST_CASE("elementwise: large tensors on several threads have the bits of one thread") {
  int before = num_threads();
  for (const std::vector<Shape>& shapes :
       std::vector<std::vector<Shape>>{{Shape{300001}, Shape{300001}}, {Shape{1001, 301}, Shape{301}}, {Shape{3, 100001}, Shape{3, 1}}}) {
    std::string bits[2];
    for (int threads : {1, 4}) {
      set_num_threads(threads);
      std::vector<Guarded> operands;
      for (const Shape& s : shapes) {
        Guarded& g = operands.emplace_back(DType::float32, s);
        for (std::size_t i = 0; i < g.count(); ++i) g.set(i, 0.5 + static_cast<double>(i % 1013) * 0.01);
      }
      Guarded result = run(current_target().isa, ops::op("pow"), operands);
      CHECK(result.guards_hold());
      bits[threads == 4] = result.bits();
    }
    CHECK(bits[0] == bits[1]);
  }
  set_num_threads(before);
}

TEST_CASE("elementwise: the result may be one of the operands") {
  for (std::string_view name : {"add", "exp", "maximum"}) {
    const OpDef& op = ops::op(name);
    std::vector<Guarded> operands = operands_for(op, DType::float32, 1003, 5);
    std::string want = run(current_target().isa, op, operands).bits();
    ops::elementwise_kernel(op, views(operands), operands[0].view(), {});
    CHECK(operands[0].bits() == want);
    CHECK(operands[0].guards_hold());
  }
}

namespace {

std::string infer_message(std::string_view op, std::vector<TensorType> types) {
  return message_of([&] { ops::op(op).infer(ops::op(op), types, {}); });
}

}  // namespace

TEST_CASE("elementwise: result types") {
  auto type = [](std::string_view op, std::vector<TensorType> types) { return ops::op(op).infer(ops::op(op), types, {}).str(); };
  CHECK(type("add", {{DType::float32, Shape{2, 3}}, {DType::float32, Shape{3}}}) == "float32[2, 3]");
  CHECK(type("less", {{DType::int8, Shape{2, 1}}, {DType::int8, Shape{1, 3}}}) == "bool[2, 3]");
  CHECK(type("isnan", {{DType::float16, Shape{}}}) == "bool[]");
  CHECK(type("where", {{DType::boolean, Shape{2, 1}}, {DType::int64, Shape{3}}, {DType::int64, Shape{}}}) == "int64[2, 3]");
  CHECK(type("logical_not", {{DType::boolean, Shape{4}}}) == "bool[4]");
  CHECK(type("bit_xor", {{DType::boolean, Shape{4}}, {DType::boolean, Shape{4}}}) == "bool[4]");
  CHECK(type("add", {{DType::float32, Shape{Dim::symbol("n"), 3}}, {DType::float32, Shape{1, 3}}}) == "float32[n, 3]");
}

TEST_CASE("elementwise: wrong operands are told exactly") {
  TensorType f23 = {DType::float32, Shape{2, 3}}, f4 = {DType::float32, Shape{4}}, i23 = {DType::int32, Shape{2, 3}},
             b23 = {DType::boolean, Shape{2, 3}};
  CHECK(infer_message("add", {f23, f4}) ==
        "add: shapes do not broadcast: float32[2, 3] and float32[4]; lengths must be equal or 1, counted from the last axis");
  CHECK(infer_message("add", {f23, i23}) ==
        "add: operands must have one dtype, got float32[2, 3] and int32[2, 3]; convert one with cast()");
  CHECK(infer_message("exp", {i23}) == "exp: takes floating-point numbers, got int32[2, 3]; convert with cast()");
  CHECK(infer_message("add", {b23, b23}) == "add: takes numbers, got bool[2, 3] and bool[2, 3]; convert with cast()");
  CHECK(infer_message("logical_and", {f23, f23}) == "logical_and: takes bools, got float32[2, 3] and float32[2, 3]; convert with cast()");
  CHECK(infer_message("bit_or", {f23, f23}) == "bit_or: takes integers or bools, got float32[2, 3] and float32[2, 3]; convert with cast()");
  CHECK(infer_message("where", {f23, f23, f23}) ==
        "where: the condition must be bool, got float32[2, 3]; convert it with cast() or compare it with 0");
  CHECK(infer_message("where", {b23, f23, i23}) ==
        "where: operands must have one dtype, got float32[2, 3] and int32[2, 3]; convert one with cast()");
  CHECK(infer_message("add", {f23}) == "add: takes 2 operands, got 1");
  CHECK(infer_message("exp", {f23, f23}) == "exp: takes 1 operand, got 2");
  CHECK(message_of([] { ops::op("frobnicate"); }) == "there is no op named \"frobnicate\"");
  CHECK(ops::find_op("frobnicate") == nullptr);
}

TEST_CASE("elementwise: integer division by zero is an error") {
  for (std::string_view name : {"div", "rem", "mod", "floordiv"}) {
    std::vector<Guarded> operands = operands_for(ops::op(name), DType::int32, 40, 6);
    operands[1].set(37, 0);
    CHECK(message_of([&] { run(current_target().isa, ops::op(name), operands); }) ==
          fmt::format("{}: integer division by zero (int32[40])", name));
    CHECK_THROWS_AS(run(current_target().isa, ops::op(name), operands), RuntimeError);
  }
}

TEST_CASE("elementwise: the table of ops is sound") {
  for (const OpDef& op : ops::elementwise_ops()) {
    INFO(op.name);
    CHECK(ops::find_op(op.name) == &op);
    CHECK(op.doc.ends_with("."));
    CHECK(op.traits.cost > 0);
    CHECK(op.arity >= 1);
    CHECK(op.arity <= 3);
  }
  CHECK(ops::op("where").arity == 3);
  CHECK(ops::op("logical_not").arity == 1);
  CHECK(ops::op("less").arity == 2);
  CHECK(ops::op("tanh").differentiable);
  CHECK_FALSE(ops::op("less").differentiable);
}

TEST_CASE("elementwise: traits are true") {
  for_each_case([&](const OpDef& op, DType t) {
    std::vector<Guarded> operands = operands_for(op, t, useful_count(op, t), 8);
    Isa isa = current_target().isa;
    auto equal = [&](Guarded a, Guarded b) {
      for (std::size_t i = 0; i < a.count(); ++i) {
        if (ulp_distance(DType::float64, a.at(i), b.at(i)) != 0) return fmt::format("at ({})", arguments(operands, i));
      }
      return std::string();
    };
    INFO(op.name << " " << name(t));
    if (op.traits.commutative) {
      std::vector<Guarded> swapped = {operands[1], operands[0]};
      CHECK(equal(run(isa, op, operands), run(isa, op, swapped)) == "");
    }
    if (op.traits.idempotent && op.arity == 2) {
      std::vector<Guarded> twice = {operands[0], operands[0]};
      CHECK(equal(run(isa, op, twice), operands[0]) == "");
    }
    if (op.arity == 1 && (op.traits.idempotent || op.traits.involution)) {
      std::vector<Guarded> once = {run(isa, op, operands)};
      CHECK(equal(run(isa, op, once), op.traits.involution ? operands[0] : once[0]) == "");
    }
    if (op.traits.has_identity) {
      std::vector<Guarded> with = {operands[0], Guarded(t, Shape{})};
      with[1].set(0, op.traits.identity);
      std::vector<Guarded> values = {operands[0]};
      for (std::size_t i = 0; i < values[0].count(); ++i) {
        if (values[0].at(i) == 0) values[0].set(i, 0);  // -0 + 0 is +0
      }
      std::vector<Guarded> plain = {values[0], with[1]};
      CHECK(equal(run(isa, op, plain), values[0]) == "");
    }
  });
}
