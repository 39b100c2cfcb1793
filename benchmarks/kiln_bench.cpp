// Times workloads with Google Benchmark and prints one JSON line a figure: {"peer":"kiln","workload":...,"metric":...,"value":...}.
#include <benchmark/benchmark.h>
#include <kiln/kiln.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "workloads.h"

namespace {

void emit(const std::string& workload, std::string_view metric, double value) {
  std::printf("{\"peer\": \"kiln\", \"workload\": \"%s\", \"metric\": \"%s\", \"value\": %.6g}\n", workload.c_str(),
              std::string(metric).c_str(), value);
  std::fflush(stdout);
}

/// Prints the median of the repetitions as a JSON line.
class JsonLines : public benchmark::BenchmarkReporter {
 public:
  explicit JsonLines(std::string metric) : metric_(std::move(metric)) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    std::vector<double> times;
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration) times.push_back(run.GetAdjustedRealTime());
    }
    if (times.empty()) return;
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
    const std::string full = runs.front().run_name.function_name;
    emit(full, metric_, times[times.size() / 2]);
  }

 private:
  std::string metric_;
};

bool wanted(const std::string& name, const std::vector<std::string>& prefixes) {
  return prefixes.empty() || std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& p) { return name.starts_with(p); });
}

double milliseconds(const auto& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void steady(std::vector<bench::Workload>& all, const char* metric) {
  for (bench::Workload& w : all) {
    benchmark::RegisterBenchmark(w.name.c_str(),
                                 [prepare = w.prepare](benchmark::State& state) {
                                   auto call = prepare();
                                   call();
                                   call();
                                   for (auto _ : state) call();
                                 })
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime()
        ->MinTime(0.05)
        ->Repetitions(15);
  }
  JsonLines reporter(metric);
  benchmark::RunSpecifiedBenchmarks(&reporter);
}

/// The first call of a process, in ms: one process for each workload, so that none profits from another's.
void first_calls(const std::vector<bench::Workload>& all, const char* metric) {
  for (const bench::Workload& w : all) {
    if (fork() == 0) {
      auto call = w.prepare();
      emit(w.name, metric, milliseconds(call));
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      emit(w.name, std::string_view(metric) == "first_call_ms" ? "rss_mb" : "warm_rss_mb", static_cast<double>(usage.ru_maxrss) / 1024);
      std::_Exit(0);
    }
    wait(nullptr);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> prefixes;
  bool strict = false, eager = false;
  const char* once = nullptr;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    if (a == "--strict")
      strict = true;
    else if (a == "--eager")
      eager = true;
    else if (a == "--first-call")
      once = "first_call_ms";
    else if (a == "--warm-call")
      once = "warm_ms";
    else if (a.starts_with("--"))
      return std::fprintf(stderr, "usage: kiln_bench [PREFIX...] [--strict | --eager | --first-call | --warm-call]\n"), 2;
    else
      prefixes.emplace_back(a);
  }
  std::vector<bench::Workload> all = bench::workloads(strict);
  std::erase_if(all, [&](const bench::Workload& w) { return !wanted(w.name, prefixes); });
  if (eager) kiln::run_eagerly(true);
  if (once != nullptr) {
    first_calls(all, once);
  } else {
    steady(all, strict ? "strict_us" : eager ? "eager_us" : "us");
  }
}
