// The pool: each worker waits at its own mailbox, spins for a bounded while, then sleeps on a futex.
#include "base/thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/flags.h"
#include "base/float_environment.h"
#include "base/require.h"
#include "base/span_log.h"

namespace kiln {
namespace {

using Body = void (*)(void* context, std::int64_t begin, std::int64_t end);

/// Rounds of waiting before a thread sleeps: some tens of microseconds.
constexpr int kSpins = 4000;

using Clock = std::chrono::steady_clock;

/// A worker whose chunk took longer looks whether the system had taken its CPU away.
constexpr auto kLongChunk = std::chrono::microseconds(150);
/// Jobs of which the caller's own chunk took longer are shared whatever else runs on the CPUs.
constexpr auto kLongJob = std::chrono::milliseconds(1);
constexpr int kMostAlone = 4096;  ///< jobs in a row that the caller does alone when CPUs are scarce

/// How often the system has taken the CPU from this thread.
long preemptions() {
  rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

struct Job {
  Body body;
  void* context;
  std::int64_t count;
  std::int64_t chunks;

  void run(std::int64_t chunk) const {
    // Chunk i starts at floor(count * i / chunks), without overflow.
    std::int64_t whole = count / chunks;
    std::int64_t rest = count % chunks;
    std::int64_t begin = whole * chunk + rest * chunk / chunks;
    std::int64_t end = whole * (chunk + 1) + rest * (chunk + 1) / chunks;
    body(context, begin, end);
  }

  void run_all() const {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) run(chunk);
  }
};

/// What one worker is told. States: kIdle (spinning, or told nothing), kWork (not begun), kTaken (the worker is at it), kAsleep.
struct alignas(64) Mailbox {
  static constexpr std::uint32_t kIdle = 0, kWork = 1, kTaken = 2, kAsleep = 3;
  std::atomic<std::uint32_t> state{kIdle};
  Job job{};
  std::int64_t chunk = 0;

  /// True for one of those who ask: the worker, and the caller once it has nothing else to do.
  bool claim(std::uint32_t next) {
    std::uint32_t expected = kWork;
    return state.compare_exchange_strong(expected, next, std::memory_order_acquire, std::memory_order_relaxed);
  }
};

constinit thread_local bool inside_worker = false;

class Pool {
 public:
  void run(const Job& job) {
    if (busy_.exchange(true, std::memory_order_acquire)) return job.run_all();
    if (alone_ > 0) {
      --alone_;
      inside_worker = true;
      job.run_all();
      inside_worker = false;
    } else {
      share(job);
    }
    busy_.store(false, std::memory_order_release);
  }

 private:
  void share(const Job& job) {
    Clock::time_point start = Clock::now();
    std::int64_t helpers = std::min<std::int64_t>(job.chunks - 1, grow(job.chunks - 1));
    remaining_.store(static_cast<std::uint32_t>(helpers), std::memory_order_relaxed);
    for (std::int64_t i = 0; i < helpers; ++i) post(*mailboxes_[static_cast<std::size_t>(i)], job, i + 1);
    // While it waits for them, the caller is as good as a worker: what it calls must not wait for the pool.
    inside_worker = true;
    job.run(0);
    for (std::int64_t chunk = helpers + 1; chunk < job.chunks; ++chunk) job.run(chunk);
    // What a worker has not begun by now (it may be waking up, or have no CPU) is done sooner here.
    for (std::int64_t i = helpers; i-- > 0;) {
      if (!mailboxes_[static_cast<std::size_t>(i)]->claim(Mailbox::kIdle)) continue;
      job.run(i + 1);
      remaining_.fetch_sub(1, std::memory_order_relaxed);
    }
    inside_worker = false;
    if (remaining_.load(std::memory_order_acquire) == 0) return;
    Clock::time_point own = Clock::now();
    wait();
    judge(own - start, Clock::now() - own);
  }

  /// Small jobs do not gain from workers that wait for a CPU themselves: after such a job the caller does some alone, each time more.
  void judge(Clock::duration own, Clock::duration waited) {
    bool preempted = preempted_.exchange(false, std::memory_order_relaxed);
    if (preempted && own < kLongJob && waited > own / 2 + kLongChunk) {
      penalty_ = std::min(2 * penalty_ + 8, kMostAlone);
      alone_ = penalty_;
    } else if (penalty_ > 0) {
      --penalty_;
    }
  }

  /// Makes up to `wanted` workers; how many there are (fewer if the system refuses).
  std::int64_t grow(std::int64_t wanted) {
    while (static_cast<std::int64_t>(mailboxes_.size()) < wanted) {
      auto mailbox = std::make_unique<Mailbox>();
      try {
        start(*mailbox);
      } catch (const std::system_error&) {
        break;
      }
      mailboxes_.push_back(std::move(mailbox));
    }
    return static_cast<std::int64_t>(mailboxes_.size());
  }

  /// Workers take no signals: handlers run on the program's own threads.
  void start(Mailbox& mailbox) {
    sigset_t all, saved;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    try {
      std::thread([this, &mailbox] { work(mailbox); }).detach();
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &saved, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &saved, nullptr);
  }

