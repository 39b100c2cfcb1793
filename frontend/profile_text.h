// The texts of profiles. Internal to frontend/.
#pragma once
#include <kiln/profile.h>

#include <string>
#include <vector>

#include "base/span_log.h"

namespace kiln::detail {

/// The entries as tables: one for each called function, one for eager ops, one for compilations; then the peaks.
std::string profile_table(const std::vector<ProfileEntry>& entries, const Peaks& peaks, int threads);

/// The spans as Chrome trace events: JSON that Perfetto and chrome://tracing open.
std::string trace_text(const std::vector<Span>& spans, const std::vector<std::string>& threads);

}  // namespace kiln::detail
