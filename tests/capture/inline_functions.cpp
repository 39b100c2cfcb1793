// Traced functions in headers have one cache over all translation units; those in unnamed namespaces one each.
#include "tests/capture/units/steps.h"
#include "tests/catch.h"

using namespace kiln;

namespace {
KILN_FUNCTION(Tensor, local_function, (Tensor x)) { return x - 3; }
}  // namespace

TEST_CASE("an inline function is one function") {
  Tensor x = tensor({1.f, 2.f});
  CHECK(static_cast<const void*>(&shared_step) == address_in_other_unit());
  std::string here = shared_step.concrete(x).ir(Stage::captured);
  std::string there = ir_in_other_unit(x);
  CHECK(shared_runs == 1);
  CHECK(there.find(here) == 0);
  CHECK(there.find("mul") != std::string::npos);
  CHECK(local_function.concrete(x).ir(Stage::captured).find("sub") != std::string::npos);
}

TEST_CASE("a nested call is spliced into the caller's graph") {
  std::string ir = outer_step.concrete(tensor({1.f, 2.f})).ir(Stage::captured);
  CHECK(shared_runs == 1);
  CHECK(ir.find("add") != std::string::npos);
  CHECK(ir.find("mul") != std::string::npos);
}
