// Calls of traced functions run compiled code that agrees with eager code, updates variables in place, and leaves them alone when it fails.
#include <kiln/kiln.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/target.h"
#include "runtime/compile.h"
#include "tests/catch.h"

using namespace kiln;

namespace {

bool have_compiler() { return !runtime::compiler_build_id().empty(); }

bool same_bits(const Tensor& a, const Tensor& b) {
  auto x = a.span<float>(), y = b.span<float>();
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size_bytes()) == 0;
}

/// The same bits, but any NaN equals any NaN.
bool equal_values(const Tensor& a, const Tensor& b) {
  auto x = a.span<float>(), y = b.span<float>();
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](float p, float q) {
    return std::isnan(p) ? std::isnan(q) : std::bit_cast<std::uint32_t>(p) == std::bit_cast<std::uint32_t>(q);
  });
}

KILN_FUNCTION(Tensor, polynomial, (Tensor x), .strict = true) { return ((x * 3 - 1) * x + 0.5) * x - tanh(x); }
KILN_FUNCTION((std::tuple<Tensor, std::vector<Tensor>, int>), several, (Tensor x)) { return {x + 1, {x * 2, Tensor(), x}, 7}; }
KILN_FUNCTION(Tensor, step, (Variable & w, Variable& steps, Tensor x)) {
  GradientTape tape;
  Tensor loss = w * w * x;
  w.assign_sub(0.25 * tape.gradient(loss, w));
  steps.assign_add(1);
  return loss;
}
KILN_FUNCTION(Tensor, divide_and_count, (Variable & count, Tensor a, Tensor b)) {
  count.assign_add(1);
  return a / b;
}
KILN_FUNCTION(Tensor, any_length, (Tensor x), .input_signature = {{DType::float32, {Dim::symbol("n")}}}) { return x * x + 1; }
KILN_FUNCTION(Tensor, pooled_sum, (Tensor x), .input_signature = {{DType::float32, {1, Dim::symbol("n"), Dim::symbol("n"), 1}}}) {
  return sum(exp(max_pool2d(x, 3, {.strides = 1})));
}
KILN_FUNCTION(void, bump, (Variable & v)) { v.assign_add(1); }
KILN_FUNCTION(Tensor, noise, (Tensor x)) { return x + random::uniform({4}); }

const void* address(const Variable& v) { return v.value().span<float>().data(); }

}  // namespace

TEST_CASE("without the compiler library a miss says so, and eager code works") {
  if (have_compiler()) return;
  CHECK((tensor({1.f}) + 1).str() == "[2.]");
  CHECK_THROWS_AS(polynomial(tensor({1.f})), CompileError);
}

TEST_CASE("strict compiled code has the bits of eager code") {
  if (!have_compiler()) return;
  for (std::int64_t n : {1, 7, 16, 1000}) {
    Tensor x = random::normal({n}, {.key = random::Key{1, n}});
    Tensor compiled = polynomial(x);
    run_eagerly(true);
    Tensor eager = polynomial(x);
    run_eagerly(false);
    CHECK(all(compiled == eager).item<bool>());
  }
}

TEST_CASE("nests come back as they left the body") {
  if (!have_compiler()) return;
  for (int i = 0; i < 2; ++i) {
    auto [first, list, number] = several(tensor({1.f, 2.f}));
    CHECK(first.str() == "[2. 3.]");
    REQUIRE(list.size() == 3);
    CHECK(list[0].str() == "[2. 4.]");
    CHECK_FALSE(list[1].defined());
    CHECK(list[2].str() == "[1. 2.]");
    CHECK(number == 7);
  }
}

TEST_CASE("variables are updated, in place where nobody else holds them") {
  if (!have_compiler()) return;
  Variable w{tensor({1.f, 2.f})}, steps{tensor(0), {.trainable = false}};
  Tensor x = tensor({1.f, 1.f});
  const void* before = address(w);
  CHECK(step(w, steps, x).str() == "[1. 4.]");
  CHECK(address(w) == before);
  CHECK(w.value().str() == "[0.5 1. ]");
  Tensor held = w;
  step(w, steps, x);
  CHECK(held.str() == "[0.5 1. ]");
  CHECK(w.value().str() == "[0.25 0.5 ]");
  CHECK(steps.value().item<int>() == 2);
}

TEST_CASE("an error in a kernel leaves the variables alone") {
  if (!have_compiler()) return;
  Variable count{tensor(0), {.trainable = false}};
  CHECK(divide_and_count(count, tensor({7, 8}), tensor({2, 4})).str() == "[3 2]");
  CHECK_THROWS_AS(divide_and_count(count, tensor({7, 8}), tensor({2, 0})), RuntimeError);
  CHECK(count.value().item<int>() == 1);
  divide_and_count(count, tensor({7, 8}), tensor({2, 4}));
  CHECK(count.value().item<int>() == 2);
}

