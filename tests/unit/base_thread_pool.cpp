// The thread pool: everything covered once, the same partition always, nesting, busy pools, fork, the workers' control word.
#include "base/thread_pool.h"

#include <fenv.h>
#include <kiln/error.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/float_environment.h"
#include "tests/catch.h"

namespace {

using Chunk = std::pair<std::int64_t, std::int64_t>;

std::vector<Chunk> partition(std::int64_t count, std::int64_t grain) {
  std::mutex mutex;
  std::vector<Chunk> chunks;
  kiln::parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    std::lock_guard lock(mutex);
    chunks.emplace_back(begin, end);
  });
  std::sort(chunks.begin(), chunks.end());
  return chunks;
}

}  // namespace

TEST_CASE("everything is covered once, in chunks of at least the grain") {
  for (int threads : {1, 2, 3, 8}) {
    kiln::set_num_threads(threads);
    CHECK(kiln::num_threads() == threads);
    for (std::int64_t count : {0, 1, 2, 7, 64, 1000, 12345}) {
      for (std::int64_t grain : {0, 1, 3, 100, 20000}) {
        std::vector<Chunk> chunks = partition(count, grain);
        std::int64_t at = 0;
        for (auto [begin, end] : chunks) {
          REQUIRE(begin == at);
          REQUIRE((end - begin >= grain || chunks.size() == 1));
          at = end;
        }
        REQUIRE(at == count);
        REQUIRE(chunks.size() <= static_cast<std::size_t>(threads));
        for (int again = 0; again < 3; ++again) REQUIRE(partition(count, grain) == chunks);
      }
    }
  }
  CHECK(partition(std::int64_t{1} << 62, 1).back().second == std::int64_t{1} << 62);
}

TEST_CASE("from a worker the same partition runs inline") {
  kiln::set_num_threads(4);
  std::vector<Chunk> expected = partition(1000, 10);
  REQUIRE(expected.size() == 4);
  std::mutex mutex;
  std::vector<std::vector<Chunk>> seen;
  kiln::parallel_for(4, 1, [&](std::int64_t, std::int64_t) {
    std::thread::id self = std::this_thread::get_id();
    std::vector<Chunk> inner;
    bool same_thread = true;
    kiln::parallel_for(1000, 10, [&](std::int64_t begin, std::int64_t end) {
      same_thread = same_thread && std::this_thread::get_id() == self;
      inner.emplace_back(begin, end);
    });
    std::lock_guard lock(mutex);
    CHECK(same_thread);
    seen.push_back(inner);
  });
  REQUIRE(seen.size() == 4);
  for (const auto& inner : seen) CHECK(inner == expected);
}

TEST_CASE("several callers at once") {
  kiln::set_num_threads(3);
  std::atomic<std::int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < 2000; ++round) {
        kiln::parallel_for(30, 1, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
      }
    });
  }
  for (std::thread& t : callers) t.join();
  CHECK(sum == 4 * 2000 * 30);
}

TEST_CASE("workers that went to sleep wake up") {
  kiln::set_num_threads(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> calls{0};
    kiln::parallel_for(3, 1, [&](std::int64_t, std::int64_t) {
      ++calls;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    REQUIRE(calls == 3);
  }
}

TEST_CASE("workers round to nearest whatever the thread that made them does") {
  kiln::set_num_threads(16);  // more than any test before asked for: new workers are made here
  fesetround(FE_UPWARD);
  std::atomic<int> wrong{0};
  std::thread::id self = std::this_thread::get_id();
  kiln::parallel_for(16, 1, [&](std::int64_t, std::int64_t) {
    if (std::this_thread::get_id() != self && (_mm_getcsr() & 0xffc0) != 0x1f80) ++wrong;
  });
  {
    kiln::DefaultFloatEnvironment environment;
    CHECK((_mm_getcsr() & 0xffc0) == 0x1f80);
  }
  CHECK((_mm_getcsr() & 0x6000) == 0x4000);
  fesetround(FE_TONEAREST);
  CHECK(wrong == 0);
}

#ifndef __SANITIZE_THREAD__  // which does not support threads made after a fork
TEST_CASE("a forked child makes a pool of its own") {
  kiln::set_num_threads(3);
  REQUIRE(partition(300, 1).size() == 3);
  pid_t child = fork();
  if (child == 0) {
    alarm(10);
    std::atomic<std::int64_t> sum{0};
    kiln::parallel_for(300, 1, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
    _exit(sum == 300 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}
#endif

TEST_CASE("the number of threads is checked") {
  CHECK_THROWS_WITH(kiln::set_num_threads(0), "set_num_threads: 0 is not from 1 to 1024");
  CHECK_THROWS_AS(kiln::set_num_threads(5000), kiln::ValueError);
}
