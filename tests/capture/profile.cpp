// Profiles: what is recorded of compiled calls, eager ops and threads, and the texts made of it.
#include <kiln/kiln.h>
#include <kiln/profile.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "base/require.h"
#include "base/thread_pool.h"
#include "runtime/compile.h"
#include "tests/catch.h"
#include "tests/message_of.h"
#include "tests/temporary_directory.h"

using namespace kiln;
using Kind = ProfileEntry::Kind;

namespace {

bool have_compiler() { return !runtime::compiler_build_id().empty(); }

constexpr int kProduct = __LINE__ + 2;
KILN_FUNCTION(Tensor, two_layers, (Tensor x, Tensor w)) {
  Tensor h = relu(matmul(x, w));
  return sum(matmul(h, w));
}

std::vector<ProfileEntry> of_kind(const Profile& profile, Kind kind) {
  std::vector<ProfileEntry> found;
  for (const ProfileEntry& e : profile.entries()) {
    if (e.kind == kind) found.push_back(e);
  }
  return found;
}

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

}  // namespace

TEST_CASE("a compiled call: each launch with its cost and the user's line") {
  if (!have_compiler()) return;
  const Tensor x = ones({64, 64}), w = ones({64, 64});
  (void)two_layers(x, w);
  Profile profile;
  for (int i = 0; i < 5; ++i) (void)two_layers(x, w);
  profile.stop();
  (void)two_layers(x, w);
  const auto calls = of_kind(profile, Kind::call), launches = of_kind(profile, Kind::launch);
  REQUIRE(calls.size() == 1);
  CHECK(calls[0].what == "two_layers");
  CHECK(calls[0].count == 5);
  const Cost cost = two_layers.concrete(x, w).cost();
  REQUIRE(launches.size() == static_cast<std::size_t>(cost.launches));
  std::int64_t flops = 0, bytes = 0;
  double inside = 0;
  for (const ProfileEntry& e : launches) {
    CHECK(e.call == 0);
    CHECK(e.count == 5);
    CHECK(e.median_us > 0);
    flops += e.flops;
    bytes += e.bytes;
    inside += e.total_us;
  }
  CHECK(flops == cost.flops);
  CHECK(bytes == cost.bytes_moved);
  CHECK(inside <= calls[0].total_us);
  CHECK(launches[0].what == "contract 64x64x64; maximum");
  CHECK(launches[0].flops == 2 * 64 * 64 * 64 + 64 * 64);
  CHECK(std::string(launches[0].where.file) == __FILE__);
  CHECK(launches[0].where.line == kProduct);
  CHECK(launches[1].where.line == kProduct + 1);
}

TEST_CASE("the table: rates, shares, what is the same, what is outside of launches") {
  if (!have_compiler()) return;
  const Tensor x = ones({32, 32});
  auto chain = function([](Tensor x) { return matmul(matmul(matmul(x, x), x), x); });
  Profile profile;
  for (int i = 0; i < 3; ++i) (void)chain(x);
  const std::string table = profile.table();
  INFO(table);
  CHECK(table.starts_with("lambda (profile.cpp:"));
  CHECK(count(table, "contract 32x32x32") == 4);  // three launches, and their sum
  CHECK(table.find("launches that do the same, together:\n") != std::string::npos);
  CHECK(table.find("  outside of launches\n") != std::string::npos);
  CHECK(table.find("  if every launch ran at peak\n") != std::string::npos);
  CHECK(table.find("  trace lambda (profile.cpp:") != std::string::npos);
  CHECK(table.find("  compile lambda (profile.cpp:") != std::string::npos);
  CHECK(table.find("GFLOP/s fma (float32), ") != std::string::npos);
}

