// Eager tensors as users meet them: construction, indexing, operators, weak scalars, elements, the ops of kiln/ops.h. Expected texts are
// NumPy's.
#include <kiln/kiln.h>

#include <cmath>
#include <vector>

#include "tests/catch.h"

using namespace kiln;

namespace {

Tensor matrix() { return tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}); }
std::string type_of(const Tensor& t) { return TensorType{t.dtype(), t.shape()}.str(); }

}  // namespace

TEST_CASE("literals and constructors") {
  CHECK(type_of(tensor({1.0, 2.0})) == "float32[2]");
  CHECK(type_of(tensor({1.0, 2.0}, DType::float64)) == "float64[2]");
  CHECK(type_of(tensor({1, 2})) == "int32[2]");
  CHECK(type_of(tensor({{1L, 2L}})) == "int64[1, 2]");
  CHECK(type_of(tensor({true})) == "bool[1]");
  CHECK(type_of(tensor({{{{1.f}, {2.f}}}})) == "float32[1, 1, 2, 1]");
  CHECK(type_of(tensor(std::vector<std::int64_t>{1, 2, 3})) == "int64[3]");
  CHECK(type_of(tensor(2.0)) == "float32[]");
  CHECK(type_of(zeros({2, 3u})) == "float32[2, 3]");
  CHECK(ones({2}, DType::int32).str() == "[1 1]");
  CHECK(full({2, 2}, 7.5).str() == "[[7.5 7.5]\n [7.5 7.5]]");
  CHECK(type_of(full({2}, 7, DType::int64)) == "int64[2]");
  CHECK(eye(2, 3).str() == "[[1. 0. 0.]\n [0. 1. 0.]]");
  CHECK(arange(5).str() == "[0 1 2 3 4]");
  CHECK(arange(2, 11, 3).str() == "[2 5 8]");
  CHECK(arange(5, 0, -2).str() == "[5 3 1]");
  CHECK(arange(0.0, 1.0, 0.25).str() == "[0.   0.25 0.5  0.75]");
  CHECK(linspace(0, 1, 3).str() == "[0.  0.5 1. ]");
  CHECK(zeros_like(matrix()).str() == "[[0. 0. 0.]\n [0. 0. 0.]]");
  CHECK(tensor(std::vector<float>{}, {0}).size() == 0);
}

TEST_CASE("a bare number yields its dtype") {
  Tensor x = tensor({1.f, 2.f}), n = tensor({7, -7});
  Tensor total = 0;
  total += sum(x);
  CHECK(type_of(total) == "float32[]");
  CHECK(type_of(x * 2) == "float32[2]");
  CHECK(type_of(2.5 * tensor({1.0}, DType::float64)) == "float64[1]");
  CHECK(type_of(x.astype(DType::float16) + 1) == "float16[2]");
  CHECK((n / 2).str() == "[ 3 -3]");
  CHECK((n % 3).str() == "[ 1 -1]");
  CHECK((Tensor(1) + Tensor(2)).item<int>() == 3);
  CHECK(type_of(Tensor(1) + 2.5) == "float32[]");
  CHECK((tensor({0.1}, DType::float64) - 0.1).str() == "[0.]");
}

TEST_CASE("operators") {
  Tensor a = tensor({1.f, 2.f, 3.f}), b = tensor({3.f, 2.f, 1.f});
  CHECK((a + b).str() == "[4. 4. 4.]");
  CHECK((a - 1).str() == "[0. 1. 2.]");
  CHECK((6 / a).str() == "[6. 3. 2.]");
  CHECK((-a).str() == "[-1. -2. -3.]");
  CHECK((a == b).str() == "[False  True False]");
  CHECK((2 == a).str() == "[False  True False]");
  CHECK((a != 2).str() == "[ True False  True]");
  CHECK((a < b).str() == "[ True False False]");
  CHECK((a <= b).str() == "[ True  True False]");
  CHECK((a > b).str() == "[False False  True]");
  CHECK((a >= 2).str() == "[False  True  True]");
  CHECK((!(a > 2)).str() == "[ True  True False]");
  CHECK((reshape(a, {3, 1}) * b).str() == "[[3. 2. 1.]\n [6. 4. 2.]\n [9. 6. 3.]]");
  a += 1;
  a -= tensor({1.f, 1.f, 0.f});
  a *= 2;
  a /= b;
  CHECK(a.str() == "[0.6666667 2.        8.       ]");
  CHECK(max(a, b).str() == "[3. 2. 8.]");
  CHECK(max(a, 0).item<float>() == 8);
}

