// What makes a traced function trace again, and what does not. Bodies count how often they run: once a trace.
#include <kiln/kiln.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/catch.h"
#include "tests/stderr_text.h"

using namespace kiln;

namespace {

int runs = 0;

/// Traces made by f().
template <class F>
int traces(F&& f) {
  int before = runs;
  f();
  return runs - before;
}

enum class Mode { slow, fast };

struct Batch {
  Tensor x;
  std::optional<Tensor> mask;
  int label_count = 0;
};

struct Key {
  int a = 0, b = 0;
  explicit Key(int first, int second) : a(first), b(second) {}
  bool operator==(const Key&) const = default;
};

struct Settings {
  float rate = 0.1f;
  std::vector<bool> flags = {true, false};
  std::map<std::string, double> extra;
};

}  // namespace

template <>
struct std::hash<Key> {
  std::size_t operator()(const Key& k) const { return static_cast<std::size_t>(k.a ^ k.b); }  // collides on purpose
};

namespace {

KILN_FUNCTION(Tensor, add_one, (Tensor x)) {
  ++runs;
  return x + 1;
}
KILN_FUNCTION(Tensor, nested, (const std::map<std::string, std::vector<Tensor>>& t, const Batch& b)) {
  ++runs;
  return t.at("a")[0] + b.x;
}
KILN_FUNCTION(Tensor, plain, (Tensor x, int n, bool b, Mode m, const std::string& s, double d)) {
  ++runs;
  (void)b, (void)m, (void)s, (void)d;
  return x + n;
}
KILN_FUNCTION(Tensor, hashed, (Tensor x, const Key& k)) {
  ++runs;
  return x + k.a;
}
KILN_FUNCTION(Tensor, structured, (Tensor x, const Settings& s)) {
  ++runs;
  return x * s.rate;
}
KILN_FUNCTION(Tensor, scaled, (Variable & w, Tensor x)) {
  ++runs;
  return x * w;
}
KILN_FUNCTION(Tensor, any_batch, (Tensor x, Tensor y),
              .input_signature = {{DType::float32, {Dim::symbol("batch"), 3}}, {DType::float32, {Dim::symbol("batch"), -1}}}) {
  ++runs;
  (void)y;
  return x + 1;
}
KILN_FUNCTION(Tensor, mode_of, (Tensor x)) {
  ++runs;
  return is_training() ? x * 2 : x;
}

Tensor ones_of(const Shape& shape) { return tensor(std::vector<float>(static_cast<std::size_t>(shape.count()), 1.f), shape); }

}  // namespace

TEST_CASE("shape and dtype decide, values do not") {
  CHECK(traces([] { add_one.concrete(tensor({1.f, 2.f})); }) == 1);
  CHECK(traces([] { add_one.concrete(tensor({5.f, 6.f})); }) == 0);
  CHECK(traces([] { add_one.concrete(tensor({1.f, 2.f, 3.f})); }) == 1);
  CHECK(traces([] { add_one.concrete(tensor({1, 2})); }) == 1);
  CHECK(traces([] { add_one.concrete(tensor({{1.f, 2.f}})); }) == 1);
  CHECK(traces([] { add_one.concrete(3.0); }) == 1);
  CHECK(traces([] { add_one.concrete(4.5f); }) == 0);
  CHECK(traces([] { add_one.concrete(tensor({7.f, 8.f})); }) == 0);
}

TEST_CASE("tensors in nests") {
  Tensor t = tensor({1.f}), u = tensor({1.f, 2.f});
  CHECK(traces([&] { nested.concrete({{"a", {t}}}, {t, {}, 1}); }) == 1);
  CHECK(traces([&] { nested.concrete({{"a", {t}}}, {t, {}, 1}); }) == 0);
  CHECK(traces([&] { nested.concrete({{"a", {u}}}, {t, {}, 1}); }) == 1);
  CHECK(traces([&] { nested.concrete({{"a", {t, t}}}, {t, {}, 1}); }) == 1);
  CHECK(traces([&] { nested.concrete({{"a", {t}}, {"b", {}}}, {t, {}, 1}); }) == 1);
  CHECK(traces([&] { nested.concrete({{"a", {t}}}, {t, t, 1}); }) == 1);
  CHECK(traces([&] { nested.concrete({{"a", {t}}}, {t, {}, 2}); }) == 1);
  CHECK(traces([&] { nested.concrete({{"a", {t}}}, {t, {}, 2}); }) == 0);
}

