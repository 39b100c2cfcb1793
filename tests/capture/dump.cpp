// KILN_DUMP: what a compilation leaves in the directory.
#include <kiln/kiln.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/catch.h"

using namespace kiln;
namespace fs = std::filesystem;

namespace {

/// The directory, named before anything of Kiln reads its environment.
const std::string& directory() {
  static const std::string path = [] {
    std::string name = (fs::temp_directory_path() / "kiln-dump-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    setenv("KILN_DUMP", name.c_str(), 1);
    return name;
  }();
  return path;
}

/// The files of the first compilation: name without number -> text.
std::map<std::string, std::string> dumped() {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory() + "/000")) {
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    files[entry.path().filename().string().substr(3)] = text.str();
  }
  return files;
}

}  // namespace

TEST_CASE("a dump holds every stage of a compilation, from the captured graph to assembly") {
  directory();
  auto f = function([](Tensor x) { return tanh(x) * 2 + tanh(x); });
  (void)f(tensor({1.F, 2.F, 3.F}));
  const std::map<std::string, std::string> files = dumped();
  CHECK(files.at("captured.mlir").find("kiln.map \"tanh\"") != std::string::npos);
  CHECK(files.at("optimized.mlir").find("kiln.map \"tanh\"") != std::string::npos);
  CHECK(files.at("fused.mlir").find("kiln.fusion \"loop\"") != std::string::npos);
  CHECK(files.at("kernels.txt").find("launch 0:") != std::string::npos);
  CHECK(files.at("llvm.ll").find("define ") != std::string::npos);
  CHECK(files.at("assembly.s").find(".globl") != std::string::npos);
  CHECK(files.at("graph.dot").starts_with("digraph"));
  CHECK(files.at("prune.mlir").size() > 0);
  CHECK(files.at("fold.mlir") == "// (unchanged)\n");
  fs::remove_all(directory());
}