TEST_CASE("elements") {
  Tensor t = tensor({{1.5f, -2.f}});
  CHECK(t.span<float>()[1] == -2.f);
  CHECK(t[{0, 0}].item<int>() == 1);
  CHECK(tensor({true}).item<float>() == 1.f);
  CHECK(tensor({1L << 40}).item<std::int64_t>() == 1L << 40);
  CHECK(tensor({3e9}, DType::float64).item<std::int64_t>() == 3000000000);
  CHECK(t.astype(DType::int32).str() == "[[ 1 -2]]");
  CHECK(bool(tensor({2})));
  CHECK_FALSE(bool(Tensor(0.0)));
  CHECK_FALSE(Tensor().defined());
  CHECK(t.rank() == 2);
  CHECK(t.size() == 2);
  std::int64_t rows = t.shape()[0];
  CHECK(rows == 1);
}

TEST_CASE("indexing follows NumPy") {
  Tensor a = reshape(arange(24), {2, 3, 4});
  CHECK(a[1].str() == "[[12 13 14 15]\n [16 17 18 19]\n [20 21 22 23]]");
  CHECK(a[{-1, 0}].str() == "[12 13 14 15]");
  CHECK(a[{0, 2, 3}].str() == "11");
  CHECK(a[{0, Slice{1, 3}, 0}].str() == "[4 8]");
  CHECK(a[{0, 0, Slice{.step = 2}}].str() == "[0 2]");
  CHECK(a[{0, 0, Slice{.step = -1}}].str() == "[3 2 1 0]");
  CHECK(a[{0, 0, Slice{3, 0, -2}}].str() == "[3 1]");
  CHECK(a[{0, 0, Slice{-2}}].str() == "[2 3]");
  CHECK(a[{0, 0, Slice{.stop = -1}}].str() == "[0 1 2]");
  CHECK(a[{0, 0, Slice{2, 100}}].str() == "[2 3]");
  CHECK(a[{0, 0, Slice{3, 1}}].size() == 0);
  CHECK(a[{ellipsis, 0}].str() == "[[ 0  4  8]\n [12 16 20]]");
  CHECK(a[{ellipsis}].shape() == a.shape());
  CHECK(a[{newaxis, 0, ellipsis, newaxis}].shape() == Shape{1, 3, 4, 1});
  CHECK(a[{0, tensor({2, 0})}].str() == "[[ 8  9 10 11]\n [ 0  1  2  3]]");
  CHECK(a[tensor({1})].shape() == Shape{1, 3, 4});
  Tensor m = matrix();
  CHECK(m.set({0, 1}, 9).str() == "[[1. 9. 3.]\n [4. 5. 6.]]");
  CHECK(m.set({ellipsis, Slice{.step = 2}}, tensor({7.f, 8.f})).str() == "[[7. 2. 8.]\n [7. 5. 8.]]");
  CHECK(m.set({1}, INFINITY).str() == "[[ 1.  2.  3.]\n [inf inf inf]]");
  CHECK((m > 2).set({0, 0}, true).str() == "[[ True False  True]\n [ True  True  True]]");
  CHECK(m.str() == "[[1. 2. 3.]\n [4. 5. 6.]]");
}

