// Memory whose neighbours must not be touched.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

namespace kiln::testing {

/// Bytes that end (or begin) at a page that must not be touched.
class GuardedMemory {
 public:
  GuardedMemory(std::size_t bytes, bool at_end) : bytes_(bytes) {
    const auto page = static_cast<std::size_t>(getpagesize());
    mapped_ = (bytes + page - 1) / page * page + 2 * page;
    base_ = static_cast<std::byte*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_, page, PROT_NONE);
    mprotect(base_ + mapped_ - page, page, PROT_NONE);
    data_ = at_end ? base_ + mapped_ - page - bytes : base_ + page;
  }
  ~GuardedMemory() { munmap(base_, mapped_); }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  void* data() { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_, mapped_ = 0;
  std::byte* base_ = nullptr;
  std::byte* data_ = nullptr;
};

}  // namespace kiln::testing