TEST_CASE("one binary for all lengths") {
  if (!have_compiler()) return;
  CHECK(any_length(tensor({1.f, 2.f})).str() == "[2. 5.]");
  CHECK(any_length(tensor({3.f})).str() == "[10.]");
  CHECK(any_length(tensor({1.f, 2.f, 3.f})).str() == "[ 2.  5. 10.]");
}

TEST_CASE("a window longer than what it slides over") {
  if (!have_compiler()) return;
  CHECK(pooled_sum(zeros({1, 4, 4, 1})).item<float>() == 4);
  CHECK_THROWS_WITH(pooled_sum(zeros({1, 1, 1, 1})),
                    Catch::Matchers::Contains("with inputs of these shapes an axis of an intermediate result would have length -1"));
}

TEST_CASE("steps on one variable from several threads all count") {
  if (!have_compiler()) return;
  Variable v{tensor({0.f, 0.f, 0.f})};
  std::atomic<bool> torn{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) bump(v);
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 200; ++i) {
      Tensor now = v;
      auto s = now.span<float>();
      if (s[0] != s[1] || s[1] != s[2]) torn = true;
    }
  });
  for (std::thread& t : threads) t.join();
  CHECK_FALSE(torn);
  CHECK(v.value().str() == "[600. 600. 600.]");
}

TEST_CASE("outputs too large for the caches are written past them, the rest of the last piece not") {
  if (!have_compiler()) return;
  Tensor x = random::normal({(std::int64_t{9} << 20) + 1237});
  Tensor want = ((x * 3 - 1) * x + 0.5) * x - tanh(x);
  Tensor got = polynomial(x);
  CHECK(same_bits(got, want));
}

TEST_CASE("sums side by side are eager's, whatever the lengths and where there is NaN") {
  if (!have_compiler()) return;
  const auto sums = [](Tensor x, Tensor dy) { return std::tuple{sum(dy, {0}), sum(dy * x, {0}) * 0.5, sum(dy * x, {0}) + sum(dy, {0})}; };
  auto compiled = function(sums, {.strict = true});
  for (const Shape& shape : {Shape{0, 5}, Shape{1, 5}, Shape{37, 1301}, Shape{4099, 33}, Shape{70001, 3}}) {
    CAPTURE(shape.str());
    Tensor x = random::normal(shape), dy = where(abs(random::normal(shape)) > 3.5, NAN, random::normal(shape));
    const auto [offset, scale, both] = compiled(x, dy);
    const auto [want_offset, want_scale, want_both] = sums(x, dy);
    CHECK(equal_values(offset, want_offset));
    CHECK(equal_values(scale, want_scale));
    CHECK(equal_values(both, want_both));
  }
}

TEST_CASE("random numbers of four lanes share a block") {
  if (!have_compiler()) return;
  auto draw = [](const Shape& shape) { return random::normal(shape) + random::uniform(shape); };
  auto compiled = function([draw](Tensor x) { return draw(x.shape()) + x; }, {.strict = true});
  for (const Shape& shape : {Shape{1000}, Shape{31, 45}, Shape{8, 64}, Shape{3}}) {
    random::set_seed(11);
    Tensor want = draw(shape) + zeros(shape);
    random::set_seed(11);
    CHECK(same_bits(compiled(zeros(shape)), want));
  }
}

TEST_CASE("random numbers go on from call to call and follow the seed") {
  if (!have_compiler()) return;
  Tensor zero = zeros({4});
  random::set_seed(3);
  std::string first = noise(zero).str(), second = noise(zero).str();
  random::set_seed(3);
  CHECK(noise(zero).str() == first);
  CHECK(first != second);
  random::set_seed(3);
  CHECK(random::uniform({4}).str() == first);
}

TEST_CASE("texts and costs of the stages") {
  if (!have_compiler()) return;
  Concrete c = polynomial.concrete(tensor({1.f, 2.f}));
  CHECK(c.ir(Stage::optimized).find("kiln.map \"tanh\"") != std::string::npos);
  CHECK(c.ir(Stage::fused).find("kiln.fusion") != std::string::npos);
  CHECK_FALSE(c.ir(Stage::kernels).empty());
  CHECK(c.ir(Stage::llvm).find("define") != std::string::npos);
  CHECK_FALSE(c.ir(Stage::assembly).empty());
  CHECK(c.cost().launches == 1);
  CHECK(c.cost().optimized_ops <= c.cost().captured_ops);
}

TEST_CASE("long bodies call their functions, in as many registers as fit, to the bits of eager code") {
  if (!have_compiler()) return;
  // Each value is used twice, so that there are 2^60 ways through it.
  const auto diamonds = [](Tensor x) {
    for (int i = 0; i < 60; ++i) x = maximum(x * 1.25 + 0.125, -0.5) - x * 0.5;
    return x;
  };
  const auto transcendental = [](Tensor x) {
    for (int i = 0; i < 12; ++i) x = tanh(x * 1.25) + log1p(exp(x)) * sin(x);
    return x;
  };
  auto compiled_diamonds = function(diamonds, {.strict = true}), compiled = function(transcendental, {.strict = true});
  for (std::int64_t n : {1, 15, 16, 63, 64, 65, 1000}) {
    CAPTURE(n);
    Tensor x = random::normal({n}) * 3.0;
    x = where(abs(x) > 6.0, NAN, where(x > 5.0, INFINITY, x));
    CHECK(equal_values(compiled_diamonds(x), diamonds(x)));
    CHECK(equal_values(compiled(x), transcendental(x)));
  }
  if (current_target().is_aarch64()) return;
  CHECK(compiled.concrete(random::normal({1000})).ir(Stage::llvm).find("@\"tanh.vector<") != std::string::npos);
}

