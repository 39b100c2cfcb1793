// Dim: canonical forms, proved by evaluating random expressions; parsing; errors.
#include <kiln/dim.h>
#include <kiln/error.h>
#include <kiln/shape.h>

#include <random>
#include <thread>
#include <vector>

#include "tests/catch.h"

using kiln::Dim;
using kiln::Shape;

namespace {

constexpr const char* kNames[] = {"a", "b", "c"};

/// An expression, and its value computed beside it with plain integers.
struct Sample {
  Dim dim;
  std::int64_t value;
};

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  std::int64_t q = a / b;
  return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

Sample random_sample(std::mt19937& random, const std::vector<std::int64_t>& values, int depth) {
  auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  if (depth == 0 || pick(5) == 0) {
    if (pick(2) == 0) {
      std::int64_t n = pick(11) - 3;
      return {Dim(n), n};
    }
    int symbol = pick(3);
    return {Dim::symbol(kNames[symbol]), values[static_cast<std::size_t>(symbol)]};
  }
  Sample x = random_sample(random, values, depth - 1);
  Sample y = random_sample(random, values, depth - 1);
  switch (pick(5)) {
    case 0:
      return {x.dim + y.dim, x.value + y.value};
    case 1:
      return {x.dim - y.dim, x.value - y.value};
    case 2:
      return {x.dim * y.dim, x.value * y.value};
    case 3:
      return {max(x.dim, y.dim), std::max(x.value, y.value)};
    default:
      return y.value == 0 || y.dim == 0 ? x : Sample{floordiv(x.dim, y.dim), floor_divide(x.value, y.value)};
  }
}

}  // namespace

TEST_CASE("equal expressions are one Dim") {
  Dim a = Dim::symbol("a"), b = Dim::symbol("b");
  CHECK(a + b == b + a);
  CHECK(a * b == b * a);
  CHECK(a + a == 2 * a);
  CHECK((a + 1) * (b + 2) == a * b + 2 * a + b + 2);
  CHECK((a + b) - b == a);
  CHECK(a - a == 0);
  CHECK(a * 0 == 0);
  CHECK(floordiv(a * b * 6, b * 2) == a * 3);
  CHECK(floordiv((a + 1) * (b + 3), b + 3) == a + 1);
  CHECK(floordiv(4 * a + 7, 4) == a + 1);
  CHECK(floordiv(floordiv(a, 2), 3) == floordiv(a, 6));
  CHECK(max(a, b) == max(b, a));
  CHECK(max(a, max(b, a)) == max(a, b));
  CHECK(max(a + 1, a) == a + 1);
  CHECK(max(max(a, 3), 5) == max(5, a));
  CHECK(Dim::symbol("a") == a);
  CHECK_FALSE(a == b);
}

TEST_CASE("the text of a Dim") {
  Dim a = Dim::symbol("a"), batch = Dim::symbol("batch");
  CHECK(Dim(32).str() == "32");
  CHECK(batch.str() == "batch");
  CHECK(((batch + 1) * 4).str() == "batch * 4 + 4");
  CHECK((batch - 1).str() == "batch - 1");
  CHECK((2 - 3 * a * batch).str() == "a * batch * -3 + 2");
  CHECK(floordiv(batch + 5, 2).str() == "floordiv(batch + 1, 2) + 2");
  CHECK(max(batch, 1).str() == "max(1, batch)");
}

TEST_CASE("the tree that op, lhs and rhs show is the expression") {
  Dim d = Dim::symbol("a") * 4 + Dim::symbol("b") + 7;
  REQUIRE(d.op() == Dim::Op::add);
  CHECK(d.rhs() == 7);
  REQUIRE(d.lhs().op() == Dim::Op::add);
  CHECK(d.lhs().rhs() == Dim::symbol("b"));
  REQUIRE(d.lhs().lhs().op() == Dim::Op::mul);
  CHECK(d.lhs().lhs().lhs().symbol_name() == "a");
  CHECK(d.lhs().lhs().rhs() == 4);
  CHECK(Dim(3).op() == Dim::Op::constant);
}

TEST_CASE("random expressions: value, text and tree agree") {
  for (unsigned seed = 1; seed <= 20000; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::int64_t> values;
    for (int i = 0; i < 3; ++i) values.push_back(static_cast<std::int64_t>(random() % 13) - 4);
    // An operand that is zero here may divide inside another: such samples show nothing.
    auto lookup = [&](std::string_view name) { return values[static_cast<std::size_t>(name[0] - 'a')]; };
    try {
      Sample s = random_sample(random, values, 4);
      INFO("seed " << seed << ": " << s.dim.str() << " with a, b, c = " << values[0] << ", " << values[1] << ", " << values[2]);
      CHECK(s.dim.evaluate(lookup) == s.value);
      CHECK(Dim::parse(s.dim.str()) == s.dim);
    } catch (const kiln::ShapeError& e) {
      std::string message = e.message();
      INFO("seed " << seed << ": " << message);
      CHECK((message.find("divided by zero") != std::string::npos || message.find("overflows") != std::string::npos));
    }
  }
}

