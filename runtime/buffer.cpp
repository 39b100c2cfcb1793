// The pool behind Buffer: size classes, a small free list per thread, a shared list behind it.
#include "runtime/buffer.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "base/flags.h"
#include "base/require.h"

namespace kiln::runtime {
namespace {

using Block = Buffer::Block;

/// Classes: 64 bytes times (4 ... 7) / 4 times a power of two, so that rounding up wastes at most a quarter.
constexpr std::size_t kLargest = std::size_t{1} << 46;
/// A thread keeps blocks up to this size, and this much of them, for itself.
constexpr std::size_t kSmall = 64 << 10;
constexpr std::size_t kThreadKeeps = 1 << 20;
constexpr std::ptrdiff_t kFlushAt = 256 << 10;
/// Blocks of this size come from mmap, aligned to huge pages.
constexpr std::size_t kHuge = 4 << 20;
constexpr std::size_t kHugePage = 2 << 20;

/// Smallest class that holds `bytes`.
constexpr int class_of(std::size_t bytes) {
  std::size_t units = (std::max<std::size_t>(bytes, 1) + 63) / 64;  // 1 ...
  if (units <= 4) return static_cast<int>(units) - 1;
  int exponent = std::bit_width(units - 1) - 1;  // 2^exponent < units <= 2^(exponent + 1)
  std::size_t quarter = std::size_t{1} << (exponent - 2);
  auto step = static_cast<int>((units - (std::size_t{1} << exponent) + quarter - 1) / quarter);  // 1 ... 4
  return 3 + (exponent - 2) * 4 + step;
}

constexpr std::size_t class_bytes(int size_class) {
  if (size_class < 4) return static_cast<std::size_t>(size_class + 1) * 64;
  int exponent = (size_class - 4) / 4 + 2;
  int step = (size_class - 4) % 4 + 1;
  return ((std::size_t{1} << exponent) + (std::size_t{1} << (exponent - 2)) * static_cast<std::size_t>(step)) * 64;
}

std::size_t footprint(std::size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

/// All memory that the machine has. The kernel grants more, and kills the process once it is touched.
std::size_t machine_bytes() {
  struct sysinfo info = {};
  if (sysinfo(&info) != 0) return SIZE_MAX;
  return (info.totalram + info.totalswap) * info.mem_unit;
}

void* map_huge(std::size_t bytes) {
  std::size_t wanted = footprint(bytes);
  static const std::size_t most = machine_bytes();
  if (wanted > most) return nullptr;
  void* raw = mmap(nullptr, wanted + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  auto start = reinterpret_cast<std::uintptr_t>(raw);
  std::uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  if (aligned > start) munmap(raw, aligned - start);
  std::uintptr_t tail = start + kHugePage - aligned;
  if (tail > 0) munmap(reinterpret_cast<void*>(aligned + wanted), tail);
  madvise(reinterpret_cast<void*>(aligned), wanted, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(aligned);
}

Block* system_allocate(int size_class) {
  std::size_t bytes = class_bytes(size_class);
  if (bytes < kHuge) {
    void* raw = std::aligned_alloc(64, bytes + sizeof(Block));
    if (raw == nullptr) return nullptr;
    auto* block = new (raw) Block;
    block->data = block + 1;
    block->size_class = size_class;
    return block;
  }
  // The header lies elsewhere: in the same memory it would cost a huge page.
  void* data = map_huge(bytes);
  if (data == nullptr) return nullptr;
  auto* block = new (std::nothrow) Block;
  if (block == nullptr) {
    munmap(data, footprint(bytes));
    return nullptr;
  }
  block->data = data;
  block->size_class = size_class;
  return block;
}

void system_free(Block* block) {
  std::size_t bytes = class_bytes(block->size_class);
  if (bytes >= kHuge) {
    munmap(block->data, footprint(bytes));
    delete block;
  } else {
    block->~Block();
    std::free(block);
  }
}

/// A stack of free blocks of one class.
struct FreeList {
  Block* first = nullptr;

  void push(Block* block) {
    block->next = first;
    first = block;
  }
  Block* pop() {
    Block* block = first;
    if (block != nullptr) first = block->next;
    return block;
  }
};

constexpr int kClasses = class_of(kLargest) + 1;

struct SharedPool {
  std::mutex mutex;
  std::array<FreeList, kClasses> lists;
  std::array<std::uint64_t, kClasses> used{};  ///< when a block of the class was last taken or given
  std::uint64_t clock = 0;
  std::size_t kept = 0;  // guarded by mutex, as all above
  std::size_t bound = flags().pool_bytes;
  bool poison = flags().poison;
  std::atomic<std::ptrdiff_t> live{0};
  std::atomic<std::ptrdiff_t> peak{0};

  void count(std::ptrdiff_t delta) {
    std::ptrdiff_t now = live.fetch_add(delta, std::memory_order_relaxed) + delta;
    std::ptrdiff_t seen = peak.load(std::memory_order_relaxed);
    while (now > seen && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
    }
  }

  Block* take(int size_class) {
    std::lock_guard lock(mutex);
    used[static_cast<std::size_t>(size_class)] = ++clock;
    Block* block = lists[static_cast<std::size_t>(size_class)].pop();
    if (block != nullptr) kept -= class_bytes(size_class);
    return block;
  }

  void give(Block* block) {
    std::size_t bytes = class_bytes(block->size_class);
    FreeList gone;
    {
      std::lock_guard lock(mutex);
      used[static_cast<std::size_t>(block->size_class)] = ++clock;
      if (bytes <= bound) {
        while (kept + bytes > bound) gone.push(pop_oldest());
        kept += bytes;
        lists[static_cast<std::size_t>(block->size_class)].push(block);
      } else {
        gone.push(block);
      }
    }
    while (Block* b = gone.pop()) system_free(b);
  }

  /// A block of the class that was not used for longest: what a program needed in the past must not displace what it needs now.
  Block* pop_oldest() {
    int oldest = -1;
    for (int c = 0; c < kClasses; ++c) {
      auto at = static_cast<std::size_t>(c);
      if (lists[at].first != nullptr && (oldest < 0 || used[at] < used[static_cast<std::size_t>(oldest)])) oldest = c;
    }
    kept -= class_bytes(oldest);
    return lists[static_cast<std::size_t>(oldest)].pop();
  }

  void trim() {
    std::lock_guard lock(mutex);
    for (FreeList& list : lists) {
      while (Block* block = list.pop()) system_free(block);
    }
    kept = 0;
  }
};

SharedPool& shared_pool() {
  static SharedPool* pool = new SharedPool;  // never destroyed: static objects may hold Buffers
  return *pool;
}

constexpr int kSmallClasses = class_of(kSmall) + 1;

/// One thread's free lists and its uncounted change of live bytes. No constructor or destructor of its own: usable at any time of a
/// thread's life.
struct ThreadCache {
  std::array<FreeList, kSmallClasses> lists;
  std::size_t kept;
  std::ptrdiff_t uncounted;
  bool open;    ///< the thread's exit will flush it
  bool closed;  ///< the thread is exiting: keep nothing
};

constinit thread_local ThreadCache cache{};

void flush_count() {
  if (cache.uncounted != 0) shared_pool().count(cache.uncounted);
  cache.uncounted = 0;
}

void flush_cache() {
  for (FreeList& list : cache.lists) {
    while (Block* block = list.pop()) shared_pool().give(block);
  }
  cache.kept = 0;
  flush_count();
}

struct FlushAtExit {
  ~FlushAtExit() {
    flush_cache();
    cache.closed = true;
  }
};

void open_cache() {
  static thread_local FlushAtExit flush;
  static_cast<void>(flush);
  cache.open = true;
}

void count_small(std::ptrdiff_t delta) {
  cache.uncounted += delta;
  if (std::abs(cache.uncounted) >= kFlushAt || cache.closed) flush_count();
}

[[noreturn]] void fail_memory(std::size_t bytes) {
  flush_count();
  throw RuntimeError(fmt::format("out of memory: {} bytes asked for, {} in use", bytes, shared_pool().live.load()), user_location());
}

/// Bits that are a NaN as float16, bfloat16, float32 and float64, and out of range as an index.
constexpr std::uint32_t kPoison = 0x7ff77ff7;

void poison(Block* block) {
  auto* words = static_cast<std::uint32_t*>(block->data);
  std::fill_n(words, class_bytes(block->size_class) / sizeof(std::uint32_t), kPoison);
}

/// `zero`: set if the block holds zeros.
Block* allocate_slowly(int size_class, bool& zero) {
  if (!cache.open) open_cache();
  SharedPool& pool = shared_pool();
  Block* block = pool.take(size_class);
  zero = block == nullptr && class_bytes(size_class) >= kHuge;
  if (block == nullptr) block = system_allocate(size_class);
  if (block == nullptr) {
    trim_pool();
    block = system_allocate(size_class);
  }
  return block;
}

}  // namespace

Buffer Buffer::allocate(std::size_t bytes) {
  bool zero = false;
  Buffer buffer = take(bytes, zero);
  if (shared_pool().poison) [[unlikely]]
    poison(buffer.block_);
  return buffer;
}

Buffer Buffer::zeroed(std::size_t bytes) {
  bool zero = false;
  Buffer buffer = take(bytes, zero);
  if (!zero) std::memset(buffer.data(), 0, bytes);
  return buffer;
}

/// Uninitialized bytes; `zero` is set if they are zeros.
Buffer Buffer::take(std::size_t bytes, bool& zero) {
  if (bytes > kLargest) fail_memory(bytes);
  int size_class = class_of(bytes);
  Block* block = nullptr;
  auto size = static_cast<std::ptrdiff_t>(class_bytes(size_class));
  if (size_class < kSmallClasses && (block = cache.lists[static_cast<std::size_t>(size_class)].pop()) != nullptr) {
    cache.kept -= static_cast<std::size_t>(size);
    block->references.store(1, std::memory_order_relaxed);
  } else {
    block = allocate_slowly(size_class, zero);
    if (block == nullptr) fail_memory(bytes);
    block->references.store(1, std::memory_order_relaxed);
  }
  block->bytes = bytes;
  if (size_class < kSmallClasses) {
    count_small(size);
  } else {
    shared_pool().count(size);
  }
  return Buffer(block);
}

Buffer Buffer::foreign(void* data, std::size_t bytes, std::function<void()> release) {
  auto* block = new Block;
  block->data = data;
  block->bytes = bytes;
  block->release = new std::function<void()>(std::move(release));
  return Buffer(block);
}

void Buffer::free_block(Block* block) {
  if (block->release != nullptr) {
    if (*block->release) (*block->release)();
    delete block->release;
    delete block;
    return;
  }
  std::size_t bytes = class_bytes(block->size_class);
  if (block->size_class >= kSmallClasses) {
    shared_pool().count(-static_cast<std::ptrdiff_t>(bytes));
    shared_pool().give(block);
    return;
  }
  if (!cache.open && !cache.closed) open_cache();
  if (!cache.closed && cache.kept + bytes <= kThreadKeeps) {
    cache.kept += bytes;
    cache.lists[static_cast<std::size_t>(block->size_class)].push(block);
  } else {
    shared_pool().give(block);
  }
  count_small(-static_cast<std::ptrdiff_t>(bytes));
}

PoolStatistics pool_statistics() {
  flush_count();
  SharedPool& pool = shared_pool();
  std::lock_guard lock(pool.mutex);
  auto live = static_cast<std::size_t>(std::max<std::ptrdiff_t>(pool.live.load(), 0));
  return {live, pool.kept + cache.kept, static_cast<std::size_t>(pool.peak.load())};
}

void trim_pool() {
  flush_cache();
  shared_pool().trim();
}

}  // namespace kiln::runtime
