// What this thread is doing: which trace is open and which tapes are live. Read on every op, so it is plain data.
#pragma once
#include <cstdint>

#include "graph/tape.h"

namespace kiln::graph {

class Trace;

struct ThreadState {
  Trace* trace = nullptr;       ///< ops go here; null when eager
  Trace* open = nullptr;        ///< the innermost trace that is not finished, also under an EagerScope
  std::uint64_t trace_id = 0;   ///< of `trace`
  Tape::Impl* tapes = nullptr;  ///< live tapes, newest first
  bool tapes_suspended = false;
  std::uint32_t needed_operands = ~0u;  ///< bit i: the running vjp's i-th gradient is used
};

extern constinit thread_local ThreadState thread_state;

}  // namespace kiln::graph
