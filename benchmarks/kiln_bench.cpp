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
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "handoff.h"
#include "workloads.h"

namespace {

/// `handoff`: see handoff_ns(), at the time; 0 if it does not matter.
void emit(const std::string& workload, std::string_view metric, double value, double handoff = 0) {
  std::printf("{\"peer\": \"kiln\", \"workload\": \"%s\", \"metric\": \"%s\", \"value\": %.6g", workload.c_str(),
              std::string(metric).c_str(), value);
  if (handoff > 0) std::printf(", \"handoff_ns\": %.0f", handoff);
  std::puts("}");
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
    const double after = bench::handoff_ns();
    emit(full, metric_, times[times.size() / 2], std::max(handoff_, after));
    handoff_ = after;
  }

 private:
  std::string metric_;
  double handoff_ = bench::handoff_ns();
};

bool wanted(const std::string& name, const std::vector<std::string>& prefixes) {
  return prefixes.empty() || std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& p) { return name.starts_with(p); });
}

double milliseconds(const auto& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void steady(std::vector<bench::Workload>& all, const char* metric, int repetitions) {
  // Made once and kept through all repetitions of its workload.
  struct Prepared {
    const bench::Workload* of = nullptr;
    std::optional<bench::Call> call;
  } prepared;
  for (const bench::Workload& w : all) {
    benchmark::RegisterBenchmark(w.name.c_str(),
                                 [&prepared, &w](benchmark::State& state) {
                                   if (prepared.of != &w) {
                                     prepared.call.reset();
                                     prepared = {&w, w.prepare()};
                                     for (int i = 0; i < 3; ++i) (*prepared.call)();
                                   }
                                   for (auto _ : state) (*prepared.call)();
                                 })
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime()
        ->MinTime(0.05)
        ->Repetitions(repetitions);
  }
  JsonLines reporter(metric);
  benchmark::RunSpecifiedBenchmarks(&reporter);
}

/// Runs `measure` in one process for each workload, so that none profits from another's.
void in_processes(const std::vector<bench::Workload>& all, const std::function<void(const bench::Workload&)>& measure) {
  for (const bench::Workload& w : all) {
    if (fork() == 0) {
      measure(w);
      std::fflush(stdout);
      std::_Exit(0);
    }
    int status = 0;
    wait(&status);
    if (status != 0) std::fprintf(stderr, "kiln_bench: %s failed (wait status %d)\n", w.name.c_str(), status);
  }
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// From the call to its result, in ms; then the memory that it and two more took.
void first_call(const bench::Workload& w, bool warm) {
  const bench::Call call = w.prepare();
  emit(w.name, warm ? "warm_ms" : "first_call_ms", milliseconds(call));
  call();
  call();
  emit(w.name, warm ? "warm_rss_mb" : "rss_mb", peak_megabytes());
}

/// Tracing and loading the code, without running it, in ms.
void load(const bench::Workload& w) {
  const bench::Call call = w.prepare();
  if (call.load) emit(w.name, "load_ms", milliseconds(call.load));
}

/// The least time that the machine needs for the kernels of a call, by their operations and bytes.
void limit(const bench::Workload& w) {
  const bench::Call call = w.prepare();
  call();
  const kiln::Profile profile;
  call();
  const kiln::Peaks& peaks = kiln::measure_peaks();
  double least = 0;
  int launches = 0;
  for (const kiln::ProfileEntry& e : profile.entries()) {
    if (e.kind != kiln::ProfileEntry::Kind::launch) continue;
    least += peaks.least_us(e.flops, e.bytes, e.footprint);
    ++launches;
  }
  if (launches == 0) return;
  emit(w.name, "limit_us", least);
  emit(w.name, "launches", launches);
}

void emit_peaks() {
  const kiln::Peaks& peaks = kiln::measure_peaks();
  emit("machine", "gflops", peaks.gflops);
  for (const kiln::Peaks::Level& l : peaks.levels) emit("machine", std::string(l.name) + "_gbs", l.gigabytes_per_second);
}

/// The first result of x + 1; `start` is when the process was begun, in nanoseconds of the monotonic clock.
void start_up(std::int64_t start) {
  const auto add = kiln::function([](kiln::Tensor x) { return x + 1; });
  (void)add(kiln::ones({10}));
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  emit("start", "start_ms", static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count() - start) / 1e6);
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
  --first-call          first call, each in a process of its own: call to result with an empty cache; peak memory
  --warm-call           the same with a filled cache
  --load                tracing and loading with a filled cache, without running
  --handoff             the round trip of a cache line between two CPUs
  --limits              the least time of a call's kernels by the machine's peaks, and those peaks
  --start NANOSECONDS   time to the first result of x + 1, since then on the monotonic clock
  --repetitions N       medians are of so many (15)
  --profile             each kernel's time; takes one workload's name
  --trace FILE          with --profile: where the trace goes
  --list                names of the workloads
)";

struct Options {
  std::vector<std::string> prefixes;
  bool strict = false, eager = false;
  std::string mode;   ///< "--first-call" ...; empty: steady
  std::string trace;  ///< a file
  std::int64_t start = 0;
  int repetitions = 15;
};

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "kiln_bench: %s\n", message.c_str());
  std::exit(2);
}

Options parse(int argc, char** argv) {
  constexpr std::string_view kModes[] = {"--first-call", "--warm-call", "--load", "--handoff", "--limits", "--profile", "--list"};
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    const bool has_value = i + 1 < argc;
    if (a == "--strict")
      o.strict = true;
    else if (a == "--eager")
      o.eager = true;
    else if (std::find(std::begin(kModes), std::end(kModes), a) != std::end(kModes))
      o.mode = a;
    else if (a == "--start" && has_value)
      o.mode = a, o.start = std::atoll(argv[++i]);
    else if (a == "--repetitions" && has_value)
      o.repetitions = std::max(1, std::atoi(argv[++i]));
    else if (a == "--trace" && has_value)
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

void run(const Options& o) {
  if (o.mode == "--start") return start_up(o.start);
  if (o.mode == "--handoff") return emit("machine", "handoff_ns", bench::handoff_ns());
  std::vector<bench::Workload> chosen = selected(o);
  if (o.eager) kiln::run_eagerly(true);
  if (o.mode == "--list") {
    for (const bench::Workload& w : chosen) std::puts(w.name.c_str());
  } else if (o.mode == "--profile") {
    const bench::Workload& w = only(chosen, o);
    profile(w, o.trace.empty() ? w.name + ".trace.json" : o.trace);
  } else if (o.mode == "--first-call" || o.mode == "--warm-call") {
    in_processes(chosen, [&](const bench::Workload& w) { first_call(w, o.mode == "--warm-call"); });
  } else if (o.mode == "--load") {
    in_processes(chosen, load);
  } else if (o.mode == "--limits") {
    in_processes(chosen, limit);
    emit_peaks();
  } else {
    steady(chosen, o.strict ? "strict_us" : o.eager ? "eager_us" : "us", o.repetitions);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
  } catch (const std::exception& e) {
    fail(e.what());
  }
}
