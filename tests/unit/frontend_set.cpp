// set() with every kind of index, as NumPy's a[...] = v on a copy; texts recorded from NumPy. Gradients and compiled code as well.
#include <kiln/kiln.h>

#include <string>
#include <vector>

#include "runtime/compile.h"
#include "tests/catch.h"
#include "tests/message_of.h"

using namespace kiln;
using kiln::testing::message_of;

namespace {

Tensor grid() { return reshape(arange(12), {3, 4}); }

}  // namespace

TEST_CASE("integers, slices and new axes") {
  CHECK(grid().set({0}, 9).str() == "[[ 9  9  9  9]\n [ 4  5  6  7]\n [ 8  9 10 11]]");
  CHECK(grid().set({-1, Slice{1, 3}}, tensor({50, 60})).str() == "[[ 0  1  2  3]\n [ 4  5  6  7]\n [ 8 50 60 11]]");
  CHECK(grid().set({ellipsis, 3}, tensor({7, 8, 9})).str() == "[[ 0  1  2  7]\n [ 4  5  6  8]\n [ 8  9 10  9]]");
  CHECK(grid().set({Slice{{}, {}, -1}, 0}, tensor({1, 2, 3})).str() == "[[ 3  1  2  3]\n [ 2  5  6  7]\n [ 1  9 10 11]]");
  CHECK(grid().set({Slice{0, 0}}, 5).str() == grid().str());
}

TEST_CASE("a tensor of indices replaces rows, the last one counting") {
  Tensor rows = tensor({{100, 101, 102, 103}, {200, 201, 202, 203}});
  CHECK(grid().set(tensor({2, 0}), rows).str() == "[[200 201 202 203]\n [  4   5   6   7]\n [100 101 102 103]]");
  CHECK(grid().set(tensor({1, 1}), rows).str() == "[[  0   1   2   3]\n [200 201 202 203]\n [  8   9  10  11]]");
  CHECK(grid().set(tensor({1}), -1).str() == "[[ 0  1  2  3]\n [-1 -1 -1 -1]\n [ 8  9 10 11]]");
  CHECK(grid().set(tensor(std::vector<int>{}, {0}), 5).str() == grid().str());
  CHECK(grid().set(tensor({{0, 1}, {2, 0}}), reshape(arange(4), {2, 2, 1})).str() == "[[3 3 3 3]\n [1 1 1 1]\n [2 2 2 2]]");
}

TEST_CASE("a tensor of indices beside other indices") {
  CHECK(grid().set({Slice{}, tensor({3, 0})}, tensor({{1, 2}, {3, 4}, {5, 6}})).str() == "[[ 2  1  2  1]\n [ 4  5  6  3]\n [ 6  9 10  5]]");
  CHECK(grid().set({1, tensor({0, 2})}, tensor({70, 80})).str() == "[[ 0  1  2  3]\n [70  5 80  7]\n [ 8  9 10 11]]");
  CHECK(grid().set({tensor({0, 2}), Slice{1, 3}}, tensor({{1, 2}, {3, 4}})).str() == "[[ 0  1  2  3]\n [ 4  5  6  7]\n [ 8  3  4 11]]");
  CHECK(grid().set({tensor({0, 1}), Slice{{}, {}, -1}}, tensor({{1, 2, 3, 4}})).str() == "[[ 4  3  2  1]\n [ 4  3  2  1]\n [ 8  9 10 11]]");
}

TEST_CASE("what does not fit") {
  CHECK(message_of([] { (void)grid().set(tensor({0, 3}), 1); }) == "set: index 3 is out of range for an axis of length 3");
  CHECK(message_of([] { (void)grid().set(tensor({-1}), 1); }) == "set: index -1 is out of range for an axis of length 3");
  CHECK(message_of([] { (void)grid().set(tensor({0, 1}), tensor({1, 2, 3})); }) == "broadcast_to: shape [3] does not broadcast to [2, 4]");
  CHECK(message_of([] { (void)grid().set(tensor({0.5f}), 1); }) == "index: a tensor index must hold integers, got float32");
}

TEST_CASE("gradients go to the last value of each place, and to what was kept") {
  Tensor x = cast(grid(), DType::float32), values = tensor({{1.f}, {2.f}, {3.f}}), weights = cast(grid(), DType::float32) + 1;
  GradientTape tape({.persistent = true});
  tape.watch(x);
  tape.watch(values);
  Tensor total = sum(x.set({tensor({2, 0, 2}), Slice{0, 2}}, values) * weights);
  CHECK(tape.gradient(total, x).str() == "[[ 0.  0.  3.  4.]\n [ 5.  6.  7.  8.]\n [ 0.  0. 11. 12.]]");
  CHECK(tape.gradient(total, values).str() == "[[ 0.]\n [ 3.]\n [19.]]");
}

TEST_CASE("traced, with indices known only at the call") {
  auto f = kiln::function([](Tensor x, Tensor i, Tensor v) { return x.set({i, Slice{1, 3}}, v); }, {.strict = true});
  if (runtime::compiler_build_id().empty()) return;
  Tensor x = grid(), v = tensor({{1, 2}, {3, 4}});
  for (auto& i : {tensor({0, 2}), tensor({2, 0}), tensor({1, 1})}) CHECK(f(x, i, v).str() == x.set({i, Slice{1, 3}}, v).str());
  CHECK(message_of([&] { f(x, tensor({0, 3}), v); }) == "gather: index 3 is out of range");
  auto g = kiln::function([](Tensor x, Tensor i, Tensor v) {
    GradientTape tape({.persistent = true});
    tape.watch(x);
    tape.watch(v);
    Tensor total = sum(x.set(i, v) * x);
    return std::pair{tape.gradient(total, x), tape.gradient(total, v)};
  });
  Tensor floats = cast(x, DType::float32), rows = ones({2, 4});
  run_eagerly(true);
  auto [eager_x, eager_v] = g(floats, tensor({2, 2}), rows);
  run_eagerly(false);
  auto [dx, dv] = g(floats, tensor({2, 2}), rows);
  CHECK(dx.str() == eager_x.str());
  CHECK(dv.str() == eager_v.str());
  CHECK(dv.str() == "[[ 0.  0.  0.  0.]\n [ 8.  9. 10. 11.]]");
}