TEST_CASE("reductions") {
  Tensor m = matrix();
  CHECK(sum(m).item<float>() == 21);
  CHECK(sum(m, 0).str() == "[5. 7. 9.]");
  CHECK(sum(m, -1, true).str() == "[[ 6.]\n [15.]]");
  CHECK(sum(m, {0, 1}).rank() == 0);
  CHECK(prod(m, 1).str() == "[  6. 120.]");
  CHECK(min(m, 1).str() == "[1. 4.]");
  CHECK(mean(m, 0).str() == "[2.5 3.5 4.5]");
  CHECK(variance(m, 1).str() == "[0.6666667 0.6666667]");
  CHECK(stddev(m, 1).str() == "[0.8164966 0.8164966]");
  CHECK(argmax(m, 1).str() == "[2 2]");
  CHECK(argmin(m, 0, true).str() == "[[0 0 0]]");
  CHECK(all(m > 0).item<bool>());
  CHECK(any(m > 5, 1).str() == "[False  True]");
  CHECK(std::abs(logsumexp(m).item<float>() - 6.456193f) < 1e-6f);
}

TEST_CASE("contractions and windows") {
  Tensor m = matrix();
  CHECK(matmul(m, transpose(m)).str() == "[[14. 32.]\n [32. 77.]]");
  CHECK(matmul(m, tensor({1.f, 0.f, 1.f})).str() == "[ 4. 10.]");
  CHECK(matmul(tensor({1.f, 1.f}), m).str() == "[5. 7. 9.]");
  CHECK(matmul(ones({5, 2, 3}), ones({3, 4})).shape() == Shape{5, 2, 4});
  CHECK(matmul(ones({5, 1, 2, 3}), ones({7, 3, 4})).shape() == Shape{5, 7, 2, 4});
  CHECK(einsum("ij,ij->i", m, m).str() == "[14. 77.]");
  CHECK(einsum("ij,k->ki", m, ones({2})).str() == "[[ 6. 15.]\n [ 6. 15.]]");
  CHECK(einsum("zi, ia", m, ones({3, 4})).shape() == Shape{4, 2});
  CHECK(einsum("ij,ij", m, m).item<float>() == 91);
  CHECK_THROWS_AS(einsum("ij->i", m, m), ValueError);
  Tensor image = reshape(cast(arange(16), DType::float32), {1, 4, 4, 1});
  CHECK(reshape(conv2d(image, ones({2, 2, 1, 1})), {3, 3}).str() == "[[10. 14. 18.]\n [26. 30. 34.]\n [42. 46. 50.]]");
  CHECK(conv2d(image, ones({3, 3, 1, 5}), {.strides = 2, .padding = nn::Same}).shape() == Shape{1, 2, 2, 5});
  CHECK(conv2d(ones({1, 4, 4, 4}), ones({3, 3, 2, 6}), {.groups = 2}).shape() == Shape{1, 2, 2, 6});
  CHECK(reshape(max_pool2d(image, 2), {2, 2}).str() == "[[ 5.  7.]\n [13. 15.]]");
  CHECK(reshape(avg_pool2d(image, {2, 4}), {2}).str() == "[ 3.5 11.5]");
  CHECK(max_pool2d(image, 3, {.strides = 2, .padding = nn::Same}).shape() == Shape{1, 2, 2, 1});
}

TEST_CASE("shapes and selection") {
  Tensor m = matrix();
  CHECK(reshape(m, {3, -1}).shape() == Shape{3, 2});
  CHECK(transpose(m).str() == "[[1. 4.]\n [2. 5.]\n [3. 6.]]");
  CHECK(transpose(ones({2, 3, 4}), {1, 2, 0}).shape() == Shape{3, 4, 2});
  CHECK(broadcast_to(tensor({1.f, 2.f}), {2, 2}).str() == "[[1. 2.]\n [1. 2.]]");
  CHECK(expand_dims(m, -1).shape() == Shape{2, 3, 1});
  CHECK(squeeze(ones({1, 3, 1})).shape() == Shape{3});
  CHECK(squeeze(ones({1, 3, 1}), 0).shape() == Shape{3, 1});
  CHECK(concat({m, m}, 1).shape() == Shape{2, 6});
  CHECK(stack({m, m}, -1).shape() == Shape{2, 3, 2});
  CHECK(split(m, 3, 1)[2].str() == "[[3.]\n [6.]]");
  CHECK(split(m, {1, 2}, 1)[1].str() == "[[2. 3.]\n [5. 6.]]");
  CHECK(pad(m, {{1, 0}, {0, -1}}, 9).str() == "[[9. 9.]\n [1. 2.]\n [4. 5.]]");
  CHECK(gather(m, tensor({2, 0}), 1).str() == "[[3. 1.]\n [6. 4.]]");
  CHECK(scatter_add(zeros({3}), tensor({0, 2, 0}), tensor({1.f, 2.f, 3.f})).str() == "[4. 0. 2.]");
  CHECK(where(m > 3, m, 0).str() == "[[0. 0. 0.]\n [4. 5. 6.]]");
  CHECK(clamp(m, 2, 5).str() == "[[2. 2. 3.]\n [4. 5. 5.]]");
  CHECK(tile(tensor({1, 2}), {2}).str() == "[1 2 1 2]");
  CHECK(tile(m, {2, 2}).shape() == Shape{4, 6});
  CHECK(reverse(tensor({1, 2, 3})).str() == "[3 2 1]");
  CHECK(reverse(m, 1).str() == "[[3. 2. 1.]\n [6. 5. 4.]]");
}

