// Times workloads with Google Benchmark and prints one JSON line a figure: {"peer":"kiln","workload":...,"metric":...,"value":...}.
#include <benchmark/benchmark.h>
#include <kiln/kiln.h>
#include <kiln/profile.h>
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

/// Prints where the time of the workload goes, and writes a trace of a few calls.
void profile(const bench::Workload& w, const std::string& trace) {
  const auto call = w.prepare();
  const double first = milliseconds(call);
  call();
  {
    kiln::Profile few;
    for (int i = 0; i < 5; ++i) call();
    few.write_trace(trace);
  }
  kiln::Profile many;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000 && (i < 10 || std::chrono::steady_clock::now() - start < std::chrono::seconds(2)); ++i) call();
  many.stop();
  std::printf("%s: first call %.1f ms\n%s", w.name.c_str(), first, many.table().c_str());
  std::printf("trace of five calls: %s (open it at https://ui.perfetto.dev)\n", trace.c_str());
}

constexpr const char* kUsage = R"(usage: kiln_bench [PREFIX...] [--strict | --eager] [MODE]
  (none)                median time of a call
  --first-call          first call of a process each: cold
  --warm-call           the same, named warm: the cache is filled
  --profile             each kernel's time; takes one workload's name
  --trace FILE          with --profile: where the trace goes
  --list                names of the workloads
)";

struct Options {
  std::vector<std::string> prefixes;
  bool strict = false, eager = false, profile = false, list = false;
  const char* once = nullptr;
  std::string trace;
};

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "kiln_bench: %s\n", message.c_str());
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    if (a == "--strict")
      o.strict = true;
    else if (a == "--eager")
      o.eager = true;
    else if (a == "--first-call")
      o.once = "first_call_ms";
    else if (a == "--warm-call")
      o.once = "warm_ms";
    else if (a == "--profile")
      o.profile = true;
    else if (a == "--list")
      o.list = true;
    else if (a == "--trace" && i + 1 < argc)
      o.trace = argv[++i];
    else if (a.starts_with("--"))
      fail("unknown option " + std::string(a) + "\n" + kUsage);
    else
      o.prefixes.emplace_back(a);
  }
  return o;
}

/// The workloads that start with a prefix; every prefix must meet one.
std::vector<bench::Workload> selected(const Options& o) {
  std::vector<bench::Workload> all = bench::workloads(o.strict);
  for (const std::string& p : o.prefixes) {
    if (std::any_of(all.begin(), all.end(), [&](const bench::Workload& w) { return w.name.starts_with(p); })) continue;
    std::string names;
    for (const bench::Workload& w : all) names += " " + w.name;
    fail("no workload starts with \"" + p + "\"; there are" + names);
  }
  std::erase_if(all, [&](const bench::Workload& w) { return !wanted(w.name, o.prefixes); });
  return all;
}

/// The one workload to profile: of that name, or the only one that starts so.
const bench::Workload& only(const std::vector<bench::Workload>& chosen, const Options& o) {
  for (const bench::Workload& w : chosen) {
    if (o.prefixes.size() == 1 && (w.name == o.prefixes[0] || chosen.size() == 1)) return w;
  }
  std::string names;
  for (const bench::Workload& w : chosen) names += " " + w.name;
  fail("--profile takes one workload; these fit:" + names);
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = parse(argc, argv);
  std::vector<bench::Workload> chosen = selected(o);
  if (o.eager) kiln::run_eagerly(true);
  if (o.list) {
    for (const bench::Workload& w : chosen) std::puts(w.name.c_str());
  } else if (o.profile) {
    try {
      const bench::Workload& w = only(chosen, o);
      profile(w, o.trace.empty() ? w.name + ".trace.json" : o.trace);
    } catch (const kiln::Error& e) {
      fail(e.what());
    }
  } else if (o.once != nullptr) {
    first_calls(chosen, o.once);
  } else {
    steady(chosen, o.strict ? "strict_us" : o.eager ? "eager_us" : "us");
  }
}