TEST_CASE("what is no length does not parse") {
  for (const char* text :
       {"", " ", "a +", "+ a", "a b", "floordiv(a)", "max(a, b", "3a", "a ** b", "9223372036854775807", "(a", "a)", "a\"", "max"}) {
    INFO(text);
    CHECK_THROWS_AS(Dim::parse(text), kiln::ValueError);
  }
  CHECK_THROWS_AS(Dim::parse(std::string(100000, '(')), kiln::ValueError);
  CHECK(Dim::parse(" ( a+1 ) *2 ") == 2 * Dim::symbol("a") + 2);
}

TEST_CASE("errors of Dims say what to do") {
  Dim batch = Dim::symbol("batch");
  CHECK_THROWS_WITH(static_cast<std::int64_t>(batch),
                    "the length \"batch\" is known only when the function runs: compute with it as a Dim, or call the function without an "
                    "input_signature that leaves it open");
  CHECK_THROWS_WITH(Dim::symbol("my dim"),
                    "\"my dim\" cannot name a length: a name starts with a letter or _, goes on with letters, digits and _ . / #, and is "
                    "not max or floordiv");
  CHECK_THROWS_WITH(floordiv(batch, 0), "a length is divided by zero: floordiv(batch, 0)");
  CHECK_THROWS_WITH(Dim(std::int64_t{1} << 40) * Dim(std::int64_t{1} << 40), "a length overflows: 1099511627776 * 1099511627776");
}

TEST_CASE("threads that make the same expressions get the same Dims") {
  std::vector<std::vector<Dim>> made(4);
  std::vector<std::thread> threads;
  for (auto& dims : made) {
    threads.emplace_back([&dims] {
      for (int i = 0; i < 500; ++i) dims.push_back(floordiv(Dim::symbol("t" + std::to_string(i)) * i + Dim::symbol("u"), 7));
    });
  }
  for (std::thread& t : threads) t.join();
  for (const auto& dims : made) CHECK(dims == made[0]);
}

TEST_CASE("shapes") {
  Dim n = Dim::symbol("n");
  CHECK(Shape{32, 28}.str() == "[32, 28]");
  CHECK(Shape{n, 3}.elements() == 3 * n);
  CHECK(Shape{}.count() == 1);
  CHECK_FALSE(Shape{n}.is_static());
  CHECK(kiln::broadcast_shapes(Shape{8, 1, 6}, Shape{7, 1}) == Shape{8, 7, 6});
  CHECK(kiln::broadcast_shapes(Shape{n, 1}, Shape{5}) == Shape{n, 5});
  CHECK_THROWS_WITH(kiln::broadcast_shapes(Shape{2, 3}, Shape{4}), "shapes [2, 3] and [4] do not broadcast: axis -1 has lengths 3 and 4");
  CHECK_THROWS_WITH((Shape{1, 2, 3, 4, 5, 6, 7, 8, 9}), "a tensor has at most 8 axes, not 9");
  CHECK_THROWS_WITH((Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}.count()),
                    "a tensor of shape [1099511627776, 1099511627776] has more than 2^63 elements");
  CHECK((kiln::TensorType{kiln::DType::float32, Shape{2}}.str()) == "float32[2]");
}

TEST_CASE("axes of a shape count from both ends") {
  const Shape s{2, 3, 5};
  CHECK(s[0] == Dim(2));
  CHECK(s[-1] == Dim(5));
  CHECK(s[-3] == Dim(2));
  CHECK(s.back() == Dim(5));
  CHECK_THROWS_WITH(s[3], "a shape of 3 axes, [2, 3, 5], has no axis 3");
  CHECK_THROWS_WITH(s[-4], "a shape of 3 axes, [2, 3, 5], has no axis -4");
  CHECK_THROWS_WITH(Shape{}.back(), "a shape of 0 axes, [], has no axis -1");
}

TEST_CASE("a symbolic length is not compared with a number in silence") {
  const Dim n = Dim::symbol("n");
  CHECK_FALSE(n == 0);
  CHECK_FALSE(n == 1);
  CHECK_THROWS_WITH(n == 7,
                    "whether the length \"n\" is 7 is known only when the function runs: call the function without an input_signature that "
                    "leaves it open");
  CHECK(n == Dim::symbol("n"));
  CHECK_FALSE(n == Dim(7));
}