  static void post(Mailbox& mailbox, const Job& job, std::int64_t chunk) {
    mailbox.job = job;
    mailbox.chunk = chunk;
    if (mailbox.state.exchange(Mailbox::kWork, std::memory_order_acq_rel) == Mailbox::kAsleep) futex_wake(mailbox.state);
  }

  void work(Mailbox& mailbox) {
    DefaultFloatEnvironment environment;  // a new thread inherits the control word of the one that made it
    inside_worker = true;
    long preempted_before = preemptions();
    while (true) {
      await(mailbox);
      Clock::time_point start = Clock::now();
      mailbox.job.run(mailbox.chunk);
      if (Clock::now() - start > kLongChunk) {
        long count = preemptions();
        if (count != preempted_before) preempted_.store(true, std::memory_order_relaxed);
        preempted_before = count;
      }
      mailbox.state.store(Mailbox::kIdle, std::memory_order_relaxed);
      if (remaining_.fetch_sub(1, std::memory_order_seq_cst) == 1 && caller_asleep_.load(std::memory_order_seq_cst)) futex_wake(remaining_);
    }
  }

  /// Returns when the mailbox's chunk is the worker's.
  static void await(Mailbox& mailbox) {
    while (true) {
      for (int spin = 0; spin < kSpins; ++spin) {
        if (mailbox.state.load(std::memory_order_relaxed) == Mailbox::kWork && mailbox.claim(Mailbox::kTaken)) return;
        relax();
      }
      std::uint32_t idle = Mailbox::kIdle;
      if (!mailbox.state.compare_exchange_strong(idle, Mailbox::kAsleep, std::memory_order_relaxed)) continue;
      while (mailbox.state.load(std::memory_order_relaxed) == Mailbox::kAsleep) futex_wait(mailbox.state, Mailbox::kAsleep);
    }
  }

  void wait() {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (remaining_.load(std::memory_order_acquire) == 0) return;
      relax();
    }
    caller_asleep_.store(true, std::memory_order_seq_cst);
    while (std::uint32_t left = remaining_.load(std::memory_order_seq_cst)) futex_wait(remaining_, left);
    caller_asleep_.store(false, std::memory_order_relaxed);
  }

  std::atomic<bool> busy_{false};
  alignas(64) std::atomic<std::uint32_t> remaining_{0};
  std::atomic<bool> caller_asleep_{false};
  std::atomic<bool> preempted_{false};               ///< a worker lost its CPU during a job
  int penalty_ = 0, alone_ = 0;                      // guarded by busy_
  std::vector<std::unique_ptr<Mailbox>> mailboxes_;  // guarded by busy_
};

std::atomic<Pool*> the_pool{nullptr};

/// Never destroyed: workers live until the process ends.
Pool& pool() {
  Pool* p = the_pool.load(std::memory_order_acquire);
  if (p != nullptr) return *p;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  p = the_pool.load(std::memory_order_acquire);
  if (p == nullptr) {
    p = new Pool;
    // A child made by fork has no workers: it makes a pool of its own when it needs one.
    static int registered = pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr, std::memory_order_relaxed); });
    static_cast<void>(registered);
    the_pool.store(p, std::memory_order_release);
  }
  return *p;
}

int usable_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::atomic<int> thread_count{0};
std::atomic<std::int64_t> grain_divisor{1};

/// A body whose chunks are recorded for a profile.
struct RecordedBody {
  Body body;
  void* context;
  const SpanSite* site;
  static void run(void* c, std::int64_t begin, std::int64_t end) {
    const auto* self = static_cast<const RecordedBody*>(c);
    const SpanScope scope(self->site, true);
    self->body(self->context, begin, end);
  }
};

int default_threads() { return flags().num_threads.value_or(usable_cpus()); }

}  // namespace

int num_threads() {
  int n = thread_count.load(std::memory_order_relaxed);
  if (n > 0) return n;
  int wanted = default_threads();
  thread_count.compare_exchange_strong(n, wanted, std::memory_order_relaxed);
  return n > 0 ? n : wanted;
}

void set_num_threads(int n) {
  KILN_REQUIRE(n >= 1 && n <= 1024, ValueError, "set_num_threads: {} is not from 1 to 1024", n);
  thread_count.store(n, std::memory_order_relaxed);
}

void divide_grains(std::int64_t divisor) { grain_divisor.store(divisor, std::memory_order_relaxed); }

void parallel_for(std::int64_t count, std::int64_t grain, Body fn, void* context) noexcept {
  if (count <= 0) return;
  if (std::int64_t divisor = grain_divisor.load(std::memory_order_relaxed); divisor != 1) [[unlikely]]
    grain /= divisor;
  std::int64_t chunks = std::min<std::int64_t>(count / std::max<std::int64_t>(grain, 1), num_threads());
  if (chunks <= 1) return fn(context, 0, count);
  Job job{fn, context, count, chunks};
  if (inside_worker) return job.run_all();
  if (!spans_wanted()) [[likely]]
    return pool().run(job);
  RecordedBody recorded{fn, context, current_span_site};
  pool().run({RecordedBody::run, &recorded, count, chunks});
}

}  // namespace kiln
