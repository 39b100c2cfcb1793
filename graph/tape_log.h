// The op log behind a Tape. Internal to graph/.
#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "graph/pointer_map.h"
#include "graph/tape.h"

namespace kiln::graph {

/// One op that a watched value reached.
struct LogEntry {
  const ops::OpDef* op = nullptr;
  std::uint32_t first_operand = 0;  ///< into Tape::Impl::operands and operand_ids
  std::uint32_t num_operands = 0;
  std::int32_t result_id = 0;
  Value result;
  Attrs attrs;
  Loc loc;
};

/// Watched values are numbered: `ids` finds the number by identity, and gradients are kept by it.
struct Tape::Impl {
  std::uint64_t trace = 0;  ///< logs only ops of the trace in which it was made (0: eager)
  bool stopped = false;
  bool used_up = false;
  Impl* next = nullptr;  ///< older live tape of this thread

  PointerMap ids;
  std::int32_t num_ids = 0;
  std::vector<Value> watched;  ///< kept alive, so that no other value takes their identity
  std::vector<LogEntry> entries;
  std::vector<Value> operands;
  std::vector<std::int32_t> operand_ids;                            ///< -1: not watched
  std::unordered_map<std::uint64_t, std::vector<Value>> variables;  ///< every value under which a variable was read

  std::int32_t id_of(const Value& v) const { return v.get()->maybe_watched.load(std::memory_order_relaxed) ? ids.find(v.get()) : -1; }
  std::int32_t watch(const Value& v);
  void watch_variable(std::uint64_t variable, const Value& v);
  void log(const ops::OpDef& op, std::span<const Value> operands, const Attrs& attrs, const Value& result);
  void detach();  ///< from the thread's live tapes
};

/// Shows a variable's value to the live tapes.
void watch_variable_read(std::uint64_t variable, const Value& v);

}  // namespace kiln::graph
