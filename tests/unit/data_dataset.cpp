// Datasets: batches, shuffling, maps, temporaries, errors.
#include <kiln/data.h>
#include <kiln/error.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/catch.h"

using namespace kiln;

namespace {

/// n rows: x = [10 i, 10 i + 1], y = i.
data::Pairs numbered(int n) {
  std::vector<float> x;
  std::vector<std::int32_t> y;
  for (int i = 0; i < n; ++i) {
    x.push_back(static_cast<float>(10 * i));
    x.push_back(static_cast<float>(10 * i + 1));
    y.push_back(i);
  }
  return data::from_tensors(tensor(x, Shape{n, 2}), tensor(y));
}

std::vector<int> labels(const data::Pairs& d) {
  std::vector<int> all;
  for (auto [x, y] : d) {
    auto part = y.span<std::int32_t>();
    auto rows = x.span<float>();
    for (std::size_t i = 0; i < part.size(); ++i) REQUIRE(rows[2 * i + 1] == static_cast<float>(10 * part[i] + 1));  // x belongs to y
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

std::vector<int> iota(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

}  // namespace

TEST_CASE("rows one by one, in batches, cut and taken") {
  data::Pairs d = numbered(7);
  CHECK(d.size() == 7);
  CHECK(labels(d) == iota(7));
  auto [x, y] = *d.begin();
  CHECK(x.shape() == Shape{2});
  CHECK(y.shape() == Shape{});
  std::vector<std::int64_t> lengths;
  for (auto [xs, ys] : d.batch(3)) {
    CHECK(xs.shape() == Shape{ys.shape()[0], 2});
    lengths.push_back(ys.shape()[0]);
  }
  CHECK(lengths == std::vector<std::int64_t>{3, 3, 1});
  CHECK(d.batch(3).size() == 3);
  CHECK(labels(d.batch(3)) == iota(7));
  CHECK(labels(d.batch(3, {.drop_remainder = true})) == iota(6));
  CHECK(d.batch(3, {.drop_remainder = true}).size() == 2);
  CHECK(labels(d.take(5).batch(2)) == iota(5));
  CHECK(labels(d.take(0)).empty());
  CHECK(d.take(100).size() == 7);
  CHECK(labels(d.batch(100)) == iota(7));
}

TEST_CASE("shuffling is a permutation that the seed fixes") {
  data::Pairs d = numbered(1000);
  auto order = labels(d.shuffle(1000, {.seed = 1}).batch(32));
  CHECK(order != iota(1000));
  CHECK(labels(d.shuffle(1000, {.seed = 1})) == order);
  CHECK(labels(d.shuffle(1000, {.seed = 2})) != order);
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == iota(1000));
  // The same on every machine: the first of a known seed.
  CHECK(labels(numbered(8).shuffle(8, {.seed = 7})).size() == 8);
  auto again = d.shuffle(1000, {.seed = 1});
  CHECK(labels(again) == order);
  CHECK(labels(again) != order);
  auto same = d.shuffle(1000, {.seed = 1, .reshuffle = false});
  CHECK(labels(same) == labels(same));
}

TEST_CASE("a small buffer shuffles locally") {
  auto order = labels(numbered(100).shuffle(10, {.seed = 3}));
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == iota(100));
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(order[i] <= static_cast<int>(i) + 10);
  CHECK(labels(numbered(5).shuffle(1)) == iota(5));
}

TEST_CASE("every order of three is about equally frequent") {
  std::vector<int> count(27);
  data::Pairs d = numbered(3).shuffle(3, {.seed = 5});
  for (int round = 0; round < 6000; ++round) {
    auto order = labels(d);
    ++count[static_cast<std::size_t>(order[0] * 9 + order[1] * 3 + order[2])];
  }
  int orders = 0;
  for (int c : count) {
    if (c == 0) continue;
    ++orders;
    CHECK(c > 850);
    CHECK(c < 1150);
  }
  CHECK(orders == 6);
}

TEST_CASE("maps before and after batching") {
  data::Pairs d = numbered(6);
  auto swapped = d.map([](Tensor x, Tensor y) { return std::pair(y, x); });
  for (auto [y, x] : swapped.batch(4)) CHECK(x.shape() == Shape{y.shape()[0], 2});
  auto sums = d.batch(2).map([](const Tensor& x, const Tensor&) { return x + x; });
  std::vector<float> seen;
  for (const Tensor& t : sums) seen.push_back(t.span<float>()[2]);
  CHECK(seen == std::vector<float>{20, 60, 100});
  auto three = d.map([](Tensor x, Tensor y) { return std::tuple(x, y, x); }).shuffle(3).take(4);
  CHECK(three.size() == 4);
  int n = 0;
  for (auto [a, b, c] : three) n += static_cast<int>(a.size() + b.size() + c.size());
  CHECK(n == 4 * 5);
}

TEST_CASE("datasets own what they read: chains of temporaries work") {
  std::vector<int> all;
  for (auto [x, y] : numbered(9).shuffle(9, {.seed = 1}).batch(4).map([](Tensor x, Tensor y) { return std::pair(x, y); }).take(2)) {
    for (std::int32_t i : y.span<std::int32_t>()) all.push_back(i);
  }
  CHECK(all.size() == 8);
  auto [x, y] = *numbered(3).batch(2).begin();
  CHECK(y.span<std::int32_t>()[1] == 1);
}

TEST_CASE("errors name the caller's line") {
  Loc here{"user.cpp", 9};
  data::Pairs d = numbered(3);
  CHECK_THROWS_WITH(d.batch(0, {}, here), "user.cpp:9: batch: 0 examples in a batch; at least 1 is needed");
  CHECK_THROWS_WITH(d.shuffle(0, {}, here), "user.cpp:9: shuffle: a buffer of 0 elements; at least 1 is needed");
  CHECK_THROWS_WITH(d.take(-1, here), "user.cpp:9: take: -1 elements");
  CHECK_THROWS_WITH(data::from_tensors(tensor({1.f, 2.f}), tensor({1.f}), here), "user.cpp:9: from_tensors: tensors of 2 and 1 rows");
  CHECK_THROWS_WITH(data::from_tensors(tensor(1.f), here), "user.cpp:9: from_tensors: a tensor of rank 0 has no rows");
  CHECK_THROWS_AS(data::from_tensors(Tensor(), here), StateError);
  int calls = 0;
  auto ragged = d.map([&calls](Tensor x, Tensor y) {
    ++calls;
    return std::pair(calls == 2 ? Tensor(x[0]) : x, y);
  });
  CHECK_THROWS_WITH(ragged.batch(3, {}, here).begin(), "user.cpp:9: batch: examples of shapes [2] and [] do not stack");
}

TEST_CASE("skip, repeat and zip") {
  data::Pairs d = numbered(5);
  CHECK(labels(d.skip(2)) == std::vector<int>{2, 3, 4});
  CHECK(d.skip(2).size() == 3);
  CHECK(labels(d.skip(9)).empty());
  CHECK(d.skip(9).size() == 0);
  CHECK(labels(d.skip(1).batch(3)) == std::vector<int>{1, 2, 3, 4});
  CHECK(labels(d.repeat(2)) == std::vector<int>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4});
  CHECK(d.repeat(2).size() == 10);
  CHECK(d.repeat(0).size() == 0);
  CHECK(labels(d.repeat(0)).empty());
  CHECK(d.repeat().size() == data::kInfinite);
  CHECK(d.repeat().batch(2).size() == data::kInfinite);
  CHECK(d.repeat().take(7).size() == 7);
  CHECK(labels(d.repeat().take(7)) == std::vector<int>{0, 1, 2, 3, 4, 0, 1});
  CHECK(labels(d.take(0).repeat()).empty());
  // Batches run on over the end of a pass.
  std::vector<std::int64_t> lengths;
  for (auto [x, y] : d.repeat(2).batch(4)) lengths.push_back(y.size());
  CHECK(lengths == std::vector<std::int64_t>{4, 4, 2});
  // The same through elements instead of rows.
  auto twice = d.map([](const Tensor& x, const Tensor& y) { return std::pair{x, y}; });
  CHECK(labels(twice.skip(3).repeat(2)) == std::vector<int>{3, 4, 3, 4});

