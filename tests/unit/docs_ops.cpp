// docs/ops.md is what the generator writes, and its examples print what it says.
#include <kiln/kiln.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "ops/op.h"
#include "tests/catch.h"
#include "tests/temporary_directory.h"

using namespace kiln;

namespace {

struct Example {
  const char* expression;
  std::string printed;
  const char* expected;
};

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("the examples of structural and composite ops") {
  const Example examples[] = {
#include "tests/doc_examples.inc"
  };
  CHECK(std::size(examples) > 30);
  for (const Example& e : examples) {
    INFO(e.expression);
    CHECK(e.printed == e.expected);
  }
}

TEST_CASE("docs/ops.md is not stale: ./dev docs writes it") {
  TemporaryDirectory temporary;
  const std::string fresh = temporary.path() + "/ops.md";
  REQUIRE(std::system((std::string(KILN_BINARY_DIR) + "/ops/kiln_gen_headers --docs " + fresh).c_str()) == 0);
  const std::string text = read_file(fresh);
  CHECK(text == read_file(std::string(KILN_SOURCE_DIR) + "/docs/ops.md"));
  for (const ops::OpDef* op : ops::all_ops()) {
    INFO(op->name);
    CHECK(text.find("| `" + std::string(op->name)) != std::string::npos);
  }
}
