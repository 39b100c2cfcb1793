// The door to the compiler: a missing library, one of another build, one that is no library.
#include "runtime/compile.h"

#include <kiln/error.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/catch.h"
#include "tests/temporary_directory.h"

using namespace kiln;
using namespace kiln::runtime;

namespace {

/// Runs one hidden test of this program in a process of its own, with KILN_COMPILER set.
int run_with(const std::string& compiler, const std::string& test) {
  std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  return std::system(("KILN_COMPILER='" + compiler + "' '" + program + "' '" + test + "' >/dev/null").c_str());
}

std::string compiler_variable() { return std::getenv("KILN_COMPILER"); }

void make_library(const std::string& path, const std::string& text) {
  std::string source = path + ".cpp";
  std::ofstream(source) << text;
  REQUIRE(std::system(
              ("c++ -std=c++20 -shared -fPIC -I" KILN_SOURCE_DIR " -I" KILN_SOURCE_DIR "/base -o " + path + " " + source).c_str()) == 0);
}

}  // namespace

TEST_CASE("in its own process: missing", "[.][missing]") {
  CHECK_THROWS_WITH(compile({}), "KILN_COMPILER names " + compiler_variable() +
                                     ", which does not exist: set it to the path of libkiln_compiler.so, or unset it");
  CHECK_FALSE(compiler_loaded());
  CHECK(compiler_build_id().empty());
}

TEST_CASE("in its own process: no library", "[.][no-library]") {
  CHECK_THROWS_AS(compile({}), CompileError);
  CHECK_THROWS_WITH(compile({}), Catch::Matchers::StartsWith("the compiler library " + compiler_variable() + " cannot be opened: "));
}

TEST_CASE("in its own process: another build", "[.][another-build]") {
  CHECK_THROWS_WITH(compile({}), Catch::Matchers::StartsWith("the compiler library " + compiler_variable() + " is of another build than "));
  CHECK_THROWS_WITH(compile({}), Catch::Matchers::EndsWith(": build the targets kiln and kiln_compiler together"));
  CHECK_FALSE(compiler_loaded());
}

TEST_CASE("in its own process: works", "[.][works]") {
  CompileResult result = compile({});
  CHECK(compiler_loaded());
  CHECK(result.plan.name == "made by the test");
  CompileRequest strict;
  strict.numerics = Numerics::strict;
  CHECK_THROWS_WITH(compile(strict), "compiling failed: not today");
}

TEST_CASE("the compiler library") {
  TemporaryDirectory temporary;
  std::string path = temporary.path() + "/libcompiler.so";
  CHECK(run_with(path, "[missing]") == 0);
  std::ofstream(path) << "no library";
  CHECK(run_with(path, "[no-library]") == 0);
  make_library(path, "extern \"C\" { void kiln_compile() {} unsigned long kiln_compiler_interface = 1; }");
  CHECK(run_with(path, "[another-build]") == 0);
  make_library(path, "extern \"C\" { void kiln_compile() {} }");
  CHECK(run_with(path, "[another-build]") == 0);
  make_library(path,
               "#include \"runtime/compile.h\"\n#include <stdexcept>\n"
               "extern \"C\" { extern const std::uint64_t kiln_compiler_interface; const std::uint64_t kiln_compiler_interface = "
               "kiln::runtime::kCompilerInterface;\n"
               "void kiln_compile(const kiln::runtime::CompileRequest& request, kiln::runtime::CompileResult& result) {\n"
               "  if (request.numerics == kiln::Numerics::strict) throw std::runtime_error(\"not today\");\n"
               "  result.plan.name = \"made by the test\"; } }");
  CHECK(run_with(path, "[works]") == 0);
}
