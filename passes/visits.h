// Counts the ops that passes look at: what tests hold against the size of the graph, since times are not the same twice.
#pragma once
#include <cstdint>

namespace kiln::passes {

namespace detail {
inline thread_local std::uint64_t visits = 0;
}

/// Counts `ops` as looked at once more by this thread.
inline void count_visits(std::uint64_t ops = 1) { detail::visits += ops; }
/// Ops that passes have looked at on this thread so far, each as often as that happened.
inline std::uint64_t visited_ops() { return detail::visits; }

}  // namespace kiln::passes