TEST_CASE("activations") {
  Tensor x = tensor({-1.f, 0.f, 2.f});
  CHECK(relu(x).str() == "[0. 0. 2.]");
  CHECK(softmax(x).str() == "[0.04201007 0.1141952  0.8437947 ]");
  CHECK(sum(softmax(matrix(), {.axis = 0})).item<float>() == Approx(3));
  CHECK(log_softmax(x).str() == "[-3.169846   -2.169846   -0.16984604]");
  CHECK(one_hot(tensor({1, 0, 5}), 3).str() == "[[0. 1. 0.]\n [1. 0. 0.]\n [0. 0. 0.]]");
  CHECK(gelu(tensor({1.f})).item<float>() == Approx(0.8413447));
  CHECK(gelu(tensor({1.f}), {.approximate = true}).item<float>() == Approx(0.841192));
}

TEST_CASE("random numbers follow the seed") {
  random::set_seed(7);
  Tensor a = random::normal({4}), b = random::normal({4});
  random::set_seed(7);
  CHECK(random::normal({4}).str() == a.str());
  CHECK(a.str() != b.str());
  CHECK(random::uniform({3}, {.key = random::Key{1, 2}}).str() == random::uniform({3}, {.key = random::Key{1, 2}}).str());
  Tensor u = random::uniform({1000}, {.low = -2, .high = 3});
  CHECK(min(u).item<float>() >= -2);
  CHECK(max(u).item<float>() < 3);
  Tensor kept = dropout(ones({1000}), 0.25);
  CHECK(all(logical_or(kept == 0, kept == 1 / 0.75f)).item<bool>());
  CHECK(mean(cast(kept > 0, DType::float32)).item<float>() == Approx(0.75).margin(0.06));
}

TEST_CASE("variables and tapes") {
  Variable w{tensor({1.f, 2.f}), {.name = "w"}};
  w.assign_add(1);
  w.assign_sub(tensor({0.5f, 0.f}));
  CHECK((w * 2).str() == "[3. 6.]");
  Tensor before = w;
  w.assign(tensor({0.f, 0.f}));
  CHECK(before.str() == "[1.5 3. ]");
  w.assign(tensor({3.f, 4.f}));
  GradientTape tape{{.persistent = true}};
  Tensor y = sum(w * w), unrelated = tensor({1.f});
  std::vector<Tensor> g = tape.gradient(y, Variables{w});
  CHECK(g[0].str() == "[6. 8.]");
  CHECK(tape.gradient(y, w).str() == "[6. 8.]");
  Variable other{tensor({1.f})};
  CHECK_FALSE(tape.gradient(y, other).defined());
  GradientTape second;
  second.watch(unrelated);
  Tensor z = stop_gradient(unrelated) * unrelated;
  CHECK(second.gradient(z, unrelated).str() == "[1.]");
}

TEST_CASE("errors name the line of the right operand") {
  Tensor a = tensor({1.f, 2.f}), b = tensor({1.f, 2.f, 3.f});
  int line = 0;
  try {
    line = __LINE__ + 1;
    a + b;
    FAIL("no error");
  } catch (const ShapeError& e) {
    CHECK(e.where().line == line);
    CHECK(std::string(e.where().file) == __FILE__);
  }
}
