// Where profiles get their spans of time from: who did what, from when to when, on which thread. Costs one relaxed load while nobody
// listens.
#pragma once
#include <kiln/loc.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace kiln {

/// What a span is spent on. Lives as long as the process.
struct SpanSite {
  enum class Kind : std::uint8_t {
    call,     ///< of a compiled function
    launch,   ///< of a kernel or contraction, within a call
    op,       ///< run eagerly
    compile,  ///< tracing a function, or making its code
  };
  Kind kind = Kind::op;
  std::string name;  ///< of the function; of a launch or op: what it computes
  Loc where;         ///< the user's line
  std::int64_t flops = 0, bytes = 0;
  std::int64_t footprint = 0;      ///< bytes of distinct memory among `bytes`
  const SpanSite* call = nullptr;  ///< launch: the function's site
  int index = 0;                   ///< launch: place in the call
};

struct Span {
  const SpanSite* site = nullptr;
  std::int64_t begin = 0, end = 0;  ///< nanoseconds of the steady clock
  std::uint32_t thread = 0;         ///< number of the thread, in the order in which they were first seen
  bool part = false;                ///< one thread's share of a loop within the site's work
};

/// Collects all spans recorded while it lives, on any thread, up to `most`.
class SpanLog {
 public:
  explicit SpanLog(std::size_t most);
  ~SpanLog();
  SpanLog(const SpanLog&) = delete;
  SpanLog& operator=(const SpanLog&) = delete;

  /// No more spans from now on.
  void stop();
  /// The spans so far, in the order in which they ended.
  std::vector<Span> spans() const;
  /// Spans beyond `most`, which were dropped.
  std::int64_t dropped() const;

 private:
  friend void record_span(const Span& span);
  std::size_t most_;
  std::vector<Span> spans_;
  std::int64_t dropped_ = 0;
};

inline constinit std::atomic<int> live_span_logs{0};

/// True while a SpanLog lives.
inline bool spans_wanted() { return live_span_logs.load(std::memory_order_relaxed) != 0; }

/// Nanoseconds of the steady clock.
std::int64_t span_clock();

/// Gives a span to all live logs; the thread is filled in.
void record_span(const Span& span);

/// The site of that key, made by `make` at its first use.
const SpanSite* span_site(const std::string& key, const std::function<SpanSite()>& make);

/// A place for good for a site.
const SpanSite* keep_span_site(SpanSite site);

/// "main", or "thread 1234" with the system's number, for each thread number.
std::vector<std::string> span_thread_names();

/// What this thread works on: the site of its parts. Null outside of recorded work.
extern constinit thread_local const SpanSite* current_span_site;

/// Records the time from its making to its end, and is the current site meanwhile. A null site: nothing.
class SpanScope {
 public:
  explicit SpanScope(const SpanSite* site, bool part = false);
  ~SpanScope();
  SpanScope(const SpanScope&) = delete;
  SpanScope& operator=(const SpanScope&) = delete;

 private:
  const SpanSite* site_;
  const SpanSite* saved_;
  std::int64_t begin_;
  bool part_;
};

}  // namespace kiln
