// The element emitter on its second target: loop kernels for NVIDIA GPUs, as LLVM IR and as PTX.
#include <llvm/Config/Targets.h>

#include "codegen/nvvm_kernel.h"
#include "codegen_support.h"
#include "ops/elementwise.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

codegen::NvvmText compiled(const SpecBuilder& s) {
  codegen::NvvmText text = codegen::compile_nvvm(s.spec(), {});
  INFO(text.llvm);
  CHECK(contains(text.llvm, "define ptx_kernel void @kiln_kernel("));
  CHECK(contains(text.llvm, "target triple = \"nvptx64-nvidia-cuda\""));
  CHECK(contains(text.llvm, "@llvm.nvvm.read.ptx.sreg.tid.x()"));
  CHECK(contains(text.llvm, "@llvm.nvvm.read.ptx.sreg.ctaid.x()"));
  for (const char* alien : {"llvm.x86", "llvm.masked", "__nv_", "declare float @exp", "declare float @llvm.exp", "declare float @tanh"}) {
    INFO(alien);
    CHECK_FALSE(contains(text.llvm, alien));
  }
  CHECK(text.ptx.empty() == (LLVM_HAS_NVPTX_TARGET == 0));
  if (!text.ptx.empty()) {
    CHECK(contains(text.ptx, ".visible .entry kiln_kernel("));
    CHECK(contains(text.ptx, "%tid.x"));
    CHECK_FALSE(contains(text.ptx, ".extern"));
  }
  return text;
}

}  // namespace

TEST_CASE("every elementwise op has code for the GPU") {
  for (const ops::OpDef& op : ops::elementwise_ops()) {
    if (!ops::accepts(op.types, DType::float32)) continue;
    CAPTURE(op.name);
    SpecBuilder s;
    std::vector<int> operands;
    for (int i = 0; i < op.arity; ++i) {
      const bool condition = op.types == ops::TypeRule::select && i == 0;
      operands.push_back(s.input(condition ? DType::boolean : DType::float32, {1000}));
    }
    s.output(s.op(std::string(op.name).c_str(), operands));
    compiled(s);
  }
}

TEST_CASE("neighbouring elements move as vectors of four") {
  SpecBuilder s;
  const int x = s.input(DType::float32, {4096}), y = s.input(DType::float32, {4096});
  s.output(s.op("exp", {s.op("add", {x, y})}));
  const codegen::NvvmText text = compiled(s);
  CHECK(count(text.llvm, "load <4 x float>, ptr addrspace(1)") == 2);
  CHECK(contains(text.llvm, "@llvm.fma.v4f32"));
  CHECK(contains(text.llvm, "store <4 x float>"));
  if (!text.ptx.empty()) {
    CHECK(contains(text.ptx, "ld.global.nc.v4"));
    CHECK(contains(text.ptx, "st.global.v4"));
    CHECK(contains(text.ptx, "fma.rn.f32"));
    CHECK_FALSE(contains(text.ptx, ".ftz"));
    CHECK_FALSE(contains(text.ptx, "ex2.approx"));
  }
}

TEST_CASE("an element a thread where axes matter") {
  SpecBuilder s;
  const int x = s.input(DType::float32, {37, 21}), row = s.input(DType::float32, {21});
  const int b = s.op("broadcast", {row}, {{"shape", Shape{37, 21}}, {"dims", Ints{1}}});
  s.output(s.op("fma", {x, b, x}));
  const codegen::NvvmText text = compiled(s);
  CHECK(contains(text.llvm, "@llvm.fma.f32"));
  CHECK_FALSE(contains(text.llvm, "<4 x float>"));
}

TEST_CASE("square roots are rounded correctly") {
  SpecBuilder s;
  s.output(s.op("sqrt", {s.input(DType::float32, {64})}));
  const codegen::NvvmText text = compiled(s);
  CHECK(contains(text.llvm, "@llvm.nvvm.sqrt.rn.f"));
  if (!text.ptx.empty()) CHECK(contains(text.ptx, "sqrt.rn.f32"));
}

TEST_CASE("standard numerics contract on the GPU too") {
  for (const Numerics numerics : {Numerics::strict, Numerics::standard}) {
    SpecBuilder s;
    const int a = s.input(DType::float32, {64}), b = s.input(DType::float32, {64}), c = s.input(DType::float32, {64});
    s.output(s.op("add", {s.op("mul", {a, b}), c})).numerics(numerics);
    CHECK(contains(compiled(s).llvm, "@llvm.fma.v4f32") == (numerics == Numerics::standard));
  }
}

TEST_CASE("errors go to the context by compare and swap") {
  SpecBuilder s;
  const int x = s.input(DType::float32, {11, 19}), indices = s.input(DType::int64, {6});
  s.output(s.op("gather", {x, indices}, {{"axis", std::int64_t{1}}}));
  CHECK(contains(compiled(s).llvm, "cmpxchg ptr addrspace(1)"));
}