  auto zipped = data::zip(d, data::from_tensors(arange(100, 103)));
  CHECK(zipped.size() == 3);
  int n = 0;
  for (auto [x, y, z] : zipped) {
    CHECK(y.item<int>() == n);
    CHECK(z.item<int>() == 100 + n++);
  }
  CHECK(n == 3);
  CHECK(data::zip(d.repeat(), d).size() == 5);
}

TEST_CASE("a seeded shuffle gives each pass another order, and every program the same ones") {
  auto shuffled = [] { return numbered(50).shuffle(50, {.seed = 3}); };
  data::Pairs a = shuffled(), b = shuffled();
  const std::vector<int> first = labels(a), second = labels(a);
  CHECK(first != second);
  CHECK(labels(b) == first);
  CHECK(labels(b) == second);
  CHECK(labels(shuffled().repeat(2)).size() == 100);
  std::vector<int> both = first;
  both.insert(both.end(), second.begin(), second.end());
  CHECK(labels(shuffled().repeat(2)) == both);
  data::Pairs fixed = numbered(50).shuffle(50, {.seed = 3, .reshuffle = false});
  CHECK(labels(fixed) == labels(fixed));
  CHECK(labels(numbered(5).repeat().shuffle(10, {.seed = 1}).take(200)).size() == 200);
}

