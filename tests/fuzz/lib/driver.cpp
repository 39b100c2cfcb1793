// Worker processes, their counters in shared memory, and the narrowing of failures.
#include "tests/fuzz/lib/driver.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <deque>
#include <new>

#include "base/target.h"
#include "base/thread_pool.h"
#include "ops/op.h"
#include "tests/fuzz/lib/coverage.h"
#include "tests/values.h"

namespace kiln::testing {

namespace {

/// Seeds of one worker: kernels that its graphs share are compiled once, and what it maps goes with it.
constexpr std::uint64_t kBatch = 25;
constexpr std::size_t kMaxLegs = 64, kMaxJobs = 64, kTextBytes = 1 << 16;
/// No leg takes that long.
constexpr unsigned kLegSeconds = 120;
constexpr double kNarrowSeconds = 60;
constexpr const char* kTargets[] = {"baseline", "avx2", "avx512"};

double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Of all threads of this process.
double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct LegCount {
  std::array<char, 64> name = {};
  std::atomic<std::uint64_t> runs{0}, microseconds{0};
};

struct Failure {
  std::uint64_t seed = 0;
  std::size_t leg = 0;
  std::array<char, 2000> message = {};
};

/// What one worker writes and the driver reads when it has ended.
struct Slot {
  std::atomic<std::uint64_t> seed{0};  ///< at work on; 0: between two
  std::atomic<std::size_t> leg{0};
  std::array<std::uint64_t, kBatch> digests = {};  ///< eager results on another target; 0: none
  Failure failure;
  std::atomic<bool> failed{false};
};

struct Shared {
  Coverage coverage;
  std::atomic<std::uint64_t> graphs{0};
  std::atomic<std::size_t> num_legs{0};
  std::array<LegCount, kMaxLegs> legs;
  std::array<Slot, kMaxJobs> slots;
  std::array<char, kTextBytes> text = {};  ///< of the last probe
};

void copy_text(std::span<char> to, const std::string& text) {
  std::size_t n = std::min(text.size(), to.size() - 1);
  std::copy_n(text.data(), n, to.data());
  to[n] = 0;
}

/// How a process is to run.
struct Setting {
  std::string target;
  int threads = 1;

