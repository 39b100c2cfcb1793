// Values: weak scalars, their mixing with tensors, literals, errors of apply().
#include "graph/value.h"

#include <thread>

#include "base/require.h"
#include "graph/value_ops.h"
#include "ops/build.h"
#include "tests/catch.h"
#include "tests/values.h"

using namespace kiln;
using namespace kiln::graph;
using namespace kiln::testing;
using Numbers = std::vector<double>;

TEST_CASE("weak scalars take the tensor's dtype") {
  for (DType t : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    CHECK((tensor({1}, {1}, t) + 0.5).type() == TensorType{t, {1}});
    CHECK((2 * tensor({1}, {1}, t)).type() == TensorType{t, {1}});
  }
  CHECK(numbers(tensor({2}, {7, -7}, DType::int32) / 2) == Numbers{3, -3});
  CHECK((tensor({1}, {1}, DType::uint8) + 3).dtype() == DType::uint8);
  CHECK_THROWS_AS(tensor({1}, {1}, DType::int32) * 0.5, DTypeError);
  CHECK_THROWS_AS(tensor({1}, {1}, DType::uint8) + 300, ValueError);
  CHECK_THROWS_AS(tensor({1}, {1}) + tensor({1}, {1}, DType::float64), DTypeError);
}

TEST_CASE("numbers among themselves stay numbers") {
  Value third = Value(1.0) / Value(3.0);
  CHECK(third.weak());
  CHECK(numbers(tensor({1}, {1}, DType::float64) * third)[0] == 1.0 / 3.0);
  CHECK((Value(2) + Value(3)).dtype() == DType::int32);
  CHECK(Value(std::int64_t{1} << 40).dtype() == DType::int64);
  CHECK(numbers(Value(7) / Value(2)) == Numbers{3});
  Value flag = less(Value(1), Value(2.5));
  CHECK(flag.dtype() == DType::boolean);
  CHECK(numbers(flag) == Numbers{1});
}

TEST_CASE("where takes numbers on either side") {
  Value mask = tensor({2}, {1, 0}, DType::boolean);
  CHECK(numbers(where(mask, tensor({2}, {5, 6}), 0.0)) == Numbers{5, 0});
  CHECK(where(mask, 1.0, 0.0).type() == TensorType{DType::float32, {2}});
}

TEST_CASE("literals know their splats") {
  CHECK(literal_of(tensor({4}, {2, 2, 2, 2})).splat);
  CHECK(literal_of(tensor({4}, {2, 2, 2, 2})).bytes->size() == 4);
  CHECK_FALSE(literal_of(tensor({2}, {0.0, -0.0})).splat);
  CHECK_FALSE(literal_of(tensor({0}, {})).splat);
  Value x = random_tensor({3, 5}, 4, DType::float16);
  CHECK(same_bits(value_of(literal_of(x)), x));
  Value ones = tensor({7}, Numbers(7, 1));
  CHECK(same_bits(value_of(literal_of(ones)), ones));
}

TEST_CASE("a reshape shares its operand's memory") {
  Value x = tensor({2, 3}, {1, 2, 3, 4, 5, 6});
  Value y = ops::reshape(x, {3, 2});
  CHECK(y.shape() == Shape{3, 2});
  CHECK(y.buffer().data() == x.buffer().data());
}

TEST_CASE("errors name the op and the user's line") {
  LocationScope line({"user.cpp", 12});
  try {
    add(tensor({2}, {1, 2}), tensor({3}, {1, 2, 3}));
    FAIL("no error");
  } catch (const ShapeError& e) {
    CHECK(e.message().find("add") != std::string::npos);
    CHECK(e.where().line == 12);
  }
  CHECK_THROWS_AS(add(Value{}, Value(1.0)), ValueError);
}

TEST_CASE("values may be freed by another thread") {
  std::vector<Value> values;
  for (int i = 0; i < 1000; ++i) values.push_back(tensor({3}, {1, 2, 3}) + i);
  std::thread([moved = std::move(values)]() mutable {
    CHECK(numbers(moved[999]) == Numbers{1000, 1001, 1002});
    moved.clear();
  }).join();
}
