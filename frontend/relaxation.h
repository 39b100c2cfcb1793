// Lengths that change from call to call: found among the signatures that were traced, and left open in one trace that serves them all.
// Internal to frontend/.
#pragma once
#include <kiln/detail/call.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace kiln::detail {

/// An axis of one of the tensors of a call, both counted from 0.
struct LeafAxis {
  std::uint32_t leaf = 0;
  std::uint32_t axis = 0;
  auto operator<=>(const LeafAxis&) const = default;
};

/// Axes whose lengths change, those that are always equal together.
using OpenAxes = std::vector<std::vector<LeafAxis>>;

/// The signatures that were traced with fixed lengths, and those with open ones. Calls of propose(), add() and refuse() are serialized by
/// the tracing lock; find() takes no lock.
class Relaxation {
 public:
  /// Signatures that differ from a new one in the same lengths only are opened once there are `after` of them; 0: never.
  explicit Relaxation(int after) : after_(after) {}
  ~Relaxation();
  Relaxation(const Relaxation&) = delete;
  Relaxation& operator=(const Relaxation&) = delete;

  /// The entry whose open lengths this signature fits, or nullptr. Lengths of 0 and 1 fit none: 1 broadcasts.
  Entry* find(Signature& signature) const;
  std::shared_ptr<Entry> share(const Entry* entry) const;
  /// The axes to leave open in the trace for this new signature; empty for none.
  OpenAxes propose(Signature& signature) const;
  /// Records a signature that was traced with fixed lengths.
  void add_fixed(Signature& signature);
  void add_open(Signature& signature, const OpenAxes& axes, std::shared_ptr<Entry> entry);
  /// Never opens these axes again, and forgets the entry that has them open, if any.
  void refuse(const OpenAxes& axes);

 private:
  struct Open;
  struct Fixed {
    std::vector<std::uint64_t> words;
  };
  using AxisSet = std::vector<LeafAxis>;

  int after_;
  std::vector<Fixed> fixed_;
  std::set<AxisSet> refused_;
  std::atomic<Open*> open_{nullptr};
};

/// "x axis 0, y axis 0" for axes of the tensors at these paths.
std::string describe_axes(const OpenAxes& axes, std::span<const std::string> paths);

}  // namespace kiln::detail
