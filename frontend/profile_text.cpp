// Lays profiles out: tables for people, trace events for Perfetto.
#include "frontend/profile_text.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "base/require.h"

namespace kiln::detail {

namespace {

using Kind = ProfileEntry::Kind;

std::string place(Loc where) {
  if (!where.known()) return "";
  const std::string file = where.file;
  return fmt::format("{}:{}", file.substr(file.rfind('/') + 1), where.line);
}

/// What fits into a column of a table; traces have all.
std::string shortened(const std::string& text) {
  constexpr std::size_t kMost = 72;
  return text.size() <= kMost ? text : text.substr(0, kMost - 3) + "...";
}

/// The larger of the shares of what the machine does: "91% fma", "85% L3". Empty for work too small to have one.
std::string share_of_peak(const ProfileEntry& e, const Peaks& peaks, double us) {
  if (us <= 0 || (e.flops == 0 && e.bytes == 0)) return "";
  const Peaks::Level& level = peaks.level(e.footprint);
  const double fma = static_cast<double>(e.flops) / us / 1e3 / peaks.gflops;
  const double moving = static_cast<double>(e.bytes) / us / 1e3 / level.gigabytes_per_second;
  return fmt::format("{:.0f}% {}", 100 * std::max(fma, moving), fma >= moving ? "fma" : level.name);
}

constexpr const char* kHeader = "{:>11} {:>6} {:>9} {:>9} {:>9} {:>8} {:>10} {:>6}  {:<72} {}\n";

std::string header(const char* time, const char* count) {
  return fmt::format(kHeader, time, "share", "MFLOP", "GFLOP/s", "MB", "GB/s", "of peak", count, "what", "where");
}

/// One line: `us` is the time shown, of `times` equal pieces of work.
std::string line(const ProfileEntry& e, double us, double whole, double times, const std::string& count, const Peaks& peaks) {
  const double flops = static_cast<double>(e.flops) * times, bytes = static_cast<double>(e.bytes) * times;
  return fmt::format(kHeader, fmt::format("{:.2f}", us), fmt::format("{:.1f}%", 100 * us / whole),
                     e.flops == 0 ? "" : fmt::format("{:.3f}", flops / 1e6), e.flops == 0 ? "" : fmt::format("{:.1f}", flops / us / 1e3),
                     fmt::format("{:.3f}", bytes / 1e6), fmt::format("{:.1f}", bytes / us / 1e3), share_of_peak(e, peaks, us / times),
                     count, shortened(e.what), place(e.where));
}

/// Launches of a call that do the same work, wherever they stand.
struct Group {
  ProfileEntry first;
  double us = 0;
  int launches = 0;
};

std::vector<Group> group(const std::vector<ProfileEntry>& launches) {
  std::vector<Group> groups;
  for (const ProfileEntry& e : launches) {
    auto same = [&](const Group& g) { return g.first.what == e.what && g.first.flops == e.flops && g.first.bytes == e.bytes; };
    auto known = std::find_if(groups.begin(), groups.end(), same);
    if (known == groups.end()) known = groups.insert(groups.end(), Group{e});
    known->us += e.median_us;
    known->launches += 1;
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.us > b.us; });
  return groups;
}

/// Sums over launches that do the same, where there are such.
std::string groups_table(const std::vector<ProfileEntry>& launches, double whole, const Peaks& peaks) {
  const std::vector<Group> groups = group(launches);
  if (groups.size() == launches.size()) return "";
  std::string text = "\nlaunches that do the same, together:\n" + header("sum us", "times");
  for (const Group& g : groups) {
    if (g.launches > 1) text += line(g.first, g.us, whole, g.launches, std::to_string(g.launches), peaks);
  }
  return text;
}

std::string share_line(double us, double whole, const char* what) {
  return fmt::format("{:>11.2f} {:>5.1f}%  {}\n", us, 100 * us / whole, what);
}

std::string call_table(const ProfileEntry& call, std::vector<ProfileEntry> launches, const Peaks& peaks) {
  double inside = 0, least = 0;
  for (const ProfileEntry& e : launches) {
    inside += e.median_us;
    least += peaks.least_us(e.flops, e.bytes, e.footprint);
  }
  const double whole = call.median_us, unsteady = whole - inside - call.outside_us;
  std::string text = fmt::format("{} ({}): {} call{}, median {:.2f} us, {:.3f} ms in all\n", call.what, place(call.where), call.count,
                                 call.count == 1 ? "" : "s", whole, call.total_us / 1e3);
  std::stable_sort(launches.begin(), launches.end(),
                   [](const ProfileEntry& a, const ProfileEntry& b) { return a.median_us > b.median_us; });
  text += header("median us", "launch");
  for (const ProfileEntry& e : launches) text += line(e, e.median_us, whole, 1, std::to_string(e.launch), peaks);
  text += share_line(call.outside_us, whole, "outside of launches");
  if (unsteady > 0.05 * whole)
    text += share_line(unsteady, whole, "more in the median call: its launches take unequal times; is the machine busy?");
  text += line(call, whole, whole, 1, std::to_string(launches.size()), peaks);
  text += share_line(least, whole, "if every launch ran at peak");
  return text + groups_table(launches, whole, peaks);
}

std::string ops_table(const std::vector<ProfileEntry>& entries, const Peaks& peaks) {
  std::vector<ProfileEntry> ops;
  std::copy_if(entries.begin(), entries.end(), std::back_inserter(ops), [](const ProfileEntry& e) { return e.kind == Kind::op; });
  if (ops.empty()) return "";
  double whole = 0;
  for (const ProfileEntry& e : ops) whole += e.total_us;
  std::string text = fmt::format("eager ops: {:.3f} ms in all\n", whole / 1e3) + header("sum us", "times");
  for (const ProfileEntry& e : ops) {
    text += line(e, e.total_us, whole, static_cast<double>(e.count), std::to_string(e.count), peaks);
  }
  return text;
}

std::string compile_table(const std::vector<ProfileEntry>& entries) {
  std::string text;
  for (const ProfileEntry& e : entries) {
    if (e.kind != Kind::compile) continue;
    text += fmt::format("{:>11.3f} {:>6}  {} ({})\n", e.total_us / 1e3, e.count, e.what, place(e.where));
  }
  return text.empty() ? text : fmt::format("{:>11} {:>6}  {}\n", "sum ms", "times", "tracing and compiling") + text;
}

std::string peaks_text(const Peaks& peaks, int threads) {
  std::string text = fmt::format("peaks of {} thread{}: {:.1f} GFLOP/s fma (float32)", threads, threads == 1 ? "" : "s", peaks.gflops);
  for (const Peaks::Level& l : peaks.levels) text += fmt::format(", {:.1f} GB/s {}", l.gigabytes_per_second, l.name);
  return text + "\n";
}

std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      quoted += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20)
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      quoted += c;
  }
  return quoted + "\"";
}

