// Optimizers, losses and metrics against their formulas in double precision, and compiled steps against eager ones.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <cmath>
#include <functional>
#include <vector>

#include "runtime/compile.h"
#include "tests/catch.h"

using namespace kiln;

namespace {

/// A weight and what its optimizer remembers about it.
struct Remembered {
  double w = 1, a = 0, b = 0, c = 0;
  int t = 0;
};

const double kGradients[] = {0.5, -1, 0.25, 2, -0.125};

/// Five steps on one weight follow `update`.
template <class Optimizer>
void check_optimizer(Optimizer optimizer, const std::function<void(Remembered&, double)>& update) {
  Variable w{tensor({1.f})};
  Remembered expected;
  for (double g : kGradients) {
    optimizer.apply_gradients({tensor({static_cast<float>(g)})}, {w});
    update(expected, g);
    CHECK(w.value().item<double>() == Approx(expected.w).epsilon(2e-5));
  }
}

double value(const Tensor& t) { return t.item<double>(); }

/// The gradient of a loss by p against central differences.
void check_gradient(const std::function<Tensor(const Tensor&)>& loss, const Tensor& p) {
  GradientTape tape;
  tape.watch(p);
  Tensor total = loss(p), g = tape.gradient(total, p);
  const auto got = g.span<float>(), at = p.span<float>();
  for (std::size_t i = 0; i < got.size(); ++i) {
    auto moved = [&](double by) {
      std::vector<float> values(at.begin(), at.end());
      values[i] += static_cast<float>(by);
      return value(loss(tensor(values, p.shape())));
    };
    const double expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
    CHECK(std::abs(got[i] - expected) <= 1e-2 * (1 + std::abs(expected)));
  }
}

}  // namespace

TEST_CASE("SGD: plain, with momentum, and Nesterov's") {
  check_optimizer(optim::SGD{0.1}, [](Remembered& s, double g) { s.w -= 0.1 * g; });
  check_optimizer(optim::SGD{0.1, {.momentum = 0.9}}, [](Remembered& s, double g) {
    s.a = 0.9 * s.a - 0.1 * g;
    s.w += s.a;
  });
  check_optimizer(optim::SGD{0.1, {.momentum = 0.9, .nesterov = true}}, [](Remembered& s, double g) {
    s.a = 0.9 * s.a - 0.1 * g;
    s.w += 0.9 * s.a - 0.1 * g;
  });
}

TEST_CASE("AdamW decays the weight, then takes Adam's step") {
  check_optimizer(optim::AdamW{0.1, {.weight_decay = 0.05}}, [](Remembered& s, double g) {
    s.w -= 0.1 * 0.05 * s.w;
    s.a += (g - s.a) * 0.1;
    s.b += (g * g - s.b) * 0.001;
    ++s.t;
    s.w -= 0.1 * std::sqrt(1 - std::pow(0.999, s.t)) / (1 - std::pow(0.9, s.t)) * s.a / (std::sqrt(s.b) + 1e-7);
  });
}

TEST_CASE("RMSprop: plain, with momentum, centered") {
  check_optimizer(optim::RMSprop{0.1}, [](Remembered& s, double g) {
    s.a = 0.9 * s.a + 0.1 * g * g;
    s.w -= 0.1 * g / std::sqrt(s.a + 1e-7);
  });
  check_optimizer(optim::RMSprop{0.1, {.rho = 0.8, .momentum = 0.5, .epsilon = 1e-3, .centered = true}}, [](Remembered& s, double g) {
    s.a = 0.8 * s.a + 0.2 * g * g;
    s.b = 0.8 * s.b + 0.2 * g;
    s.c = 0.5 * s.c + 0.1 * g / std::sqrt(s.a - s.b * s.b + 1e-3);
    s.w -= s.c;
  });
}

TEST_CASE("compiled strict steps have the bits of eager ones") {
  if (runtime::compiler_build_id().empty()) return;
  auto check = [](auto optimizer) {
    using Optimizer = decltype(optimizer);
    Variable w{random::normal({3, 4}, {.key = random::Key{1, 1}})}, eager{w};
    Optimizer eager_optimizer(optimizer);
    auto step = kiln::function([](Optimizer& o, Variable& v, Tensor g) { o.apply_gradients({g}, {v}); }, {.strict = true});
    for (int i = 0; i < 4; ++i) {
      Tensor g = random::normal({3, 4}, {.key = random::Key{2, i}});
      step(optimizer, w, g);
      eager_optimizer.apply_gradients({g}, {eager});
      CHECK(all(w.value() == eager.value()).item<bool>());
    }
  };
  check(optim::SGD{0.1, {.momentum = 0.9, .nesterov = true}});
  check(optim::Adam{0.1});
  check(optim::AdamW{0.1});
  check(optim::RMSprop{0.1, {.momentum = 0.5, .centered = true}});
}

