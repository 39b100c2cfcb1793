// Lengths that change from call to call: traced with numbers first, then once for all; and the bound on signatures.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/compile.h"
#include "tests/catch.h"
#include "tests/message_of.h"
#include "tests/stderr_text.h"

using namespace kiln;
using kiln::testing::message_of;

namespace {

int runs = 0;

bool have_compiler() { return !runtime::compiler_build_id().empty(); }
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

template <class F>
int traces(F&& f) {
  int before = runs;
  f();
  return runs - before;
}

KILN_FUNCTION(Tensor, doubled, (Tensor x)) {
  ++runs;
  return x * 2;
}
KILN_FUNCTION(Tensor, never_open, (Tensor x), .relax_after = 0) {
  ++runs;
  return x * 2;
}
KILN_FUNCTION(Tensor, pair_sum, (Tensor x, Tensor y)) {
  ++runs;
  return sum(x, 1) + y;
}
KILN_FUNCTION(Tensor, needs_number, (Tensor x)) {
  ++runs;
  const std::int64_t n = x.shape()[0];
  return x * static_cast<double>(n);
}
KILN_FUNCTION(Tensor, special_length, (Tensor x)) {
  ++runs;
  return x.shape()[0] == 5 ? x * 100 : x;
}
KILN_FUNCTION(Tensor, scaled, (Tensor x, double factor), .max_signatures = 3) {
  ++runs;
  return x * factor;
}
KILN_FUNCTION(Tensor, met, (Tensor x, Tensor y),
              .input_signature = {{DType::float32, {Dim::symbol("n")}}, {DType::float32, {Dim::symbol("m")}}}) {
  return x * 2 + tanh(y);
}

struct Net : nn::Model<Net> {
  nn::Conv2D conv{3, 3, {.activation = relu}};
  nn::MaxPool2D pool{2};
  nn::Flatten flatten;
  nn::Dense hidden{6, {.activation = relu}}, out{4};
  Tensor call(Tensor x) { return out(hidden(flatten(pool(conv(x))))); }
};

}  // namespace

TEST_CASE("the third value of a length opens it; 1 and other ranks do not fit") {
  auto concrete = [](std::int64_t n) { doubled.concrete(ones({n, 3})); };
  CHECK(traces([&] { concrete(4); }) == 1);
  CHECK(traces([&] { concrete(5); }) == 1);
  CHECK(traces([&] { concrete(6); }) == 1);
  for (std::int64_t n : {7, 8, 100, 2}) CHECK(traces([&] { concrete(n); }) == 0);
  CHECK(traces([&] { concrete(1); }) == 1);
  CHECK(traces([&] { concrete(5); }) == 0);
  CHECK(contains(doubled.concrete(ones({9, 3})).ir(Stage::captured), "tensor<?x3xf32, \"x.0, 3\">"));
  CHECK(doubled.concrete(ones({9, 3})).signature() == "training: false\nx: float32[x.0, 3]\n");
  CHECK(contains(doubled.concrete(ones({5, 3})).ir(Stage::captured), "tensor<5x3xf32>"));
  CHECK(traces([&] { doubled.concrete(ones({9, 4})); }) == 1);
}

TEST_CASE("relax_after = 0 traces each length") {
  for (std::int64_t n = 2; n < 7; ++n) CHECK(traces([&] { never_open.concrete(ones({n})); }) == 1);
}

TEST_CASE("lengths that are always equal are one length; entered with others, they are traced") {
  auto concrete = [](std::int64_t n, std::int64_t m) { pair_sum.concrete(ones({n, 3}), ones({m})); };
  CHECK(traces([&] { concrete(4, 4); }) == 1);
  CHECK(traces([&] { concrete(5, 5); }) == 1);
  CHECK(traces([&] { concrete(6, 6); }) == 1);
  CHECK(traces([&] { concrete(7, 7); }) == 0);
  CHECK(contains(pair_sum.concrete(ones({8, 3}), ones({8})).signature(), "x: float32[x.0, 3]\ny: float32[x.0]\n"));
  CHECK(contains(message_of([&] { concrete(8, 9); }), "add: shapes do not broadcast: float32[8] and float32[9]"));
}

TEST_CASE("a body that needs the number is traced for each, after one try") {
  for (std::int64_t n : {4, 5}) CHECK(traces([&] { needs_number.concrete(ones({n})); }) == 1);
  CHECK(traces([&] { needs_number.concrete(ones({6})); }) == 2);
  CHECK(traces([&] { needs_number.concrete(ones({7})); }) == 1);
}

