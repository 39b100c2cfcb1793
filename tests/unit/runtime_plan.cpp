// KernelSpec and Plan as bytes: round trips, and damage of every kind.
#include "runtime/plan.h"

#include <kiln/error.h>

#include <cstring>
#include <random>

#include "tests/catch.h"

using namespace kiln;
using namespace kiln::runtime;

namespace {

Literal float_literal(std::vector<float> values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {{DType::float32, Shape{static_cast<std::int64_t>(values.size())}},
          false,
          std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
}

KernelSpec add_kernel() {
  KernelSpec spec;
  BodyNode x{"", DType::float32, {0}, {}, {}, -1};
  BodyNode sum{"add", DType::float32, {0}, {0, 1}, {}, -1};
  BodyNode clipped{
      "reduce", DType::float32, {0}, {2}, Attrs{{"kind", std::string("max")}, {"axes", Ints{0}}, {"x", 1.5}, {"d", DType::int8}}, 3};
  spec.body = {x, x, sum, clipped};
  spec.num_inputs = 2;
  spec.outputs = {2, 3};
  spec.num_dims = 1;
  spec.constant_dims = {{0, 64}};
  spec.aliases = {{0, 1}};
  return spec;
}

Plan sample_plan() {
  Plan plan;
  plan.name = "train_step";
  plan.dims = {{DimExpr::Op::input_dim, 0, 0}, {DimExpr::Op::constant, 64, 0}, {DimExpr::Op::mul, 0, 1}, {DimExpr::Op::constant, 0, 0}};
  plan.inputs = {{DType::float32, {0, 1}}, {DType::float32, {1}}};
  PlanOutput result{{DType::float32, {0}}, PlanOutput::Source::fresh, 0, -1, false};
  PlanOutput state{{DType::float32, {1}}, PlanOutput::Source::fresh, 0, 1, true};
  PlanOutput copy{{DType::float32, {1}}, PlanOutput::Source::output, 0, -1, false};
  plan.outputs = {result, copy, state};
  plan.num_results = 2;
  plan.arena = {{3, 2}};
  plan.arena_bytes = 2;
  plan.constants = {float_literal({1, 2, 3})};
  plan.kernels = {add_kernel()};
  Launch launch;
  launch.kernel = 0;
  using Where = ArgRef::Where;
  launch.args = {{Where::input, 0}, {Where::constant, 0}, {Where::output, 0}, {Where::arena, 0}};
  launch.dims = {1};
  Launch product;
  product.kind = Launch::Kind::contraction;
  product.contraction.row = {{0, 1, 3, 1}};
  product.contraction.depth = {{1, 3, 1, 3}};
  product.contraction.windows = {{0, 0, 1, 1, 2, 1, 1, -1, true}};
  product.lhs = {Where::input, 0};
  product.rhs = {Where::input, 1};
  product.out = {Where::output, 2};
  plan.launches = {launch, product};
  plan.equal_dims = {{0, 1}};
  plan.op_nodes = {{"add", 4}, {"contract", 7}};
  return plan;
}

/// deserialize must throw FileError, or succeed; nothing else.
template <class T>
bool survives(const std::string& bytes) {
  try {
    T::deserialize(bytes);
    return true;
  } catch (const FileError&) {
    return false;
  }
}

template <class Change>
std::string damage_text(const Change& change) {
  Plan plan = sample_plan();
  change(plan);
  try {
    plan.check();
  } catch (const FileError& e) {
    try {
      Plan::deserialize(plan.serialize());
    } catch (const FileError& again) {
      CHECK(e.message() == again.message());
      return e.message();
    }
  }
  return "no error";
}

}  // namespace

TEST_CASE("a spec goes through bytes unchanged; its key depends on every field") {
  KernelSpec spec = add_kernel();
  std::string bytes = spec.serialize();
  CHECK(KernelSpec::deserialize(bytes).serialize() == bytes);
  CHECK(spec.key().size() == 32);
  CHECK(add_kernel().key() == spec.key());
  std::vector<KernelSpec> others(9, spec);
  others[0].kind = KernelKind::tile;
  others[1].numerics = Numerics::strict;
  others[2].body[2].op = "mul";
  others[3].body[0].dtype = DType::float64;
  others[4].outputs = {3, 2};
  others[5].constant_dims = {};
  others[6].aliases = {};
  others[7].body[3].attrs.set("kind", std::string("min"));
  others[8].body[3].ordinal = 4;
  for (const KernelSpec& other : others) CHECK(other.key() != spec.key());
}

TEST_CASE("the text of a spec") {
  std::string text = add_kernel().text();
  CHECK(text == "kernel " + add_kernel().key() +
                    " loop standard d0=64 output0~input1\n"
                    "  %0 = input : float32[d0]\n"
                    "  %1 = input : float32[d0]\n"
                    "  %2 = add %0, %1 : float32[d0]\n"
                    "  %3 = reduce %2 {axes = [0], d = int8, kind = \"max\", x = 1.5} : float32[d0]\n"
                    "  write %2, %3\n");
}

TEST_CASE("a plan goes through bytes unchanged") {
  Plan plan = sample_plan();
  std::string bytes = plan.serialize();
  Plan read = Plan::deserialize(bytes);
  CHECK(read.serialize() == bytes);
  CHECK(read.name == "train_step");
  CHECK(read.outputs[2].in_place);
  CHECK(read.constants[0] == plan.constants[0]);
  CHECK(read.launches[1].contraction.windows[0].padding_low == -1);
  CHECK(read.op_nodes[1].second == 7);
}

TEST_CASE("a plan cut anywhere is a FileError") {
  std::string bytes = sample_plan().serialize();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO("cut to " << length);
    REQUIRE_FALSE(survives<Plan>(bytes.substr(0, length)));
  }
  CHECK_FALSE(survives<Plan>(bytes + "x"));
  CHECK_THROWS_WITH(Plan::deserialize(bytes.substr(0, 100)), "a cached plan is damaged: cut short");
  CHECK_THROWS_WITH(Plan::deserialize(bytes + "x"), "a cached plan is damaged: trailing bytes");
}

