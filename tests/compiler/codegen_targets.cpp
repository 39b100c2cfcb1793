// Code for each level of each machine: the registers that it is made for are the ones it uses.
#include "codegen_support.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

/// The assembly of out = tanh(x * y) for any CPU of that level.
std::string assembly_for(Isa isa) {
  SpecBuilder s;
  const int x = s.input(DType::float32, {1000}), y = s.input(DType::float32, {1000});
  s.output(s.op("tanh", {s.op("mul", {x, y})}));
  codegen::LowLevelText text;
  const std::string object = codegen::compile_kernel(s.spec(), generic_target(isa), &text);
  CHECK(object.substr(1, 3) == "ELF");
  return text.assembly;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("x86-64 levels") {
  const std::string baseline = assembly_for(Isa::baseline), avx2 = assembly_for(Isa::avx2), avx512 = assembly_for(Isa::avx512);
  CHECK(has(baseline, "mulps"));
  CHECK(!has(baseline, "ymm"));
  CHECK(has(avx2, "ymm"));
  CHECK(has(avx2, "vfmadd"));
  CHECK(!has(avx2, "zmm"));
  CHECK(has(avx512, "zmm"));
}

TEST_CASE("AArch64 levels") {
  const std::string neon = assembly_for(Isa::neon), sve = assembly_for(Isa::sve256);
  CHECK(has(neon, ".4s"));
  CHECK(has(neon, "fmla"));
  CHECK(!has(neon, "ptrue"));
  CHECK(has(sve, "ptrue"));
  CHECK(has(sve, "ld1w"));
  CHECK(has(sve, "z0.s"));
}

TEST_CASE("levels by name") {
  CHECK(isa_named("sve256") == Isa::sve256);
  CHECK(generic_target(Isa::neon).float_lanes() == 4);
  CHECK(generic_target(Isa::sve256).float_lanes() == 8);
  CHECK(generic_target(Isa::sve256).has_fma());
  CHECK(generic_target(Isa::avx512).cpu == "x86-64-v4");
  CHECK_THROWS_WITH(isa_named("sve"), "environment variable KILN_TARGET: \"sve\" is not baseline, avx2, avx512, neon or sve256");
}