  void enter() const {
    setenv("KILN_TARGET", target.c_str(), 1);
    setenv("KILN_NUM_THREADS", std::to_string(threads).c_str(), 1);
    setenv("KILN_CACHE_DIR", "", 1);
    setenv("KILN_POISON", "1", 1);
    divide_grains(1 << 20);
  }
};

/// Runs `body` in a process of its own and waits. Empty if it returned, else how it died.
template <class Body>
std::string in_process(const Body& body) {
  fflush(nullptr);
  pid_t child = fork();
  if (child < 0) return "fork failed";
  if (child == 0) {
    int ended = 0;
    try {
      body();
    } catch (const std::exception&) {
      ended = 1;
    }
    fflush(nullptr);
    _exit(ended);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (!WIFSIGNALED(status)) return fmt::format("ended with status {}", WEXITSTATUS(status));
  if (WTERMSIG(status) == SIGALRM) return fmt::format("gave no answer within {} s", kLegSeconds);
  return fmt::format("killed by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
}

/// A hash of all eager results, the same for all NaN.
std::uint64_t digest(const FuzzCase& c) {
  std::uint64_t hash = 1469598103934665603u;
  for (const FuzzRun& run : c.runs) {
    for (const graph::Value& v : run.eager) {
      for (double x : numbers(v)) {
        std::uint64_t bits = 0;
        if (std::isnan(x)) x = std::nan("");
        std::memcpy(&bits, &x, sizeof(bits));
        hash = (hash ^ bits) * 1099511628211u;
      }
    }
  }
  return hash;
}

FuzzCase case_of(std::uint64_t seed) { return random_case(seed, options_of(seed)); }

class Driver {
 public:
  Driver(const DriverOptions& options, const std::function<std::vector<Leg>()>& legs) : options_(options), make_legs_(legs) {
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared_ = new (memory) Shared;
    find_targets();
  }
  ~Driver() { munmap(shared_, sizeof(Shared)); }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  int run() {
    start_ = seconds_now();
    const std::uint64_t first = options_.first_seed / kBatch, last = (options_.first_seed + options_.count - 1) / kBatch;
    for (std::uint64_t batch = first; more_wanted() && (options_.seconds > 0 || batch <= last); ++batch) {
      if (batch % options_.shards != options_.shard) continue;
      if (workers_.size() == static_cast<std::size_t>(options_.jobs)) wait_for_one();
      if (more_wanted()) launch(batch);
    }
    while (!workers_.empty()) wait_for_one();
    print_summary();
    return failures_;
  }

 private:
  struct Worker {
    pid_t process;
    std::size_t slot;
    Setting setting;
  };

  bool more_wanted() const { return failures_ < options_.failures && (options_.seconds <= 0 || seconds_now() - start_ < options_.seconds); }

  /// The machine's targets, found out by a process of its own: this one must not read the environment yet.
  void find_targets() {
    targets_ = {options_.target};
    if (!options_.target.empty()) return;
    const std::string failed = in_process([&] { copy_text(shared_->text, std::to_string(static_cast<int>(current_target().isa))); });
    const bool chosen = getenv("KILN_TARGET") != nullptr;
    const int best = failed.empty() ? shared_->text[0] - '0' : 0;
    targets_.clear();
    for (int isa = chosen ? best : 0; isa <= best; ++isa) targets_.emplace_back(kTargets[isa]);
  }

  Setting setting_of(std::uint64_t batch) const {
    const int threads = options_.threads > 0 ? options_.threads : static_cast<int>(1 + batch % 3);
    return {targets_[(batch / options_.shards) % targets_.size()], threads};
  }

  /// A target that must give the same bits, or empty.
  std::string twin_of(const std::string& target) const {
    const std::string other = target == "avx2" ? "avx512" : target == "avx512" ? "avx2" : "";
    return std::find(targets_.begin(), targets_.end(), other) != targets_.end() ? other : "";
  }

  // --- workers -----------------------------------------------------------------------------------------------------------

  void launch(std::uint64_t batch) {
    std::size_t slot = 0;
    while (std::any_of(workers_.begin(), workers_.end(), [&](const Worker& w) { return w.slot == slot; })) ++slot;
    new (&shared_->slots[slot]) Slot;
    const Setting setting = setting_of(batch);
    fflush(nullptr);
    pid_t child = fork();
    if (child == 0) {
      work(batch, shared_->slots[slot], setting);
      fflush(nullptr);
      _exit(0);
    }
    workers_.push_back({child, slot, setting});
  }

  template <class Do>
  void for_each_seed(std::uint64_t batch, const Do& act) const {
    const std::uint64_t end = options_.seconds > 0 ? ~std::uint64_t{0} : options_.first_seed + options_.count;
    for (std::uint64_t seed = std::max(batch * kBatch, options_.first_seed); seed < std::min((batch + 1) * kBatch, end); ++seed) {
      if (options_.seconds > 0 && seconds_now() - start_ >= options_.seconds) return;
      if (!act(seed)) return;
    }
  }

  void work(std::uint64_t batch, Slot& slot, const Setting& setting) const {
    if (const std::string twin = twin_of(setting.target); !twin.empty()) {
      in_process([&] {
        Setting{twin, 1}.enter();
        for_each_seed(batch, [&](std::uint64_t seed) {
          alarm(kLegSeconds);
          slot.digests[seed % kBatch] = digest(case_of(seed));
          return true;
        });
      });
    }
    setting.enter();
    const std::vector<Leg> legs = selected_legs();
    for_each_seed(batch, [&](std::uint64_t seed) { return work_on(seed, legs, slot); });
  }

  std::vector<Leg> selected_legs() const {
    std::vector<Leg> legs;
    for (Leg& leg : make_legs_()) {
      if (leg.name.starts_with(options_.leg)) legs.push_back(std::move(leg));
    }
    for (std::size_t i = 0; i < legs.size(); ++i) copy_text(shared_->legs[i].name, legs[i].name);
    shared_->num_legs = legs.size();
    return legs;
  }

  /// One graph through every leg. False after a failure.
  bool work_on(std::uint64_t seed, const std::vector<Leg>& legs, Slot& slot) const {
    alarm(kLegSeconds);
    slot.seed = seed;
    slot.leg = legs.size();
    std::string wrong;
    try {
      const FuzzCase c = case_of(seed);
      const std::uint64_t expected = slot.digests[seed % kBatch];
      if (expected != 0 && digest(c) != expected) wrong = "eager gives other bits on " + twin_of(getenv("KILN_TARGET"));
      Bounds bounds(c);
      for (std::size_t i = 0; i < legs.size() && wrong.empty(); ++i) {
        if (seed % legs[i].share != legs[i].first) continue;
        alarm(kLegSeconds);
        slot.leg = i;
        const double start = cpu_seconds();
        wrong = check_leg(legs[i], c, bounds);
        shared_->legs[i].microseconds += static_cast<std::uint64_t>((cpu_seconds() - start) * 1e6);
        ++shared_->legs[i].runs;
      }
      if (wrong.empty()) shared_->coverage.add(c);
    } catch (const std::exception& e) {
      wrong = fmt::format("the generator threw: {}", e.what());
    }
    ++shared_->graphs;
    if (!wrong.empty()) {
      slot.failure.seed = seed;
      slot.failure.leg = slot.leg;
      copy_text(slot.failure.message, wrong);
      slot.failed = true;
    }
    return wrong.empty();
  }

  void wait_for_one() {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, 0);
    const auto found = std::find_if(workers_.begin(), workers_.end(), [&](const Worker& w) { return w.process == ended; });
    if (found == workers_.end()) return;
    const Worker worker = *found;
    workers_.erase(found);
    Slot& slot = shared_->slots[worker.slot];
    if (slot.failed) {
      report(slot.failure.seed, slot.failure.leg, slot.failure.message.data(), worker.setting);
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      report(slot.seed, slot.leg, "the worker died", worker.setting);
    }
    if (options_.seconds > 0) print_progress();
  }

  // --- reports -----------------------------------------------------------------------------------------------------------

  /// What a leg gets wrong on a part of a case, found out in a process of its own; `text` becomes the part's text.
  std::string probe(std::uint64_t seed, std::size_t leg, const Reduction& reduction, const Setting& setting) const {
    shared_->text[0] = 0;
    const std::string death = in_process([&] {
      setting.enter();
      alarm(kLegSeconds);
      std::string message, text;
      try {
        FuzzCase c = case_of(seed);
        if (reduction.only >= 0 || !reduction.cut.empty() || !reduction.dropped.empty()) c = reduced(c, reduction);
        text = describe(c, "");
        copy_text(shared_->text, "\n" + text);
        message = check_leg(selected_legs()[leg], c);
        text = describe(c, message);
      } catch (const std::exception& e) {
        // A part that cannot be made is no failure of the leg.
        message = "";
      }
      copy_text(shared_->text, message + "\n" + text);
    });
    const std::string all = shared_->text.data();
    const std::size_t line = all.find("\n\n");
    const std::string message = all.substr(0, std::min(line, all.find('\n')));
    return death.empty() ? message : death;
  }

  /// The graph, and the inputs: of large ones the element that the message names.
  static std::string describe(const FuzzCase& c, const std::string& message) {
    std::string text = c.graph->text(false);
    std::size_t element = 0;
    const std::size_t named = message.find("element ");
    if (named != message.npos) element = std::strtoull(message.c_str() + named + 8, nullptr, 10);
    for (std::size_t i = 0; i < c.graph->parameters().size(); ++i) {
      const std::vector<double> values = numbers(c.runs[0].inputs[i]);
      const bool all = values.size() <= 64;
      if (!all && element >= values.size()) continue;
      text += all ? fmt::format("%{} =", i) : fmt::format("%{}, element {} =", i, element);
      for (std::size_t e = all ? 0 : element; e < (all ? values.size() : element + 1); ++e) text += fmt::format(" {:.17g}", values[e]);
      text += '\n';
    }
    return text;
  }

  std::string part_text() const {
    const std::string all = shared_->text.data();
    const std::size_t line = all.find('\n');
    return line == std::string::npos ? "" : all.substr(line + 1);
  }

  void report(std::uint64_t seed, std::size_t leg, const std::string& message, const Setting& setting) {
    ++failures_;
    const bool has_leg = leg < shared_->num_legs;
    const std::string name = has_leg ? shared_->legs[leg].name.data() : "generator";
    fmt::print(stderr, "fuzz: seed {} fails, leg \"{}\", target {}, {} threads: {}\n", seed, name, setting.target, setting.threads,
               message);
    if (has_leg) narrow(seed, leg, setting);
    fmt::print(stderr, "repeat: {} --seed {} --count 1 --target {} --threads {} --leg \"{}\"\n", options_.program, seed, setting.target,
               setting.threads, has_leg ? name : "");
  }

  /// Prints the smallest part of the graph that is found to fail still.
  void narrow(std::uint64_t seed, std::size_t leg, const Setting& setting) const {
    const double end = seconds_now() + kNarrowSeconds;
    std::string message = probe(seed, leg, {}, setting);
    std::string text = part_text();
    if (message.empty()) {
      fmt::print(stderr, "It does not fail alone: another graph of its batch matters.\n{}", text);
      return;
    }
    auto [nodes, outputs] = size_of_case(seed, setting);
    Reduction best;
    best.cut.resize(nodes);
    best.dropped.resize(outputs);
    const auto attempt = [&](const Reduction& r) {
      if (seconds_now() > end) return false;
      const std::string still = probe(seed, leg, r, setting);
      if (still.empty()) return false;
      best = r;
      message = still;
      text = part_text();
      return true;
    };
    for (std::size_t i = 0; i < outputs; ++i) {
      Reduction r = best;
      r.dropped[i] = true;
      if (std::find(r.dropped.begin(), r.dropped.end(), false) != r.dropped.end()) attempt(r);
    }
    for (std::size_t i = 0; i < nodes; ++i) {
      Reduction r = best;
      r.only = static_cast<graph::NodeId>(i);
      if (attempt(r)) break;
    }
    for (std::size_t i = nodes; i-- > 0;) {
      Reduction r = best;
      r.cut[i] = true;
      if (best.only < 0 || static_cast<std::size_t>(best.only) > i) attempt(r);
    }
    fmt::print(stderr, "narrowed: {}\n{}", message, text);
  }

  std::pair<std::size_t, std::size_t> size_of_case(std::uint64_t seed, const Setting& setting) const {
    in_process([&] {
      setting.enter();
      const FuzzCase c = case_of(seed);
      copy_text(shared_->text, fmt::format("{} {}", c.graph->nodes().size(), c.runs[0].eager.size()));
    });
    std::size_t nodes = 0, outputs = 0;
    if (std::sscanf(shared_->text.data(), "%zu %zu", &nodes, &outputs) != 2) return {0, 0};
    return {nodes, outputs};
  }

  void print_progress() {
    const double now = seconds_now();
    if (now - printed_ < 10) return;
    printed_ = now;
    fmt::print("{:.0f} s: {} graphs\n", now - start_, shared_->graphs.load());
    fflush(stdout);
  }

  void print_summary() const {
    const Coverage& c = shared_->coverage;
    fmt::print("{} graphs in {:.0f} s, {} failures\n", shared_->graphs.load(), seconds_now() - start_, failures_);
    fmt::print("  symbolic {}, with state {}, with gradients {}; values without elements {}; of rank", c.symbolic.load(), c.state.load(),
               c.gradients.load(), c.empty.load());
    for (std::size_t rank = 0; rank < Coverage::kRanks; ++rank) fmt::print(" {}: {}", rank, c.ranks[rank].load());
    fmt::print("\n  targets");
    for (const std::string& t : targets_) fmt::print(" {}", t);
    fmt::print("\nlegs:\n");
    for (std::size_t i = 0; i < shared_->num_legs; ++i) {
      const LegCount& leg = shared_->legs[i];
      fmt::print("  {:<32} {:>7} graphs {:>8.1f} s of CPU\n", leg.name.data(), leg.runs.load(),
                 static_cast<double>(leg.microseconds) * 1e-6);
    }
    print_ops();
  }

  void print_ops() const {
    fmt::print("ops:\n");
    std::string line;
    std::size_t drawn = 0;
    const auto all = ops::all_ops();
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::uint64_t uses = 0;
      for (const auto& n : shared_->coverage.ops[i]) uses += n;
      drawn += uses > 0 ? 1 : 0;
      line += fmt::format("  {} {}", all[i]->name, uses);
      if (line.size() < 120 && i + 1 < all.size()) continue;
      fmt::print("{}\n", line);
      line.clear();
    }
    const std::vector<std::string> missing = never_drawn(shared_->coverage);
    const std::size_t pairs = drawable().size();
    fmt::print("drawn: {} of {} ops, {} of {} pairs of op and type", drawn, all.size(), pairs - missing.size(), pairs);
    for (std::size_t i = 0; i < missing.size() && i < 20; ++i) fmt::print("{}{}", i == 0 ? "; never " : ", ", missing[i]);
    fmt::print("\n");
  }

  DriverOptions options_;
  std::function<std::vector<Leg>()> make_legs_;
  Shared* shared_ = nullptr;
  std::vector<std::string> targets_;
  std::vector<Worker> workers_;
  double start_ = 0, printed_ = 0;
  int failures_ = 0;
};

}  // namespace

int run_driver(const DriverOptions& options, const std::function<std::vector<Leg>()>& legs) { return Driver(options, legs).run(); }

}  // namespace kiln::testing