TEST_CASE("concats of many parts along any axis are eager's, parts of rows, whole rows and slabs") {
  if (!have_compiler()) return;
  for (int axis : {0, 1, 2}) {
    for (int parts : {2, 9, 40}) {
      CAPTURE(axis, parts);
      // With a bias along the last axis, the axes before it stay apart; without, everything after the concat's axis is one.
      for (bool bias : {false, true}) {
        const auto join = [=](Tensor x, Tensor b) {
          std::vector<Tensor> all;
          for (int i = 0; i < parts; ++i) all.push_back(i % 3 == 0 ? x : bias ? x * (1.0 + i) + b : x * (1.0 + i) - exp(x));
          Tensor joined = concat(all, axis);
          return std::tuple{joined * 2.0, abs(joined)};
        };
        auto compiled = function(join, {.strict = true});
        Tensor x = random::normal({3, 5, 37}), b = random::normal({37});
        const auto [twice, magnitude] = compiled(x, b);
        const auto [want_twice, want_magnitude] = join(x, b);
        CHECK(equal_values(twice, want_twice));
        CHECK(equal_values(magnitude, want_magnitude));
      }
    }
  }
  const auto join = [](Tensor x, Tensor y) { return concat({x * 2.0, y, x + 1.0, exp(y)}, 0); };
  auto any_length = function(
      join, {.input_signature = {{DType::float32, {Dim::symbol("n"), 4}}, {DType::float32, {Dim::symbol("m"), 4}}}, .strict = true});
  for (std::int64_t n : {0, 1, 700}) {
    for (std::int64_t m : {0, 3, 5000}) {
      CAPTURE(n, m);
      Tensor x = random::normal({n, 4}), y = random::normal({m, 4});
      CHECK(equal_values(any_length(x, y), join(x, y)));
    }
  }
}

TEST_CASE("short rows: few channels, broadcast, cut, padded, mirrored, swapped, joined") {
  if (!have_compiler()) return;
  const auto check = [](const auto& body, auto... x) {
    auto compiled = function(body, {.strict = true});
    CHECK(equal_values(compiled(x...), body(x...)));
  };
  for (std::int64_t channels : {1, 2, 3, 5, 8, 10, 16, 17}) {
    for (const Shape& shape :
         {Shape{4, 9, 61, channels}, Shape{1, 1, 2500, channels}, Shape{300, 9, 1, channels}, Shape{2, 0, 4, channels}}) {
      CAPTURE(shape.str());
      Tensor x = random::normal(shape), scale = random::normal({channels}), offset = random::normal({shape[2], 1});
      check([](Tensor x, Tensor s) { return (x - s) / (abs(s) + 0.5); }, x, scale);
      check([](Tensor x, Tensor s, Tensor o) { return x * s + o; }, x, scale, offset);
      check([](Tensor x) { return exp(x[{ellipsis, Slice{1, {}}, Slice{}}]); }, x);
      check([](Tensor x) { return x[{ellipsis, Slice{0, {}, 2}, Slice{}}] * 1.5; }, x);
      check([](Tensor x) { return x[{ellipsis, Slice{{}, {}, -1}, Slice{}}] * 1.5; }, x);
      check([](Tensor x) { return x[{ellipsis, Slice{{}, {}, -1}}] * 1.5 + x; }, x);
      check([](Tensor x) { return pad(x, {{0, 1}, {2, 1}, {1, 0}, {0, 0}}) * 1.5; }, x);
      check([](Tensor x) { return pad(x, {{0, 0}, {0, 0}, {1, 2}, {1, 0}}) * 1.5; }, x);
      check([](Tensor x) { return transpose(x, {0, 2, 1, 3}) * 1.5; }, x);
      check([](Tensor x) { return transpose(x, {0, 3, 1, 2}) * 1.5; }, x);
      check([](Tensor x) { return concat({x, x * 2.0, exp(x)}, 3); }, x);
      check([](Tensor x) { return concat({x, x * 2.0, exp(x)}, 2); }, x);
      check([](Tensor x) { return sum(x, {3}); }, x);
      check([](Tensor x) { return max(x, {3}) * min(exp(x), {3}); }, where(x > 2.5, NAN, x));
      check([](Tensor x) { return softmax(x); }, x);
      check([](Tensor x) { return one_hot(argmax(x, -1), x.shape()[3]) + x; }, x);
    }
  }
}
