// Buffer: counted, pooled memory of one tensor.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace kiln::runtime {

/// Counted handle to a block of bytes, 64-byte aligned unless foreign. Blocks return to a pool (bounded; KILN_POOL_MB) when the last handle goes.
class Buffer {
 public:
  Buffer() = default;
  /// Uninitialized bytes (poisoned with signalling patterns if KILN_POISON=1). Throws RuntimeError "out of memory ..." if the system has none.
  static Buffer allocate(std::size_t bytes);
  /// Memory owned by someone else; `release` runs when the last handle goes. Never donated, folded or written.
  static Buffer foreign(void* data, std::size_t bytes, std::function<void()> release);

  Buffer(const Buffer& o) : block_(o.block_) { retain(); }
  Buffer(Buffer&& o) noexcept : block_(std::exchange(o.block_, nullptr)) {}
  Buffer& operator=(Buffer o) noexcept { std::swap(block_, o.block_); return *this; }
  ~Buffer() { release(); }

  bool defined() const { return block_ != nullptr; }
  void* data() const;
  std::size_t bytes() const;
  /// True if this is the only handle to owned memory: it may be written or reused.
  bool unique() const;

 private:
  struct Block;
  explicit Buffer(Block* adopted) : block_(adopted) {}
  void retain() const;
  void release();
  Block* block_ = nullptr;
};

/// Bytes handed out and bytes kept in the pool.
struct PoolStatistics {
  std::size_t live_bytes, pooled_bytes, peak_bytes;
};
PoolStatistics pool_statistics();
/// Gives the pooled memory back to the system.
void trim_pool();

}  // namespace kiln::runtime
