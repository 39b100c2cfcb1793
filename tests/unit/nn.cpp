// Layers, models, optimizers and losses against Keras's conventions and hand-computed values.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <cmath>
#include <map>

#include "tests/catch.h"
#include "tests/message_of.h"

using namespace kiln;
using kiln::testing::message_of;

namespace {

struct Net : nn::Model<Net> {
  nn::Dense fc1{4, {.activation = relu}}, fc2{3};
  Tensor call(Tensor x) { return fc2(fc1(x)); }
};

struct Scale : nn::Model<Scale> {
  Variable gain;
  void build(const Shape& x) { gain = Variable(ones({x.back()})); }
  Tensor call(Tensor x) { return x * gain; }
};

struct Deep : nn::Model<Deep> {
  std::vector<Net> blocks{Net{}, Net{}};
  std::map<std::string, nn::Dense> heads;
  Scale scale;
  Tensor call(Tensor x) {
    for (Net& b : blocks) x = b(x);
    return heads.at("a")(scale(x));
  }
};

std::vector<float> values(const Tensor& t) {
  auto s = t.span<float>();
  return {s.begin(), s.end()};
}

}  // namespace

TEST_CASE("weights are made at the first call, named by path, Glorot uniform") {
  Net net;
  CHECK(message_of([&] { (void)net.trainable_variables(); }) ==
        "Dense 'fc1' has no weights yet: they are made at the model's first call. Call the model once before asking for its variables");
  Tensor y = net(ones({2, 5}));
  CHECK(y.shape() == Shape{2, 3});
  Variables all = net.trainable_variables();
  REQUIRE(all.size() == 4);
  CHECK(all[0]->name() == "fc1/kernel");
  CHECK(all[3]->name() == "fc2/bias");
  CHECK(all[0]->shape() == Shape{5, 4});
  const float limit = std::sqrt(6.0f / 9.0f);
  for (float w : values(*all[0])) CHECK(std::abs(w) <= limit);
  CHECK(values(*all[1]) == std::vector<float>(4, 0.0f));
  float largest = 0;
  for (float w : values(*all[0])) largest = std::max(largest, std::abs(w));
  CHECK(largest > limit / 2);
}

TEST_CASE("initial weights depend on the seed and the path only") {
  random::set_seed(7);
  Net a;
  a(ones({1, 5}));
  random::set_seed(8);
  Net b;
  b(ones({1, 5}));
  CHECK(values(*a.trainable_variables()[0]) != values(*b.trainable_variables()[0]));
  Net c;
  c(ones({1, 5}));
  CHECK(values(*b.trainable_variables()[0]) != values(*c.trainable_variables()[0]));
}

TEST_CASE("children are found in containers, by name") {
  Deep deep;
  deep.heads.emplace("a", nn::Dense{2});
  deep(ones({1, 5}));
  std::vector<std::string> names;
  for (const VariableRef& v : deep.trainable_variables()) names.push_back(v->name());
  CHECK(names == std::vector<std::string>{"blocks/0/fc1/kernel", "blocks/0/fc1/bias", "blocks/0/fc2/kernel", "blocks/0/fc2/bias",
                                          "blocks/1/fc1/kernel", "blocks/1/fc1/bias", "blocks/1/fc2/kernel", "blocks/1/fc2/bias",
                                          "heads/a/kernel", "heads/a/bias", "scale/gain"});
}

TEST_CASE("a copy of a model is independent") {
  Net net;
  net(ones({1, 5}));
  Net copy = net;
  CHECK(values(*copy.trainable_variables()[0]) == values(*net.trainable_variables()[0]));
  copy.trainable_variables()[0]->assign(zeros({5, 4}));
  CHECK(values(*net.trainable_variables()[0]) != values(*copy.trainable_variables()[0]));
  CHECK(copy.trainable_variables()[0]->id() != net.trainable_variables()[0]->id());
}

TEST_CASE("a layer says what does not fit") {
  nn::Dense d{3};
  d(ones({2, 5}));
  CHECK(message_of([&] { d(ones({2, 6})); }) == "Dense: built for 5 input features, got an input of shape [2, 6]");
  CHECK(message_of([&] { d(ones({5})); }) == "Dense: the input must have a batch axis and a feature axis, got shape [5]");
  nn::Conv2D conv{4, 3};
  CHECK(message_of([&] { conv(ones({8, 8, 1})); }) == "Conv2D: the input must be [batch, height, width, channels], got shape [8, 8, 1]");
  CHECK(message_of([] { nn::Dropout{1.0}; }) == "Dropout: the rate must be in [0, 1), got 1");
}