TEST_CASE("a plan with flipped bytes is a FileError or still a valid plan") {
  std::string bytes = sample_plan().serialize();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      survives<Plan>(damaged);
    }
  }
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 4; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    survives<Plan>(damaged);
  }
  SUCCEED();
}

TEST_CASE("every index of a plan is checked") {
  auto prefix = [](const std::string& how) { return "a cached plan is damaged: " + how; };
  CHECK(damage_text([](Plan& p) { p.dims[2].a = 2; }) == prefix("a length computed from later ones"));
  CHECK(damage_text([](Plan& p) { p.dims[2].b = -1; }) == prefix("a length computed from later ones"));
  CHECK(damage_text([](Plan& p) { p.dims[0].a = 2; }) == prefix("a length of an unknown input"));
  CHECK(damage_text([](Plan& p) { p.dims[0].b = 2; }) == prefix("a length of an unknown axis"));
  CHECK(damage_text([](Plan& p) { p.inputs[0].shape[1] = 4; }) == prefix("a length out of range"));
  CHECK(damage_text([](Plan& p) { p.inputs[0].shape.assign(9, 1); }) == prefix("too many axes"));
  CHECK(damage_text([](Plan& p) { p.num_results = 4; }) == prefix("a count of results out of range"));
  CHECK(damage_text([](Plan& p) { p.outputs[1].index = 1; }) == prefix("an output of a later output"));
  CHECK(damage_text([](Plan& p) { p.outputs[2].state_input = 2; }) == prefix("an unknown state input"));
  CHECK(damage_text([](Plan& p) { p.outputs[0].in_place = true; }) == prefix("an output in place of nothing"));
  CHECK(damage_text([](Plan& p) { p.arena[0].bytes = 99; }) == prefix("a length out of range"));
  CHECK(damage_text([](Plan& p) { p.arena_bytes = -1; }) == prefix("an arena without a size"));
  CHECK(damage_text([](Plan& p) { p.launches[0].kernel = 1; }) == prefix("an unknown kernel"));
  CHECK(damage_text([](Plan& p) { p.launches[0].kernel = -1; }) == prefix("an unknown kernel"));
  CHECK(damage_text([](Plan& p) { p.launches[0].args[0].index = 2; }) == prefix("an argument of an unknown input"));
  CHECK(damage_text([](Plan& p) { p.launches[0].args[1].index = -1; }) == prefix("an argument of an unknown constant"));
  CHECK(damage_text([](Plan& p) { p.launches[0].args[3].index = 1; }) == prefix("an argument outside the arena"));
  CHECK(damage_text([](Plan& p) { p.launches[0].args.pop_back(); }) == prefix("a launch with the wrong number of arguments"));
  CHECK(damage_text([](Plan& p) { p.launches[0].dims.clear(); }) == prefix("a launch with the wrong number of lengths"));
  CHECK(damage_text([](Plan& p) { p.launches[0].first_ordinal = 3; }) == prefix("an unknown op"));
  CHECK(damage_text([](Plan& p) { p.launches[1].kernel = 0; }) == prefix("a launch of the wrong kind of kernel"));
  CHECK(damage_text([](Plan& p) { p.launches[1].contraction.row[0].extent = 4; }) == prefix("a length out of range"));
  CHECK(damage_text([](Plan& p) { p.launches[1].contraction.row.resize(9); }) == prefix("too many loops"));
  CHECK(damage_text([](Plan& p) { p.launches[1].contraction.windows[0].row = 1; }) == prefix("a window over unknown loops"));
  CHECK(damage_text([](Plan& p) { p.launches[1].micro_kernels = {0}; }) == prefix("a launch of the wrong kind of kernel"));
  CHECK(damage_text([](Plan& p) { p.equal_dims[0].second = 77; }) == prefix("a length out of range"));
  CHECK_THROWS_WITH(
      [] {
        Plan p = sample_plan();
        p.kernels[0].body[2].operands[0] = 2;
        Plan::deserialize(p.serialize());
      }(),
      "a cached kernel is damaged: an operand out of range");
  CHECK_THROWS_WITH(
      [] {
        Plan p = sample_plan();
        p.constants[0].type.shape.push_back(std::int64_t{1} << 62);
        Plan::deserialize(p.serialize());
      }(),
      "a cached plan is damaged: a constant of impossible shape");
}
