// Hands spans to the live logs; keeps sites and thread names.
#include "base/span_log.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <unordered_map>

namespace kiln {
namespace {

/// What is shared. Never destroyed: threads may record while the process ends.
struct Shared {
  std::mutex mutex;
  std::vector<SpanLog*> logs;
  std::vector<std::string> threads;
  std::deque<SpanSite> sites;
  std::unordered_map<std::string, const SpanSite*> by_key;
};

Shared& shared() {
  static auto& instance = *new Shared;
  return instance;
}

/// This thread's number; `all` is locked.
std::uint32_t this_thread(Shared& all) {
  static constinit thread_local std::int64_t number = -1;
  if (number < 0) {
    const long id = syscall(SYS_gettid);
    number = static_cast<std::int64_t>(all.threads.size());
    all.threads.push_back(id == getpid() ? "main" : fmt::format("thread {}", id));
  }
  return static_cast<std::uint32_t>(number);
}

}  // namespace

constinit thread_local const SpanSite* current_span_site = nullptr;

std::int64_t span_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

SpanLog::SpanLog(std::size_t most) : most_(most) {
  Shared& all = shared();
  const std::lock_guard lock(all.mutex);
  all.logs.push_back(this);
  live_span_logs.fetch_add(1, std::memory_order_relaxed);
}

SpanLog::~SpanLog() { stop(); }

void SpanLog::stop() {
  Shared& all = shared();
  const std::lock_guard lock(all.mutex);
  if (std::erase(all.logs, this) != 0) live_span_logs.fetch_sub(1, std::memory_order_relaxed);
}

std::vector<Span> SpanLog::spans() const {
  const std::lock_guard lock(shared().mutex);
  return spans_;
}

std::int64_t SpanLog::dropped() const {
  const std::lock_guard lock(shared().mutex);
  return dropped_;
}

void record_span(const Span& span) {
  Shared& all = shared();
  const std::lock_guard lock(all.mutex);
  Span mine = span;
  mine.thread = this_thread(all);
  for (SpanLog* log : all.logs) {
    if (log->spans_.size() < log->most_)
      log->spans_.push_back(mine);
    else
      ++log->dropped_;
  }
}

const SpanSite* keep_span_site(SpanSite site) {
  Shared& all = shared();
  const std::lock_guard lock(all.mutex);
  return &all.sites.emplace_back(std::move(site));
}

const SpanSite* span_site(const std::string& key, const std::function<SpanSite()>& make) {
  Shared& all = shared();
  {
    const std::lock_guard lock(all.mutex);
    auto found = all.by_key.find(key);
    if (found != all.by_key.end()) return found->second;
  }
  const SpanSite* made = keep_span_site(make());
  const std::lock_guard lock(all.mutex);
  return all.by_key.emplace(key, made).first->second;
}

std::vector<std::string> span_thread_names() {
  Shared& all = shared();
  const std::lock_guard lock(all.mutex);
  return all.threads;
}

SpanScope::SpanScope(const SpanSite* site, bool part) : site_(site), saved_(current_span_site), begin_(0), part_(part) {
  if (site_ == nullptr) return;
  current_span_site = site_;
  begin_ = span_clock();
}

SpanScope::~SpanScope() {
  if (site_ == nullptr) return;
  const std::int64_t end = span_clock();
  current_span_site = saved_;
  record_span({site_, begin_, end, 0, part_});
}

}  // namespace kiln
