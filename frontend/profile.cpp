// Sums spans up, prints them as a table, and writes them as a trace.
#include <kiln/profile.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>

#include "base/flags.h"
#include "base/require.h"
#include "base/span_log.h"
#include "base/thread_pool.h"
#include "frontend/profile_text.h"

namespace kiln {

namespace {

struct Times {
  std::vector<std::int64_t> nanoseconds;
  std::vector<std::int64_t> outside;  ///< calls: less their launches
  std::int64_t total = 0;
};

double median_us(std::vector<std::int64_t>& values) {
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle) / 1e3;
}

ProfileEntry::Kind kind_of(SpanSite::Kind kind) {
  switch (kind) {
    case SpanSite::Kind::call:
      return ProfileEntry::Kind::call;
    case SpanSite::Kind::launch:
      return ProfileEntry::Kind::launch;
    case SpanSite::Kind::compile:
      return ProfileEntry::Kind::compile;
    case SpanSite::Kind::op:
      break;
  }
  return ProfileEntry::Kind::op;
}

ProfileEntry make_entry(const SpanSite& site, Times& times) {
  ProfileEntry e;
  e.kind = kind_of(site.kind);
  e.what = site.name;
  e.where = site.where;
  if (site.kind == SpanSite::Kind::launch) e.launch = site.index;
  e.count = static_cast<std::int64_t>(times.nanoseconds.size());
  e.median_us = median_us(times.nanoseconds);
  if (!times.outside.empty()) e.outside_us = median_us(times.outside);
  e.total_us = static_cast<double>(times.total) / 1e3;
  e.flops = site.flops;
  e.bytes = site.bytes;
  e.footprint = site.footprint;
  return e;
}

using Row = std::pair<const SpanSite*, ProfileEntry>;

bool longer(const Row& a, const Row& b) { return a.second.total_us > b.second.total_us; }

/// The rows of one kind, the longest first.
std::vector<Row> rows_of(const std::vector<Row>& all, SpanSite::Kind kind) {
  std::vector<Row> rows;
  std::copy_if(all.begin(), all.end(), std::back_inserter(rows), [&](const Row& r) { return r.first->kind == kind; });
  std::stable_sort(rows.begin(), rows.end(), longer);
  return rows;
}

std::map<const SpanSite*, Times> times_of(const std::vector<Span>& spans) {
  std::map<const SpanSite*, Times> by_site;
  std::map<std::uint32_t, std::int64_t> in_launches;  // by thread: since its last call ended
  for (const Span& s : spans) {
    if (s.part) continue;
    const std::int64_t took = s.end - s.begin;
    Times& t = by_site[s.site];
    t.nanoseconds.push_back(took);
    t.total += took;
    if (s.site->kind == SpanSite::Kind::launch) in_launches[s.thread] += took;
    if (s.site->kind == SpanSite::Kind::call) t.outside.push_back(took - std::exchange(in_launches[s.thread], 0));
  }
  return by_site;
}

std::vector<ProfileEntry> sum_up(const std::vector<Span>& spans) {
  std::map<const SpanSite*, Times> by_site = times_of(spans);
  std::vector<Row> all;
  for (auto& [site, times] : by_site) all.emplace_back(site, make_entry(*site, times));
  std::vector<Row> launches = rows_of(all, SpanSite::Kind::launch);
  std::sort(launches.begin(), launches.end(), [](const Row& a, const Row& b) { return a.first->index < b.first->index; });
  std::vector<ProfileEntry> entries;
  for (Row& call : rows_of(all, SpanSite::Kind::call)) {
    const int index = static_cast<int>(entries.size());
    entries.push_back(call.second);
    for (Row& launch : launches) {
      if (launch.first->call != call.first) continue;
      launch.second.call = index;
      entries.push_back(launch.second);
    }
  }
  for (SpanSite::Kind kind : {SpanSite::Kind::op, SpanSite::Kind::compile}) {
    for (Row& row : rows_of(all, kind)) entries.push_back(row.second);
  }
  return entries;
}

}  // namespace

struct Profile::Impl {
  SpanLog log;
  explicit Impl(const ProfileOptions& options) : log(options.max_spans) {}
};

Profile::Profile(const ProfileOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Profile::~Profile() = default;

void Profile::stop() { impl_->log.stop(); }

std::vector<ProfileEntry> Profile::entries() const { return sum_up(impl_->log.spans()); }

std::string Profile::table() const {
  const std::vector<ProfileEntry> all = entries();
  if (all.empty()) return "nothing was recorded\n";
  const int threads = num_threads();
  std::string text = detail::profile_table(all, measure_peaks(threads), threads);
  if (const std::int64_t dropped = impl_->log.dropped(); dropped > 0) {
    text += fmt::format("{} later launches and ops were not kept; see ProfileOptions::max_spans\n", dropped);
  }
  return text;
}

void Profile::write_trace(const std::string& path) const {
  const std::string text = detail::trace_text(impl_->log.spans(), span_thread_names());
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  KILN_REQUIRE(out.good(), FileError, "cannot write the trace {}: {}", path, std::strerror(errno));
}

namespace {

/// KILN_PROFILE: the profile of the whole program.
Profile* of_program = nullptr;

std::string with_process_id(std::string path) {
  if (const std::size_t at = path.find("%p"); at != std::string::npos) path.replace(at, 2, std::to_string(getpid()));
  return path;
}

void write_profile_of_program() {
  of_program->stop();
  const std::string path = with_process_id(flags().profile);
  try {
    const std::string table = of_program->table();
    std::fwrite(table.data(), 1, table.size(), stderr);
    of_program->write_trace(path);
  } catch (const std::exception& e) {
    warn(fmt::format("KILN_PROFILE: {}", e.what()));
  }
}

[[maybe_unused]] const bool started = [] {
  const char* path = std::getenv("KILN_PROFILE");
  if (path == nullptr || *path == '\0') return false;
  try {
    of_program = new Profile;  // lives until after the last thread
    flags();
  } catch (const Error&) {
    return false;  // a malformed variable, which the first call reports
  }
  std::atexit(write_profile_of_program);
  return true;
}();

}  // namespace

}  // namespace kiln
