// A second process with a filled cache: no kernel is compiled, the compiler library is not mapped, and the bits are those of the first.
#include <kiln/kiln.h>
#include <kiln/nn.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "runtime/compile.h"
#include "tests/catch.h"
#include "tests/temporary_directory.h"

using namespace kiln;
namespace fs = std::filesystem;

namespace {

struct Net : nn::Model<Net> {
  nn::Conv2D conv{4, 3, {.padding = nn::Same, .activation = relu}};
  nn::MaxPool2D pool{2};
  nn::Flatten flatten;
  nn::Dense hidden{16, {.activation = relu}}, out{10};
  Tensor call(Tensor x) { return out(hidden(flatten(pool(conv(x))))); }
};

KILN_FUNCTION(Tensor, child_step, (Net & net, optim::Adam& adam, Tensor x, Tensor y)) {
  GradientTape tape;
  Tensor loss = losses::sparse_categorical_crossentropy(y, net(x, nn::training), {.from_logits = true});
  Variables weights = net.trainable_variables();
  adam.apply_gradients(tape.gradient(loss, weights), weights);
  return loss;
}

// One line each, so that __LINE__ names it for every compiler.
// clang-format off
KILN_FUNCTION(Tensor, grows, (Tensor x)) { return x + 1; }
KILN_FUNCTION(Tensor, needs, (Tensor x)) { return x * static_cast<double>(std::int64_t(x.shape()[0])); }
// clang-format on
constexpr int kCall = __LINE__ + 3;
template <class F>
void call(const F& f, std::int64_t length) {
  f(ones({length}));
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string bits_of(const Tensor& t) {
  std::string text;
  char word[16];
  for (float x : t.span<float>()) {
    std::snprintf(word, sizeof word, "%08x", __builtin_bit_cast(unsigned, x));
    text += word;
  }
  return text;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The files of a cache directory, with the time of their last change.
std::map<std::string, fs::file_time_type> files_in(const std::string& directory) {
  std::map<std::string, fs::file_time_type> files;
  for (const auto& entry : fs::directory_iterator(directory)) files[entry.path().filename().string()] = entry.last_write_time();
  return files;
}

struct Run {
  int status = -1;
  std::string bits, log;
};

/// Runs the hidden test `name` of this program in a process of its own.
Run run(const std::string& directory, const std::string& name, const std::string& environment = "") {
  const std::string program = fs::read_symlink("/proc/self/exe").string(), bits = directory + "/bits", log = directory + "/log";
  Run r;
  r.status = std::system(("KILN_CACHE_DIR='" + directory + "/cache' KILN_LOG=compile,trace KILN_TEST_OUTPUT='" + bits + "' " + environment +
                          " '" + program + "' '" + name + "' >/dev/null 2>'" + log + "'")
                             .c_str());
  r.bits = read_file(bits);
  r.log = read_file(log);
  fs::remove(bits);
  return r;
}

void train_and_write_bits() {
  random::set_seed(5);
  Net net;
  optim::Adam adam{1e-2};
  Tensor x = random::normal({4, 8, 8, 1}), y = cast(random::uniform({4}) * 10, DType::int32);
  std::string bits;
  for (int i = 0; i < 3; ++i) bits += bits_of(child_step(net, adam, x, y)) + "\n";
  for (const VariableRef& v : net.trainable_variables()) bits += bits_of(*v) + "\n";
  std::ofstream(std::getenv("KILN_TEST_OUTPUT")) << bits;
}

}  // namespace

TEST_CASE("in its own process: train with an empty cache", "[.][cold]") {
  train_and_write_bits();
  CHECK(runtime::compiler_loaded());
  CHECK(contains(read_file("/proc/self/maps"), "libkiln_compiler"));
}

TEST_CASE("in its own process: train with a filled cache", "[.][warm]") {
  train_and_write_bits();
  CHECK_FALSE(runtime::compiler_loaded());
  CHECK_FALSE(contains(read_file("/proc/self/maps"), "libkiln_compiler"));
  CHECK_FALSE(contains(read_file("/proc/self/maps"), "libLLVM"));
}

TEST_CASE("in its own process: lengths that change", "[.][lengths]") {
  for (std::int64_t n : {2, 3, 4, 5, 1}) call(grows, n);
  for (std::int64_t n : {2, 3, 4}) call(needs, n);
}

TEST_CASE("KILN_LOG=trace says what is traced, and why") {
  if (runtime::compiler_build_id().empty()) return;
  TemporaryDirectory temporary;
  const Run r = run(temporary.path(), "[lengths]");
  REQUIRE(r.status == 0);
  std::string traces;
  std::istringstream lines(r.log);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("kiln: trace: ")) traces += line.substr(13) + "\n";
  }
  const std::string at = " (" + std::string(__FILE__) + ":" + std::to_string(kCall) + ") is traced ";
  const std::string advice_of_dim = traces.substr(traces.find("with them open: ") + 16);
  CHECK(traces.starts_with("grows" + at + "for the first time\n" +                          //
                           "grows" + at + "again, because of x axis 0: 3 instead of 2\n" +  //
                           "grows" + at +
                           "again, because of x axis 0: 4 instead of 3; from now on one trace serves all lengths of x axis 0\n" +  //
                           "grows" + at + "again, because of x axis 0: 1 instead of 3\n" +                                         //
                           "needs" + at + "for the first time\n" +                                                                 //
                           "needs" + at + "again, because of x axis 0: 3 instead of 2\n" +                                         //
                           "needs: the lengths of x axis 0 stay fixed, since the body cannot be traced with them open: "));
  CHECK(contains(advice_of_dim, "x.0"));
  CHECK(traces.ends_with("needs" + at + "again, because of x axis 0: 4 instead of 3\n"));
}