TEST_CASE("losses") {
  Tensor y = tensor({{1.f, 0.f}, {0.25f, 2.f}}), p = tensor({{0.5f, 0.25f}, {1.5f, -1.f}});
  CHECK(value(losses::mean_squared_error(y, p)) == Approx((0.25 + 0.0625 + 1.5625 + 9) / 4));
  CHECK(value(losses::mean_absolute_error(y, p)) == Approx((0.5 + 0.25 + 1.25 + 3) / 4));
  CHECK(value(losses::huber(y, p)) == Approx((0.125 + 0.03125 + (1.25 - 0.5) + (3 - 0.5)) / 4));
  CHECK(value(losses::huber(y, p, {.delta = 2})) == Approx((0.125 + 0.03125 + 0.78125 + (6 - 2)) / 4));
  CHECK(value(losses::mean_squared_error(1, p)) == Approx((0.25 + 0.5625 + 0.25 + 4) / 4));

  Tensor truth = tensor({1.f, 0.f, 1.f}), probability = tensor({0.9f, 0.2f, 0.6f}), logits = tensor({2.f, -1.f, 0.5f});
  CHECK(value(losses::binary_crossentropy(truth, probability)) == Approx(-(std::log(0.9) + std::log(0.8) + std::log(0.6)) / 3));
  const double logit_loss = std::log1p(std::exp(-2.0)) + std::log1p(std::exp(-1.0)) + std::log1p(std::exp(-0.5));
  CHECK(value(losses::binary_crossentropy(truth, logits, {.from_logits = true})) == Approx(logit_loss / 3));

  Tensor one_hot_labels = tensor({{0.f, 1.f, 0.f}, {0.5f, 0.f, 0.5f}}), scores = tensor({{1.f, 2.f, 3.f}, {1.f, 1.f, 2.f}});
  const double first = std::log(std::exp(1.0) + std::exp(2.0) + std::exp(3.0)), second = std::log(2 * std::exp(1.0) + std::exp(2.0));
  const double expected = ((first - 2) + 0.5 * (second - 1) + 0.5 * (second - 2)) / 2;
  CHECK(value(losses::categorical_crossentropy(one_hot_labels, scores, {.from_logits = true})) == Approx(expected));
  CHECK(value(losses::categorical_crossentropy(one_hot_labels, softmax(scores))) == Approx(expected).epsilon(1e-5));
  CHECK(value(losses::categorical_crossentropy(one_hot_labels, 3 * softmax(scores))) == Approx(expected).epsilon(1e-5));
}

TEST_CASE("gradients of the losses") {
  Tensor y = tensor({{1.f, 0.f}, {0.25f, 1.f}}), p = tensor({{0.5f, 0.25f}, {0.6f, 0.7f}});
  check_gradient([&](const Tensor& q) { return losses::mean_squared_error(y, q); }, p);
  check_gradient([&](const Tensor& q) { return losses::mean_absolute_error(y, q); }, p);
  check_gradient([&](const Tensor& q) { return losses::huber(y, q, {.delta = 0.4}); }, p);
  check_gradient([&](const Tensor& q) { return losses::binary_crossentropy(y, q); }, p);
  check_gradient([&](const Tensor& q) { return losses::binary_crossentropy(y, q, {.from_logits = true}); }, p);
  check_gradient([&](const Tensor& q) { return losses::categorical_crossentropy(y, q); }, p);
  check_gradient([&](const Tensor& q) { return losses::sparse_categorical_crossentropy(tensor({1, 0}), q); }, p);
}

TEST_CASE("metrics") {
  Tensor scores = tensor({{0.1f, 0.7f, 0.2f}, {0.6f, 0.3f, 0.1f}, {0.2f, 0.3f, 0.5f}, {0.4f, 0.3f, 0.3f}});
  CHECK(value(metrics::sparse_categorical_accuracy(tensor({1, 0, 0, 0}), scores)) == 0.75);
  Tensor labels = one_hot(tensor({1, 2, 2, 1}), 3);
  CHECK(value(metrics::categorical_accuracy(labels, scores)) == 0.5);
  Tensor p = tensor({{0.9f}, {0.4f}, {0.6f}, {0.2f}}), y = tensor({{1.f}, {1.f}, {1.f}, {0.f}});
  CHECK(value(metrics::binary_accuracy(y, p)) == 0.75);
  CHECK(value(metrics::binary_accuracy(y, p, {.threshold = 0.3})) == 1);
  CHECK(value(metrics::accuracy(tensor({1, 0, 0, 0}), scores)) == 0.75);
  CHECK(value(metrics::accuracy(labels, scores)) == 0.5);
  CHECK(value(metrics::accuracy(y, p)) == 0.75);
}

TEST_CASE("the mean metric counts all values, in compiled code too") {
  metrics::Mean mean;
  CHECK(std::isnan(value(mean.result())));
  mean.update(tensor({1.f, 2.f}));
  mean.update(6);
  CHECK(value(mean.result()) == 3);
  metrics::Mean copy(mean);
  mean.reset();
  CHECK(value(copy.result()) == 3);
  if (runtime::compiler_build_id().empty()) return;
  auto count = kiln::function([](metrics::Mean& m, Tensor x) { m.update(x * 2); });
  count(mean, tensor({1.f, 2.f}));
  count(mean, tensor({3.f, 4.f}));
  CHECK(value(mean.result()) == 5);
}