const char* category(const Span& s) {
  if (s.part) return "part";
  switch (s.site->kind) {
    case SpanSite::Kind::call:
      return "call";
    case SpanSite::Kind::launch:
      return "launch";
    case SpanSite::Kind::compile:
      return "compile";
    case SpanSite::Kind::op:
      break;
  }
  return "op";
}

/// What Perfetto shows for a chosen slice.
std::string arguments(const Span& s) {
  std::vector<std::string> fields;
  const SpanSite& site = *s.site;
  if (site.where.known()) fields.push_back("\"where\": " + json_string(fmt::format("{}:{}", site.where.file, site.where.line)));
  if (site.kind == SpanSite::Kind::launch) fields.push_back(fmt::format("\"launch\": {}", site.index));
  const double us = static_cast<double>(std::max<std::int64_t>(s.end - s.begin, 1)) / 1e3;
  if (!s.part && site.flops > 0) {
    fields.push_back(fmt::format("\"flops\": {}, \"GFLOP/s\": {:.2f}", site.flops, static_cast<double>(site.flops) / us / 1e3));
  }
  if (!s.part && site.bytes > 0) {
    fields.push_back(fmt::format("\"bytes\": {}, \"GB/s\": {:.2f}", site.bytes, static_cast<double>(site.bytes) / us / 1e3));
  }
  return fmt::format("{{{}}}", fmt::join(fields, ", "));
}

}  // namespace

std::string profile_table(const std::vector<ProfileEntry>& entries, const Peaks& peaks, int threads) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].kind != Kind::call) continue;
    std::vector<ProfileEntry> launches;
    std::copy_if(entries.begin(), entries.end(), std::back_inserter(launches),
                 [&](const ProfileEntry& e) { return e.kind == Kind::launch && e.call == static_cast<int>(i); });
    parts.push_back(call_table(entries[i], std::move(launches), peaks));
  }
  for (std::string text : {ops_table(entries, peaks), compile_table(entries), peaks_text(peaks, threads)}) {
    if (!text.empty()) parts.push_back(std::move(text));
  }
  return fmt::format("{}", fmt::join(parts, "\n"));
}

std::string trace_text(const std::vector<Span>& spans, const std::vector<std::string>& threads) {
  const int process = getpid();
  std::int64_t start = spans.empty() ? 0 : spans.front().begin;
  for (const Span& s : spans) start = std::min(start, s.begin);
  std::string text = "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n";
  for (std::size_t i = 0; i < threads.size(); ++i) {
    text += fmt::format("{{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": {}, \"tid\": {}, \"args\": {{\"name\": {}}}}},\n", process, i,
                        json_string(threads[i]));
  }
  for (const Span& s : spans) {
    fmt::format_to(std::back_inserter(text), "{{\"ph\": \"X\", \"name\": {}, \"cat\": \"{}\", \"pid\": {}, \"tid\": {}, \"ts\": {:.3f}, ",
                   json_string(s.site->name), category(s), process, s.thread, static_cast<double>(s.begin - start) / 1e3);
    fmt::format_to(std::back_inserter(text), "\"dur\": {:.3f}, \"args\": {}}},\n", static_cast<double>(s.end - s.begin) / 1e3,
                   arguments(s));
  }
  text += fmt::format("{{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": {}, \"tid\": 0, \"args\": {{\"name\": \"kiln\"}}}}\n]}}\n",
                      process);
  return text;
}

}  // namespace kiln::detail
