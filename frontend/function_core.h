// One traced function: its cache of signatures, and the miss path. Internal to frontend/.
#pragma once
#include <kiln/detail/call.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/numerics.h"
#include "frontend/compiled.h"
#include "frontend/relaxation.h"
#include "frontend/tracer.h"
#include "graph/trace.h"

namespace kiln::detail {

/// A function captured for one signature. Immutable but for the compiled code, which comes when first needed.
struct Entry {
  std::string name;
  Loc where;
  Numerics numerics = Numerics::standard;
  std::vector<Field> fields;
  graph::Captured captured;
  std::shared_ptr<const void> prototype;  ///< what the body returned, symbolic
  std::vector<int> result_leaves;         ///< for each tensor of the result: its number, or -1 if undefined
  OpenAxes open;                          ///< lengths that were left open because they change
  std::vector<Shape> example;             ///< shapes of the graph's parameters in the call that was traced

  /// The compiled code, made at the first call. Throws CompileError.
  const Compiled& code() const;
  const Compiled* code_if_ready() const { return ready_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex compiling_;
  mutable std::unique_ptr<const Compiled> code_;
  mutable std::atomic<const Compiled*> ready_{nullptr};
};

/// Signatures to entries. Look-ups take no lock; insertions do.
class EntryTable {
 public:
  EntryTable();
  ~EntryTable();
  Entry* find(std::span<const std::uint64_t> words) const;
  void insert(std::span<const std::uint64_t> words, std::shared_ptr<Entry> entry);
  std::shared_ptr<Entry> share(const Entry* entry) const;
  std::vector<std::shared_ptr<Entry>> all() const;

 private:
  struct Key;
  struct Slots;
  const Key* probe(std::uint64_t hash, std::span<const std::uint64_t> words) const;

  mutable std::atomic<const Key*> last_{nullptr};
  std::atomic<const Slots*> slots_{nullptr};
  mutable std::mutex writing_;
  std::vector<std::unique_ptr<const Slots>> tables_;  ///< the current one last; older ones may still be read
  std::vector<std::unique_ptr<Key>> keys_;
  std::vector<std::shared_ptr<Entry>> entries_;
};

class FunctionCore {
 public:
  FunctionCore(FunctionInfo info, FunctionOptions options, bool first_is_owner);

  /// See FunctionHandle::call.
  bool call(Signature& signature, Call& call, Loc where);
  std::shared_ptr<Entry> concrete(Signature& signature, Call& call);

  const char* name() const { return info_.name; }
  int traces() const { return traces_; }

 private:
  /// Checks the tensors against the input_signature, and makes all calls that fit it one signature.
  void fit_input_signature(Signature& signature, Loc where) const;
  Entry* find(Signature& signature) const;
  std::shared_ptr<Entry> share(const Entry* entry) const;
  /// The entry for this call, traced if there is none; nullptr if there are too many and `bounded`.
  std::shared_ptr<Entry> captured(Call& call, Loc where, bool bounded);
  std::shared_ptr<Entry> capture(Call& call, Signature& signature, Loc where);
  /// A trace with those lengths open; nullptr, and never tried again, if the body does not allow that.
  std::shared_ptr<Entry> capture_open(Call& call, Signature& signature, const OpenAxes& axes, Loc where);
  std::shared_ptr<Entry> new_entry(Call& call, Signature& signature) const;
  /// The code of an entry; `entry` becomes one for this call's lengths alone if those left open do not compile.
  const Compiled& compiled(std::shared_ptr<Entry>& entry, Call& call, Loc where);
  void trace_body(Entry& entry, Call& call, std::span<const Spec> specs, Loc where);
  void require_unchanged(const std::vector<Field>& before, const std::vector<Field>& after) const;
  /// Why a call is traced although others were: "because of x axis 0: 3 instead of 2".
  std::string reason(const std::vector<Field>& fields) const;
  void count_trace(const std::string& reason, Loc where);
  void finish(const Entry& entry, Call& call, std::vector<graph::Value> values) const;

  FunctionInfo info_;
  FunctionOptions options_;
  bool first_is_owner_;
  EntryTable table_;
  Relaxation relaxation_;
  std::vector<std::string> names_;  ///< of the parameters; guarded by the tracing lock
  std::atomic<int> traces_{0};
  bool warned_of_bound_ = false;  ///< guarded by the tracing lock
};

}  // namespace kiln::detail
