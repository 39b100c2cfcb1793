// Buffers: counting, reuse, bounds of the pool, statistics, foreign memory, many threads.
#include "runtime/buffer.h"

#include <kiln/error.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "base/flags.h"
#include "tests/catch.h"

using kiln::runtime::Buffer;
using kiln::runtime::pool_statistics;

TEST_CASE("a buffer is aligned, sized and counted") {
  for (std::size_t bytes : {0u, 1u, 40u, 64u, 65u, 1000u, 65536u, 65537u, 5000000u, 9000001u}) {
    Buffer a = Buffer::allocate(bytes);
    REQUIRE(a.bytes() == bytes);
    REQUIRE(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
    std::memset(a.data(), 7, bytes);
    CHECK(a.unique());
    Buffer b = a;
    CHECK_FALSE(a.unique());
    CHECK(b.data() == a.data());
    b = Buffer();
    CHECK(a.unique());
    Buffer c = std::move(a);
    CHECK_FALSE(a.defined());
    CHECK(c.unique());
  }
}

TEST_CASE("zeros are zeros, in fresh memory and in memory that was used") {
  for (std::size_t bytes : {0u, 1u, 100u, 70000u, 5000001u}) {
    for (int round = 0; round < 2; ++round) {
      Buffer a = Buffer::zeroed(bytes);
      REQUIRE(a.bytes() == bytes);
      const auto* data = static_cast<const std::uint8_t*>(a.data());
      CHECK(std::count(data, data + bytes, 0) == static_cast<std::ptrdiff_t>(bytes));
      std::memset(a.data(), 7, bytes);
    }
  }
}

TEST_CASE("a full pool gives up what was freed long ago, not what is freed now") {
  const std::size_t bound = kiln::flags().pool_bytes;
  {
    std::vector<Buffer> large;
    for (std::size_t bytes = 0; bytes <= bound; bytes += 64 << 20) large.push_back(Buffer::allocate(64 << 20));
  }
  REQUIRE(pool_statistics().pooled_bytes > bound / 2);
  constexpr std::size_t bytes = 6000000;
  {
    Buffer a = Buffer::allocate(bytes);
    std::memset(a.data(), 7, bytes);
  }
  CHECK(pool_statistics().pooled_bytes <= bound);
  Buffer b = Buffer::allocate(bytes);
  CHECK(static_cast<const std::uint8_t*>(b.data())[bytes / 2] == 7);  // fresh memory holds zeros
  kiln::runtime::trim_pool();
}

TEST_CASE("blocks never overlap, whatever their sizes") {
  std::mt19937 random(3);
  struct Held {
    Buffer buffer;
    std::uint8_t mark;
  };
  std::vector<Held> held;
  for (int round = 0; round < 20000; ++round) {
    std::size_t bytes = random() % (std::size_t{1} << (random() % 18));
    Held h{Buffer::allocate(bytes), static_cast<std::uint8_t>(random())};
    std::memset(h.buffer.data(), h.mark, bytes);
    held.push_back(std::move(h));
    if (held.size() < 50) continue;
    std::swap(held[random() % held.size()], held.back());
    const Held& gone = held.back();
    const auto* bytes_of = static_cast<const std::uint8_t*>(gone.buffer.data());
    bool intact = true;
    for (std::size_t i = 0; i < gone.buffer.bytes(); ++i) intact = intact && bytes_of[i] == gone.mark;
    REQUIRE(intact);
    held.pop_back();
  }
}

TEST_CASE("a freed block is used again") {
  for (std::size_t bytes : {100u, 300000u, 6000000u}) {
    void* first = nullptr;
    {
      Buffer a = Buffer::allocate(bytes);
      first = a.data();
    }
    Buffer b = Buffer::allocate(bytes);
    CHECK(b.data() == first);
  }
}

TEST_CASE("statistics and trimming") {
  kiln::runtime::trim_pool();
  auto before = pool_statistics();
  CHECK(before.pooled_bytes == 0);
  {
    Buffer a = Buffer::allocate(1 << 20);
    Buffer b = Buffer::allocate(64);
    CHECK(pool_statistics().live_bytes == before.live_bytes + (1 << 20) + 64);
  }
  auto after = pool_statistics();
  CHECK(after.live_bytes == before.live_bytes);
  CHECK(after.pooled_bytes == (1 << 20) + 64);
  CHECK(after.peak_bytes >= before.live_bytes + (1 << 20) + 64);
  kiln::runtime::trim_pool();
  CHECK(pool_statistics().pooled_bytes == 0);
}

TEST_CASE("foreign memory is released once and never unique") {
  int released = 0;
  double data[4] = {};
  {
    Buffer a = Buffer::foreign(data, sizeof data, [&] { ++released; });
    CHECK(a.data() == data);
    CHECK_FALSE(a.unique());
    Buffer b = a;
    a = Buffer();
    CHECK(released == 0);
  }
  CHECK(released == 1);
}

TEST_CASE("no memory is an error, not a crash") {
  CHECK_THROWS_AS(Buffer::allocate(std::size_t{1} << 60), kiln::RuntimeError);
  // Within the address space, which the kernel would grant, but more than the machine has.
  CHECK_THROWS_AS(Buffer::allocate(std::size_t{1} << 46), kiln::RuntimeError);
  CHECK_THROWS_WITH(Buffer::allocate(std::size_t{1} << 60), contains_text("out of memory: 1152921504606846976 bytes asked for"));
}

TEST_CASE("buffers made in one thread and freed in another") {
  std::vector<std::thread> threads;
  std::vector<Buffer> handed(64);
  auto before = pool_statistics();
  for (int round = 0; round < 20; ++round) {
    for (auto& b : handed) b = Buffer::allocate(1000);
    std::thread([&] {
      for (auto& b : handed) b = Buffer();
      for (int i = 0; i < 100; ++i) Buffer::allocate(static_cast<std::size_t>(i) * 100);
    }).join();
  }
  CHECK(pool_statistics().live_bytes == before.live_bytes);
}

TEST_CASE("handles copied and dropped by many threads") {
  Buffer shared = Buffer::allocate(100);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([copy = shared] {
      for (int round = 0; round < 100000; ++round) {
        Buffer mine = copy;
        Buffer another = mine;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  threads.clear();
  CHECK(shared.unique());
}
