// Buffer: counted, pooled memory of one tensor.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace kiln::runtime {

/// Counted handle to a block of bytes, 64-byte aligned unless foreign. Blocks return to a pool (bounded; KILN_POOL_MB) when the last handle
/// goes.
class Buffer {
 public:
  Buffer() = default;
  /// Uninitialized bytes (poisoned with NaN patterns if KILN_POISON=1). Throws RuntimeError "out of memory ..." if the system has none.
  static Buffer allocate(std::size_t bytes);
  /// Zeros. Large ones cost nothing until they are touched, if the system's memory is fresh. Throws as allocate().
  static Buffer zeroed(std::size_t bytes);
  /// Memory owned by someone else; `release` runs when the last handle goes. Never donated, folded or written.
  static Buffer foreign(void* data, std::size_t bytes, std::function<void()> release);

  Buffer(const Buffer& o) : block_(o.block_) { retain(); }
  Buffer(Buffer&& o) noexcept : block_(std::exchange(o.block_, nullptr)) {}
  Buffer& operator=(Buffer o) noexcept {
    std::swap(block_, o.block_);
    return *this;
  }
  ~Buffer() { release(); }

  bool defined() const { return block_ != nullptr; }
  void* data() const { return block_->data; }
  std::size_t bytes() const { return block_->bytes; }
  /// True if this is the only handle to owned memory: it may be written or reused.
  bool unique() const { return block_->release == nullptr && block_->references.load(std::memory_order_acquire) == 1; }

  /// Header of a block; the bytes of a small one follow it.
  struct alignas(64) Block {
    std::atomic<std::uint32_t> references{1};
    std::int32_t size_class = 0;
    void* data = nullptr;
    std::size_t bytes = 0;
    std::function<void()>* release = nullptr;  ///< foreign memory only
    Block* next = nullptr;                     ///< in a free list
  };

 private:
  explicit Buffer(Block* adopted) : block_(adopted) {}
  static Buffer take(std::size_t bytes, bool& zero);
  void retain() const {
    if (block_ != nullptr) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release() {
    if (block_ == nullptr) return;
    // A sole owner needs no atomic write: nobody else can make a new handle.
    if (block_->references.load(std::memory_order_acquire) == 1 || block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
      free_block(block_);
  }
  static void free_block(Block* block);
  Block* block_ = nullptr;
};

/// Bytes handed out and bytes kept in the pool, each block at its rounded size. Other threads' small blocks are counted within 256 KiB a
/// thread.
struct PoolStatistics {
  std::size_t live_bytes, pooled_bytes, peak_bytes;
};
PoolStatistics pool_statistics();
/// Gives the pooled memory back to the system (but for what other threads keep for themselves, at most 1 MiB each).
void trim_pool();

}  // namespace kiln::runtime