TEST_CASE("summary lists layers, shapes and parameters") {
  Net net;
  CHECK(net.summary().find("fc1 (Dense)") != std::string::npos);
  CHECK(net.summary().find("not built") != std::string::npos);
  net(ones({2, 5}));
  CHECK(net.summary().find("parameters: 39") != std::string::npos);
}

TEST_CASE("dropout acts while training only") {
  nn::Dropout drop{0.5};
  Tensor x = ones({1000});
  CHECK(values(drop(x)) == values(x));
  TrainingScope scope(true);
  double zeros_seen = 0;
  for (float v : values(drop(x))) {
    CHECK((v == 0.0f || v == 2.0f));
    zeros_seen += v == 0.0f;
  }
  CHECK(zeros_seen > 400);
  CHECK(zeros_seen < 600);
}

TEST_CASE("Adam computes Keras's update") {
  Variable w{tensor({1.0f, -2.0f})};
  optim::Adam adam{0.1};
  double m[2] = {}, v[2] = {}, expected[2] = {1.0, -2.0};
  const double gradients[3][2] = {{0.5, -1.0}, {0.25, 2.0}, {-1.0, 0.125}};
  for (int t = 1; t <= 3; ++t) {
    adam.apply_gradients({tensor({static_cast<float>(gradients[t - 1][0]), static_cast<float>(gradients[t - 1][1])})}, {w});
    for (int i = 0; i < 2; ++i) {
      const double g = gradients[t - 1][i];
      m[i] += (g - m[i]) * 0.1;
      v[i] += (g * g - v[i]) * 0.001;
      const double rate = 0.1 * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t));
      expected[i] -= rate * m[i] / (std::sqrt(v[i]) + 1e-7);
    }
    auto got = values(w);
    CHECK(got[0] == Approx(expected[0]).epsilon(2e-5));
    CHECK(got[1] == Approx(expected[1]).epsilon(2e-5));
  }
  CHECK(Tensor(adam.iterations).item<float>() == 3.0f);
}

TEST_CASE("SGD with momentum computes Keras's update") {
  Variable w{tensor({1.0f})};
  optim::SGD sgd{0.1, {.momentum = 0.9}};
  sgd.apply_gradients({tensor({1.0f})}, {w});
  sgd.apply_gradients({tensor({1.0f})}, {w});
  CHECK(values(w)[0] == Approx(1.0 - 0.1 - (0.09 + 0.1)));
  CHECK(message_of([&] { sgd.apply_gradients({}, {w}); }) ==
        "apply_gradients: 0 gradients for 1 variables; pass the list that tape.gradient() returned for these variables");
}

TEST_CASE("sparse categorical cross-entropy") {
  Tensor logits = tensor({{1.0f, 2.0f, 3.0f}, {1.0f, 1.0f, 1.0f}});
  Tensor y = tensor({2, 0});
  const double first = std::log(std::exp(1.0) + std::exp(2.0) + std::exp(3.0)) - 3.0, second = std::log(3.0);
  CHECK(losses::sparse_categorical_crossentropy(y, logits, {.from_logits = true}).item<float>() ==
        Approx((first + second) / 2).epsilon(1e-6));
  CHECK(losses::sparse_categorical_crossentropy(y, softmax(logits)).item<float>() == Approx((first + second) / 2).epsilon(1e-5));
  CHECK(std::isnan(losses::sparse_categorical_crossentropy(tensor({2, 3}), logits, {.from_logits = true}).item<float>()));
  CHECK(message_of([&] { losses::sparse_categorical_crossentropy(tensor({1, 2, 0}), logits); }) ==
        "sparse_categorical_crossentropy: labels of shape [3] and predictions of shape [2, 3] differ on axis 0");
  CHECK(message_of([&] { losses::sparse_categorical_crossentropy(tensor({0.5f, 1.0f}), logits); }) ==
        "sparse_categorical_crossentropy: labels must be integers, got float32; cast them, or use categorical_crossentropy for one-hot "
        "labels");
}

TEST_CASE("a step lowers the loss, eagerly") {
  Net net;
  optim::SGD sgd{0.5};
  random::set_seed(1);
  Tensor x = random::normal({16, 5}), y = cast(random::uniform({16}) * 3, DType::int32);
  float first = 0, last = 0;
  for (int i = 0; i < 100; ++i) {
    GradientTape tape;
    Tensor loss = losses::sparse_categorical_crossentropy(y, net(x, nn::training), {.from_logits = true});
    Variables weights = net.trainable_variables();
    sgd.apply_gradients(tape.gradient(loss, weights), weights);
    (i == 0 ? first : last) = loss.item<float>();
  }
  CHECK(last < first * 0.8f);
}
