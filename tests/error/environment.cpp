// Environment variables with nonsense in them: a typed error that names the variable, at the first use of Kiln, in a process of its own.
#include <kiln/kiln.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "runtime/compile.h"
#include "tests/catch.h"
#include "tests/temporary_directory.h"

using namespace kiln;
namespace fs = std::filesystem;

namespace {

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// What the hidden test "[program]" says in a process with that environment: "ok", or the error; and what it writes to stderr.
struct Outcome {
  int status = -1;
  std::string said, err;
};
Outcome with(const std::string& environment) {
  TemporaryDirectory temporary;
  const std::string program = fs::read_symlink("/proc/self/exe").string(), said = temporary.path() + "/said",
                    err = temporary.path() + "/err";
  Outcome o;
  o.status = std::system(("KILN_CACHE_DIR='" + temporary.path() + "/cache' KILN_TEST_OUTPUT='" + said + "' " + environment + " '" +
                          program + "' '[program]' >/dev/null 2>'" + err + "'")
                             .c_str());
  o.said = read_file(said);
  o.err = read_file(err);
  return o;
}

std::string use_kiln() {
  try {
    Tensor x = tensor({1.f, 2.f, 3.f});
    if ((x + 1).str() != "[2. 3. 4.]") return "wrong numbers";
    if (runtime::compiler_build_id().empty()) return "ok";
    auto f = kiln::function([](Tensor t) { return t * 2; });
    return f(x).str() == "[2. 4. 6.]" ? "ok" : "wrong numbers";
  } catch (const ValueError& e) {
    return std::string("ValueError: ") + e.message();
  } catch (const std::exception& e) {
    return std::string("another error: ") + e.what();
  }
}

void check_error(const std::string& environment, const std::string& text) {
  INFO(environment);
  const Outcome o = with(environment);
  CHECK(o.status == 0);  // no crash
  CHECK(o.said == "ValueError: environment variable " + text);
}

}  // namespace

TEST_CASE("in its own process: an eager op and a compiled call", "[.][program]") {
  std::ofstream(std::getenv("KILN_TEST_OUTPUT")) << use_kiln();
}

TEST_CASE("nonsense in the environment is an error that names the variable") {
  check_error("KILN_NUM_THREADS=abc", "KILN_NUM_THREADS: \"abc\" is not an integer from 1 to 1024");
  check_error("KILN_NUM_THREADS=-3", "KILN_NUM_THREADS: \"-3\" is not an integer from 1 to 1024");
  check_error("KILN_TARGET=foo", "KILN_TARGET: \"foo\" is not baseline, avx2, avx512, neon or sve256");
  check_error("KILN_LOG=xyz", "KILN_LOG: \"xyz\" is not trace, compile, cache or all");
  check_error("KILN_POOL_MB=-1", "KILN_POOL_MB: \"-1\" is not an integer from 0 to 1073741824");
  check_error("KILN_POOL_MB=1e3", "KILN_POOL_MB: \"1e3\" is not an integer from 0 to 1073741824");
  check_error("KILN_CACHE_MB=99999999999999999999", "KILN_CACHE_MB: \"99999999999999999999\" is not an integer from 0 to 1073741824");
  check_error("KILN_POISON=maybe", "KILN_POISON: \"maybe\" is neither 0 nor 1");
}

TEST_CASE("odd but meaningful settings work") {
  for (const std::string environment :
       {"KILN_NUM_THREADS=1", "KILN_POOL_MB=0", "KILN_CACHE_MB=0", "KILN_POISON=1", "KILN_TARGET=baseline", "KILN_CACHE_DIR="}) {
    INFO(environment);
    const Outcome o = with(environment);
    CHECK(o.said == "ok");
    CHECK(o.err == "");
  }
}

TEST_CASE("a misspelt variable is not ignored in silence") {
  const Outcome o = with("KILN_THREADS=abc KILN_FUZZ_SEED=1");
  CHECK(o.said == "ok");
  CHECK(o.err ==
        "kiln: warning: environment variable KILN_THREADS is unknown; there are KILN_CACHE_DIR, KILN_CACHE_MB, KILN_COMPILER, KILN_DUMP, "
        "KILN_LOG, "
        "KILN_NUM_THREADS, KILN_POISON, KILN_POOL_MB, KILN_PROFILE, KILN_TARGET\n");
}

TEST_CASE("a cache directory that cannot be used is a warning, and everything works") {
  const Outcome file = with("KILN_CACHE_DIR=/dev/null");
  CHECK(file.said == "ok");
  CHECK(file.err == "kiln: warning: cache directory /dev/null is not a directory; going on without a disk cache\n");
  const Outcome below = with("KILN_CACHE_DIR=/dev/null/cache");
  CHECK(below.said == "ok");
  CHECK(below.err == "kiln: warning: cache directory /dev/null/cache cannot be created: Not a directory; going on without a disk cache\n");
}