TEST_CASE("prefetch makes elements ahead, in order, and passes errors on") {
  CHECK(labels(numbered(100).batch(7).prefetch()) == iota(100));
  CHECK(labels(numbered(100).prefetch(3)) == iota(100));
  CHECK(numbered(100).batch(7).prefetch(2).size() == 15);
  std::atomic<int> made{0};
  auto counted = numbered(100).map([&](const Tensor& x, const Tensor& y) {
    ++made;
    return std::pair{x, y};
  });
  {
    auto ahead = counted.prefetch(4);
    auto i = ahead.begin();
    for (int tries = 0; made < 6 && tries < 2000; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(made == 6);  // one in use, four waiting, one in the thread's hand
    (void)i;
  }
  auto failing = numbered(10).map([](const Tensor& x, const Tensor& y) {
    if (y.item<int>() == 3) throw std::runtime_error("bad example");
    return std::pair{x, y};
  });
  int seen = 0;
  try {
    for (auto [x, y] : failing.prefetch()) seen += x.defined();
    FAIL("no error");
  } catch (const std::runtime_error& e) {
    CHECK(std::string(e.what()) == "bad example");
  }
  CHECK(seen == 3);
}

TEST_CASE("counts that make no sense") {
  auto message = [](auto&& f) {
    try {
      f();
    } catch (const ValueError& e) {
      return e.message();
    }
    return std::string("no error");
  };
  data::Pairs d = numbered(3);
  CHECK(message([&] { d.skip(-1); }) == "skip: -1 elements");
  CHECK(message([&] { d.take(-2); }) == "take: -2 elements");
  CHECK(message([&] { d.repeat(-2); }) == "repeat: -2 passes; at least 0, or kInfinite");
  CHECK(message([&] { d.prefetch(0); }) == "prefetch: 0 elements ahead; at least 1 is needed");
  CHECK(message([&] { d.batch(0); }) == "batch: 0 examples in a batch; at least 1 is needed");
  CHECK(message([&] { d.shuffle(0); }) == "shuffle: a buffer of 0 elements; at least 1 is needed");
}