TEST_CASE("values of plain arguments") {
  Tensor x = tensor({1.f});
  auto run = [&](int n, bool b, Mode m, const std::string& s, double d) { return traces([&] { plain.concrete(x, n, b, m, s, d); }); };
  CHECK(run(1, true, Mode::slow, "name", 0.5) == 1);
  CHECK(run(1, true, Mode::slow, "name", 0.5) == 0);
  CHECK(run(2, true, Mode::slow, "name", 0.5) == 1);
  CHECK(run(1, false, Mode::slow, "name", 0.5) == 1);
  CHECK(run(1, true, Mode::fast, "name", 0.5) == 1);
  CHECK(run(1, true, Mode::slow, "names", 0.5) == 1);
  CHECK(run(1, true, Mode::slow, "a name of more than eight bytes", 0.5) == 1);
  CHECK(run(1, true, Mode::slow, "a name of more than eight byteS", 0.5) == 1);
  CHECK(run(1, true, Mode::slow, "name", 0.25) == 1);
  CHECK(run(1, true, Mode::slow, "name", 0.5) == 0);
}

TEST_CASE("hashable values are compared, not only hashed") {
  Tensor x = tensor({1.f});
  CHECK(traces([&] { hashed.concrete(x, Key(1, 2)); }) == 1);
  CHECK(traces([&] { hashed.concrete(x, Key(2, 1)); }) == 1);
  CHECK(traces([&] { hashed.concrete(x, Key(1, 2)); }) == 0);
}

TEST_CASE("members of plain structs") {
  Tensor x = tensor({1.f});
  Settings s;
  CHECK(traces([&] { structured.concrete(x, s); }) == 1);
  CHECK(traces([&] { structured.concrete(x, s); }) == 0);
  s.rate = 0.5f;
  CHECK(traces([&] { structured.concrete(x, s); }) == 1);
  s.flags[1] = true;
  CHECK(traces([&] { structured.concrete(x, s); }) == 1);
  s.extra["k"] = 1;
  CHECK(traces([&] { structured.concrete(x, s); }) == 1);
}

TEST_CASE("variables are told apart by identity, not by address or value") {
  Tensor x = tensor({1.f});
  std::optional<Variable> v;
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 3; ++i) {
    v.emplace(tensor({2.f}));
    ids.insert(v->id());
    CHECK(traces([&] { scaled.concrete(*v, x); }) == 1);
    v->assign(tensor({3.f}));
    CHECK(traces([&] { scaled.concrete(*v, x); }) == 0);
  }
  CHECK(ids.size() == 3);
  Variable copy(*v);
  CHECK(copy.id() != v->id());
  CHECK(traces([&] { scaled.concrete(copy, x); }) == 1);
  std::uint64_t id = copy.id();
  Variable moved = std::move(copy);
  CHECK(moved.id() == id);
  CHECK(traces([&] { scaled.concrete(moved, x); }) == 0);
}

TEST_CASE("the training flag") {
  Tensor x = tensor({1.f});
  CHECK(traces([&] { mode_of.concrete(x); }) == 1);
  TrainingScope training;
  CHECK(traces([&] { mode_of.concrete(x); }) == 1);
  CHECK(traces([&] { mode_of.concrete(x); }) == 0);
}

TEST_CASE("an input signature with unknown lengths is one trace") {
  CHECK(traces([] { any_batch.concrete(ones_of({4, 3}), ones_of({4, 1})); }) == 1);
  CHECK(traces([] { any_batch.concrete(ones_of({7, 3}), ones_of({7, 9})); }) == 0);
  std::string ir = any_batch.concrete(ones_of({5, 3}), ones_of({5, 2})).ir(Stage::captured);
  CHECK(ir.find("batch") != std::string::npos);
}

TEST_CASE("lambdas have a cache of their own, generic ones one for each list of types") {
  auto f = kiln::function([](Tensor x) {
    ++runs;
    return x + 1;
  });
  auto same = f;
  auto other = kiln::function([](Tensor x) {
    ++runs;
    return x + 1;
  });
  Tensor x = tensor({1.f});
  CHECK(traces([&] { f.concrete(x); }) == 1);
  CHECK(traces([&] { same.concrete(x); }) == 0);
  CHECK(traces([&] { other.concrete(x); }) == 1);

  auto g = kiln::function([](auto& w, auto y) {
    ++runs;
    return y * w;
  });
  Variable w{tensor({2.f})};
  CHECK(traces([&] { g.concrete(w, x); }) == 1);
  CHECK(traces([&] { g.concrete(w, x); }) == 0);
  CHECK(traces([&] { g.concrete(w, 2); }) == 1);
  CHECK(traces([&] { g.concrete(w, 3); }) == 1);
}

TEST_CASE("many signatures, found again") {
  Tensor x = tensor({1.f});
  for (int n = 100; n < 160; ++n) CHECK(traces([&] { plain.concrete(x, n, true, Mode::slow, "many", 0); }) == 1);
  for (int n = 100; n < 160; ++n) CHECK(traces([&] { plain.concrete(x, n, true, Mode::slow, "many", 0); }) == 0);
}

TEST_CASE("two threads with one signature trace once") {
  Tensor x = tensor({{1.f, 2.f, 3.f, 4.f}});
  int n = traces([&] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { add_one.concrete(x); });
    for (std::thread& t : threads) t.join();
  });
  CHECK(n == 1);
}