TEST_CASE("eager ops are recorded at their lines; without a profile nothing is") {
  const Tensor x = ones({10, 10});
  (void)(x + x);
  Profile profile;
  CHECK(profile.entries().empty());
  CHECK(profile.table() == "nothing was recorded\n");
  for (int i = 0; i < 4; ++i) (void)tanh(x);
  const int line = __LINE__ - 1;
  (void)matmul(x, x);
  (void)reshape(x, {100});
  const auto ops = of_kind(profile, Kind::op);
  auto op = [&](const std::string& name) {
    for (const ProfileEntry& e : ops) {
      if (e.what.starts_with(name + " ")) return e;
    }
    return ProfileEntry{};
  };
  CHECK(op("tanh").count == 4);
  CHECK(op("tanh").where.line == line);
  CHECK(op("tanh").flops == 100);
  CHECK(op("tanh").bytes == 800);
  CHECK(op("contract").flops == 2000);
  CHECK(op("contract").bytes == 1200);
  CHECK(op("reshape").count == 1);
  CHECK(op("reshape").bytes == 0);
  CHECK(op("add").count == 0);
  CHECK(profile.table().find("eager ops: ") != std::string::npos);
}

namespace {

/// The trace of a call of two_layers and an exp.
std::string trace_of_two_layers(const Tensor& x, const std::string& path) {
  const Profile profile;
  (void)two_layers(x, x);
  (void)exp(x);
  profile.write_trace(path);
  return text_of(path);
}

}  // namespace

TEST_CASE("a trace is JSON with a slice for each launch, op and thread's part") {
  if (!have_compiler()) return;
  const int saved = num_threads();
  set_num_threads(2);
  divide_grains(1000);
  const Tensor x = ones({256, 256});
  (void)two_layers(x, x);
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/trace.json";
  // The caller takes what no worker has begun, so a busy machine's worker may come too late for one call.
  std::string text = trace_of_two_layers(x, path);
  for (int i = 0; i < 1000 && count(text, "\"name\": \"thread ") == 0; ++i) text = trace_of_two_layers(x, path);
  divide_grains(1);
  set_num_threads(saved);
  INFO(text);
  CHECK(text.starts_with("{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n"));
  CHECK(count(text, "\"cat\": \"call\"") == 1);
  CHECK(count(text, "\"cat\": \"launch\"") == two_layers.concrete(x, x).cost().launches);
  CHECK(count(text, "\"cat\": \"op\"") == 1);
  CHECK(count(text, "\"cat\": \"part\"") >= 2);
  if (std::thread::hardware_concurrency() > 1) CHECK(count(text, "\"name\": \"thread ") >= 1);
  CHECK(text.find(fmt::format("\"where\": \"{}:{}\"", __FILE__, kProduct)) != std::string::npos);
  const std::string check = "python3 -c 'import json, sys; json.load(open(sys.argv[1]))' " + path;
  if (std::system("command -v python3 >/dev/null") == 0) CHECK(std::system(check.c_str()) == 0);
}

TEST_CASE("a trace that cannot be written is a FileError") {
  const Profile profile;
  CHECK_THROWS_AS(profile.write_trace("/nonexistent/trace.json"), FileError);
  CHECK(kiln::testing::message_of([&] { profile.write_trace("/nonexistent/trace.json"); }) ==
        "cannot write the trace /nonexistent/trace.json: No such file or directory");
}

TEST_CASE("profiles on several threads, and one within another") {
  const Tensor x = ones({100});
  Profile outer({.max_spans = 50});
  {
    Profile inner;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 25; ++i) (void)(x * x);
      });
    }
    for (std::thread& t : threads) t.join();
    REQUIRE(of_kind(inner, Kind::op).size() == 1);
    CHECK(of_kind(inner, Kind::op)[0].count == 100);
  }
  CHECK(of_kind(outer, Kind::op)[0].count == 50);
  CHECK(outer.table().find("50 later launches and ops were not kept") != std::string::npos);
}

TEST_CASE("peaks: levels from near to far, and the least time of work") {
  const Peaks& peaks = measure_peaks(1);
  CHECK(peaks.gflops > 0.1);
  REQUIRE(peaks.levels.size() == 3);
  CHECK(std::string(peaks.level(1000).name) == "L2");
  CHECK(std::string(peaks.level(std::int64_t{1} << 40).name) == "memory");
  for (const Peaks::Level& l : peaks.levels) CHECK(l.gigabytes_per_second > 0.1);
  CHECK(peaks.least_us(2'000'000, 0, 0) == 2 * peaks.least_us(1'000'000, 0, 0));
  CHECK(peaks.least_us(0, 1'000, 1'000) > peaks.least_us(0, 500, 500));
  CHECK(&measure_peaks(1) == &peaks);
}