TEST_CASE("a body that compares the length with a number is traced for each, after one try") {
  for (std::int64_t n : {3, 4}) special_length.concrete(ones({n}));
  CHECK(traces([&] { special_length.concrete(ones({6})); }) == 2);
  CHECK(contains(special_length.concrete(ones({5})).ir(Stage::captured), "\"mul\""));
}

TEST_CASE("compiled with an open length, the numbers are those of eager code") {
  if (!have_compiler()) return;
  Net net;
  optim::SGD sgd{0.1, {.momentum = 0.9}};
  auto body = [](Net& net, optim::SGD& sgd, Tensor x, Tensor y) {
    ++runs;
    GradientTape tape;
    Tensor loss = losses::sparse_categorical_crossentropy(y, net(x, nn::training), {.from_logits = true});
    Variables weights = net.trainable_variables();
    sgd.apply_gradients(tape.gradient(loss, weights), weights);
    return loss;
  };
  auto step = kiln::function(body, {.strict = true});
  net(ones({1, 6, 6, 1}));
  Net eager_net = net;
  optim::SGD eager_sgd = sgd;
  const int count = traces([&] {
    for (std::int64_t n : {4, 5, 6, 7, 8, 3}) {
      Tensor x = random::normal({n, 6, 6, 1}, {.key = random::Key{1, n}});
      Tensor y = cast(random::uniform({n}, {.key = random::Key{2, n}}) * 4, DType::int32);
      CHECK(step(net, sgd, x, y).item<float>() == body(eager_net, eager_sgd, x, y).item<float>());
    }
  });
  CHECK(count == 3 + 6);
  Variables a = net.trainable_variables(), b = eager_net.trainable_variables();
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(all(a[i]->value() == b[i]->value()).item<bool>());
  CHECK(contains(step.concrete(net, sgd, ones({9, 6, 6, 1}), zeros({9}, DType::int32)).signature(),
                 "arg2: float32[arg2.0, 6, 6, 1]\narg3: int32[arg2.0]"));
}

TEST_CASE("two symbols that meet elementwise are checked at the entry") {
  CHECK(contains(met.concrete(ones({3}), ones({3})).ir(Stage::captured), "tensor<?xf32, \"n\">"));
  if (!have_compiler()) return;
  CHECK(met(ones({3}), zeros({3})).str() == "[2. 2. 2.]");
  CHECK(message_of([] { met(ones({3}), zeros({4})); }) == "met: axis 0 of \"x\" (3) and axis 0 of \"y\" (4) must be equal");
  CHECK(message_of([] { met(ones({3}), zeros({1})); }) == "met: axis 0 of \"x\" (3) and axis 0 of \"y\" (1) must be equal");
  CHECK(met(ones({5}), zeros({5})).str() == "[2. 2. 2. 2. 2.]");
}

TEST_CASE("beyond max_signatures the body runs eagerly, with one warning") {
  if (!have_compiler()) return;
  Tensor x = tensor({1.f, 2.f});
  const std::string quiet = stderr_text([&] {
    for (int i = 1; i <= 3; ++i) scaled(x, i);
  });
  CHECK(quiet == "");
  const int line = __LINE__ + 2;
  const std::string text = stderr_text([&] {
    CHECK(scaled(x, 4).str() == "[4. 8.]");
    CHECK(scaled(x, 5).str() == "[ 5. 10.]");
  });
  const std::string expected =
      "has 3 signatures, the most that it may have (max_signatures); calls with others run eagerly: " + std::string(__FILE__) + ":" +
      std::to_string(line) + " because of factor: 4.000000 instead of 3.000000\n";
  CHECK(text.starts_with("kiln: warning: \"scaled\" (" + std::string(__FILE__)));
  CHECK(text.ends_with(expected));
  CHECK(traces([&] { scaled(x, 2); }) == 0);
}

TEST_CASE("the eighth trace is reported in one line, with what changed and where") {
  auto f = kiln::function([](Tensor x, int n) { return x + n; });
  Tensor x = tensor({1.f});
  const std::string quiet = stderr_text([&] {
    for (int i = 0; i < 7; ++i) f.concrete(x, i);
  });
  CHECK(quiet == "");
  const std::string text = stderr_text([&] { f.concrete(x, 7); });
  CHECK(contains(text, "was traced 8 times; at "));
  CHECK(
      text.ends_with(" because of arg1: 7 instead of 6. Numbers that change belong into a Tensor or a Variable, lengths that change into "
                     "an input_signature; "
                     "KILN_LOG=trace shows every trace\n"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}