TEST_CASE("a second process compiles nothing and computes the same bits") {
  if (runtime::compiler_build_id().empty()) return;
  TemporaryDirectory temporary;
  const Run cold = run(temporary.path(), "[cold]");
  INFO(cold.log);
  REQUIRE(cold.status == 0);
  REQUIRE(cold.bits.size() > 1000);
  CHECK(contains(cold.log, "kiln: trace: child_step ("));
  CHECK(contains(cold.log, "is traced for the first time\n"));
  CHECK(contains(cold.log, "kiln: compile: child_step: "));
  CHECK(contains(cold.log, " kernels, "));
  CHECK(contains(cold.log, " of them new;"));
  CHECK_FALSE(contains(cold.log, " 0 of them new;"));

  const auto before = files_in(temporary.path() + "/cache");
  const Run warm = run(temporary.path(), "[warm]");
  INFO(warm.log);
  REQUIRE(warm.status == 0);
  CHECK(warm.bits == cold.bits);
  CHECK(contains(warm.log, "kiln: compile: child_step: plan and kernels found on disk\n"));
  CHECK_FALSE(contains(warm.log, "of them new"));
  const auto after = files_in(temporary.path() + "/cache");
  CHECK(before.size() == after.size());
  for (const auto& [name, time] : before) CHECK(after.contains(name));

  // Nor does it need the library to be there.
  const Run without = run(temporary.path(), "[warm]", "KILN_COMPILER=/no/such/compiler");
  INFO(without.log);
  CHECK(without.status == 0);
  CHECK(without.bits == cold.bits);
}

TEST_CASE("a damaged plan or kernel is compiled again, to the same bits") {
  if (runtime::compiler_build_id().empty()) return;
  TemporaryDirectory temporary;
  const Run cold = run(temporary.path(), "[cold]");
  REQUIRE(cold.status == 0);
  for (const std::string kind : {"plan", "kernel"}) {
    INFO(kind);
    int cut = 0;
    for (const auto& entry : fs::directory_iterator(temporary.path() + "/cache")) {
      if (!entry.path().filename().string().starts_with(kind)) continue;
      fs::resize_file(entry.path(), fs::file_size(entry.path()) / 2);
      ++cut;
    }
    REQUIRE(cut > 0);
    const Run again = run(temporary.path(), "[cold]");
    INFO(again.log);
    CHECK(again.status == 0);
    CHECK(again.bits == cold.bits);
    CHECK(contains(again.log, "is damaged: it is cut short or no cache file; deleted, it will be made anew"));
  }
}
