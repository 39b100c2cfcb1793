// A compiled function in profiles: its calls and their launches. Internal to frontend/.
#pragma once
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/span_log.h"
#include "graph/graph.h"
#include "runtime/executable.h"

namespace kiln::detail {

/// What the spans of a call are spent on.
struct CallSite {
  std::vector<Shape> shapes;  ///< of the inputs
  const SpanSite* call;
  std::vector<const SpanSite*> launches;
};

/// The sites of one compiled function, for each list of input shapes.
class CallSites {
 public:
  const CallSite& of(const graph::Graph& graph, const runtime::Plan& plan, std::span<const runtime::Argument> inputs);

 private:
  std::mutex word_;
  std::deque<CallSite> sites_;
};

/// Records one call and its launches.
class RecordedCall : public runtime::LaunchObserver {
 public:
  explicit RecordedCall(const CallSite& site) : site_(site), call_(site.call) {}
  void before(std::size_t launch) override { launch_.emplace(site_.launches[launch]); }
  void after(std::size_t) override { launch_.reset(); }

 private:
  const CallSite& site_;
  SpanScope call_;
  std::optional<SpanScope> launch_;
};

/// The site of work on a function before it runs, "trace step"; null while nobody profiles.
const SpanSite* compile_site(const char* work, const std::string& function, Loc where);

}  // namespace kiln::detail
