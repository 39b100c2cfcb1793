// Layers against numbers computed by their formulas in double precision, gradients against finite differences, compiled against eager code.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "runtime/compile.h"
#include "tests/catch.h"

using namespace kiln;

namespace {

std::vector<double> numbers(const Tensor& t) {
  Tensor wide = cast(t, DType::float64);
  return {wide.span<double>().begin(), wide.span<double>().end()};
}

void check_close(const Tensor& got, const std::vector<double>& expected, double tolerance = 2e-5) {
  const std::vector<double> values = numbers(got);
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO(i);
    CHECK(std::abs(values[i] - expected[i]) <= tolerance * (1 + std::abs(expected[i])));
  }
}

Tensor numbered(const Shape& shape, std::int64_t stream, double scale = 1) {
  return random::normal(shape, {.key = random::Key{11, stream}}) * scale;
}

/// d(sum of weighted f) / dx by a tape against central differences, for x and for each weight.
void check_gradients(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, const std::vector<Variable>& weights) {
  Tensor weighting = numbered(f(x).shape(), 99);
  auto loss = [&](const Tensor& at) { return sum(f(at) * weighting); };
  GradientTape tape({.persistent = true});
  tape.watch(x);
  Tensor total = loss(x);
  auto compare = [&](const Tensor& gradient, const std::vector<double>& values, const Shape& shape, auto&& evaluate) {
    const std::vector<double> got = numbers(gradient);
    for (std::size_t i = 0; i < values.size(); i += 1 + values.size() / 7) {
      auto shifted = [&](double by) {
        std::vector<float> moved(values.begin(), values.end());
        moved[i] += static_cast<float>(by);
        return evaluate(tensor(moved, shape)).template item<double>();
      };
      const double h = 1e-2, expected = (shifted(h) - shifted(-h)) / (2 * h);
      INFO("element " << i);
      CHECK(std::abs(got[i] - expected) <= 2e-2 * (1 + std::abs(expected)));
    }
  };
  compare(tape.gradient(total, x), numbers(x), x.shape(), loss);
  for (const Variable& w : weights) {
    if (!w.trainable()) continue;
    INFO(w.name());
    Tensor gradient = tape.gradient(total, w), old = w;
    REQUIRE(gradient.defined());
    compare(gradient, numbers(w), w.shape(), [&](const Tensor& moved) {
      const_cast<Variable&>(w).assign(moved);
      Tensor result = loss(x);
      const_cast<Variable&>(w).assign(old);
      return result;
    });
  }
}

/// Strict compiled code of layer(x) has the bits of eager code, result and gradient of the sum alike.
template <class Layer>
void check_compiled(Layer& layer, const Tensor& x) {
  if (runtime::compiler_build_id().empty()) return;
  auto body = [](Layer& it, Tensor at) {
    GradientTape tape;
    tape.watch(at);
    Tensor y = it(at);
    return std::pair{y, tape.gradient(sum(y * y), at)};
  };
  auto compiled = kiln::function(body, {.strict = true});
  auto [y, g] = compiled(layer, x);
  auto [eager_y, eager_g] = body(layer, x);
  CHECK(all(y == eager_y).template item<bool>());
  CHECK(all(g == eager_g).template item<bool>());
}

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

struct SelfAttention : nn::Model<SelfAttention> {
  nn::MultiHeadAttention attention{2, 3};
  Tensor call(Tensor x) { return attention(x, x, {.use_causal_mask = true}); }
};

struct Activated : nn::Model<Activated> {
  nn::Dense fc{3};
  nn::Activation act{softmax};
  Tensor call(Tensor x) { return act(fc(x)); }
};

struct Normalized : nn::Model<Normalized> {
  nn::Dense fc{3};
  nn::BatchNormalization norm;
  Tensor call(Tensor x) { return norm(fc(x)); }
};

struct Statistics {
  double mean = 0, variance = 0;
};
Statistics statistics(const std::vector<double>& x) {
  Statistics s;
  for (double v : x) s.mean += v / static_cast<double>(x.size());
  for (double v : x) s.variance += (v - s.mean) * (v - s.mean) / static_cast<double>(x.size());
  return s;
}

}  // namespace

TEST_CASE("batch normalization: batch statistics while training, moving averages else") {
  nn::BatchNormalization norm{{.momentum = 0.9, .epsilon = 1e-2}};
  Tensor x = numbered({3, 2, 2, 2}, 1) * 2 + 1;
  const std::vector<double> values = numbers(x);
  CHECK(norm(x).shape() == x.shape());
  REQUIRE(norm.weights().size() == 4);
  const_cast<Variable&>(norm.weights()[0]).assign(tensor({2.f, -1.f}));
  const_cast<Variable&>(norm.weights()[1]).assign(tensor({0.5f, 3.f}));
  const double gamma[] = {2, -1}, beta[] = {0.5, 3};
  std::vector<double> inference, training, mean, variance;
  Statistics channel[2];
  for (std::size_t c = 0; c < 2; ++c) {
    std::vector<double> of_channel;
    for (std::size_t i = c; i < values.size(); i += 2) of_channel.push_back(values[i]);
    channel[c] = statistics(of_channel);
    mean.push_back(0.1 * channel[c].mean);
    variance.push_back(0.9 + 0.1 * channel[c].variance);
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Statistics& s = channel[i % 2];
    inference.push_back(values[i] / std::sqrt(1 + 1e-2) * gamma[i % 2] + beta[i % 2]);
    training.push_back((values[i] - s.mean) / std::sqrt(s.variance + 1e-2) * gamma[i % 2] + beta[i % 2]);
  }
  check_close(norm(x), inference);
  {
    TrainingScope scope;
    check_close(norm(x), training);
  }
  check_close(norm.weights()[2], mean);
  check_close(norm.weights()[3], variance);
  CHECK_FALSE(norm.weights()[2].trainable());
  check_gradients([&](const Tensor& t) { return norm(t); }, x, norm.weights());
  check_compiled(norm, x);
  TrainingScope scope;
  check_gradients([&](const Tensor& t) { return norm(t); }, x, norm.weights());
  check_compiled(norm, x);
}

TEST_CASE("a compiled training step moves the averages as an eager one") {
  if (runtime::compiler_build_id().empty()) return;
  nn::BatchNormalization norm;
  Tensor x = numbered({4, 3}, 2);
  norm(x);
  nn::BatchNormalization eager = norm;
  auto step = kiln::function(
      [&](Tensor at) {
        TrainingScope scope;
        return norm(at);
      },
      {.strict = true});
  for (int i = 0; i < 3; ++i) {
    TrainingScope scope;
    CHECK(all(step(x) == eager(x)).item<bool>());
  }
  CHECK(all(norm.weights()[2].value() == eager.weights()[2].value()).item<bool>());
  CHECK(all(norm.weights()[3].value() == eager.weights()[3].value()).item<bool>());
}

TEST_CASE("layer normalization") {
  nn::LayerNormalization norm{{.epsilon = 1e-2}};
  Tensor x = numbered({2, 3, 4}, 3) * 2 + 1;
  norm(x);
  const_cast<Variable&>(norm.weights()[0]).assign(tensor({1.f, 2.f, 3.f, 4.f}));
  const_cast<Variable&>(norm.weights()[1]).assign(tensor({0.f, 1.f, 0.f, -1.f}));
  const double gamma[] = {1, 2, 3, 4}, beta[] = {0, 1, 0, -1};
  const std::vector<double> values = numbers(x);
  std::vector<double> expected;
  for (std::size_t row = 0; row < values.size(); row += 4) {
    const Statistics s =
        statistics({values.begin() + static_cast<std::ptrdiff_t>(row), values.begin() + static_cast<std::ptrdiff_t>(row + 4)});
    for (std::size_t i = 0; i < 4; ++i) expected.push_back((values[row + i] - s.mean) / std::sqrt(s.variance + 1e-2) * gamma[i] + beta[i]);
  }
  check_close(norm(x), expected);
  check_gradients([&](const Tensor& t) { return norm(t); }, x, norm.weights());
  check_compiled(norm, x);
  nn::LayerNormalization bare{{.center = false, .scale = false}};
  CHECK(bare.built());
  CHECK(bare(x).shape() == x.shape());
}

TEST_CASE("embedding picks rows") {
  nn::Embedding embed{4, 3};
  Tensor indices = tensor({{2, 0}, {2, 3}});
  Tensor y = embed(indices);
  CHECK(y.shape() == Shape{2, 2, 3});
  const std::vector<double> table = numbers(embed.weights()[0]);
  for (double v : table) CHECK(std::abs(v) <= 0.05);
  std::vector<double> expected;
  for (std::size_t row : {2u, 0u, 2u, 3u})
    expected.insert(expected.end(), table.begin() + 3 * static_cast<int>(row), table.begin() + 3 * static_cast<int>(row) + 3);
  check_close(y, expected, 0);
  GradientTape tape;
  Tensor total = sum(embed(indices));
  check_close(tape.gradient(total, embed.weights()[0]), {1, 1, 1, 0, 0, 0, 2, 2, 2, 1, 1, 1}, 0);
}

TEST_CASE("pooling layers") {
  Tensor x = tensor({{{{1.f}, {2.f}, {3.f}}, {{4.f}, {5.f}, {6.f}}, {{7.f}, {8.f}, {9.f}}}});
  check_close(nn::AveragePool2D{2}(x), {3});
  check_close(nn::AveragePool2D{2, {.strides = 1}}(x), {3, 4, 6, 7});
  check_close(nn::AveragePool2D{2, {.padding = nn::Same}}(x), {3, 4.5, 7.5, 9});
  check_close(nn::GlobalAveragePool2D{}(x), {5});
  nn::AveragePool2D pool{2, {.strides = 1}};
  check_gradients([&](const Tensor& t) { return pool(t); }, numbered({1, 3, 3, 2}, 4), {});
  check_compiled(pool, numbered({1, 3, 3, 2}, 4));
}

TEST_CASE("an LSTM cell computes its gates, and the layer repeats it") {
  nn::LSTMCell cell{2};
  Tensor x = numbered({1, 3}, 5), h = numbered({1, 2}, 6), c = numbered({1, 2}, 7);
  nn::LSTMState state = cell(x, {h, c});
  const std::vector<double> w = numbers(cell.weights()[0]), u = numbers(cell.weights()[1]), b = numbers(cell.weights()[2]);
  CHECK(b == std::vector<double>{0, 0, 1, 1, 0, 0, 0, 0});
  // The rows of the recurrent kernel are orthonormal.
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 2; ++j) {
      double dot = 0;
      for (std::size_t k = 0; k < 8; ++k) dot += u[8 * i + k] * u[8 * j + k];
      CHECK(std::abs(dot - (i == j ? 1 : 0)) < 1e-6);
    }
  }
  const std::vector<double> xs = numbers(x), hs = numbers(h), cs = numbers(c);
  double z[8];
  for (std::size_t k = 0; k < 8; ++k) {
    z[k] = b[k];
    for (std::size_t i = 0; i < 3; ++i) z[k] += xs[i] * w[8 * i + k];
    for (std::size_t i = 0; i < 2; ++i) z[k] += hs[i] * u[8 * i + k];
  }
  std::vector<double> hidden, carried;
  for (std::size_t i = 0; i < 2; ++i) {
    carried.push_back(sigmoid_of(z[2 + i]) * cs[i] + sigmoid_of(z[i]) * std::tanh(z[4 + i]));
    hidden.push_back(sigmoid_of(z[6 + i]) * std::tanh(carried.back()));
  }
  check_close(state.hidden, hidden);
  check_close(state.cell, carried);

  nn::LSTM layer{2, {.return_sequences = true}};
  Tensor sequence = numbered({2, 4, 3}, 8);
  Tensor all_steps = layer(sequence);
  CHECK(all_steps.shape() == Shape{2, 4, 2});
  cell(x);
  for (std::size_t i = 0; i < 3; ++i) const_cast<Variable&>(cell.weights()[i]).assign(layer.weights()[i]);
  nn::LSTMState carry;
  for (std::int64_t t = 0; t < 4; ++t) {
    carry = cell(sequence[{Slice{}, t}], carry);
    check_close(all_steps[{Slice{}, t}], numbers(carry.hidden));
  }
  check_gradients([&](const Tensor& t) { return layer(t); }, sequence, layer.weights());
  check_compiled(layer, sequence);
  nn::LSTM last{2};
  CHECK(last(sequence).shape() == Shape{2, 2});
}

TEST_CASE("attention: softmax(q k^T / sqrt(d)) v for each head") {
  nn::MultiHeadAttention attention{2, 3, {.use_bias = false}};
  Tensor query = numbered({1, 2, 4}, 9), value = numbered({1, 3, 4}, 10);
  Tensor y = attention(query, value);
  CHECK(y.shape() == query.shape());
  REQUIRE(attention.weights().size() == 4);
  const std::vector<double> q = numbers(matmul(query, attention.weights()[0])), k = numbers(matmul(value, attention.weights()[1])),
                            v = numbers(matmul(value, attention.weights()[2])), o = numbers(attention.weights()[3]);
  auto reference = [&](auto&& attends) {
    std::vector<double> expected(2 * 4, 0.0);
    for (std::size_t head = 0; head < 2; ++head) {
      for (std::size_t i = 0; i < 2; ++i) {
        double weight[3], total = 0;
        for (std::size_t j = 0; j < 3; ++j) {
          double score = 0;
          for (std::size_t d = 0; d < 3; ++d) score += q[6 * i + 3 * head + d] * k[6 * j + 3 * head + d];
          total += weight[j] = attends(i, j) ? std::exp(score / std::sqrt(3.0)) : 0;
        }
        for (std::size_t d = 0; d < 3; ++d) {
          double context = 0;
          for (std::size_t j = 0; j < 3; ++j) context += weight[j] / total * v[6 * j + 3 * head + d];
          for (std::size_t f = 0; f < 4; ++f) expected[4 * i + f] += context * o[4 * (3 * head + d) + f];
        }
      }
    }
    return expected;
  };
  check_close(y, reference([](std::size_t, std::size_t) { return true; }));
  check_close(attention(query, value, {.use_causal_mask = true}), reference([](std::size_t i, std::size_t j) { return j <= i; }));
  Tensor mask = tensor({{true, false, true}, {false, true, true}});
  check_close(attention(query, value, {.attention_mask = mask}),
              reference([](std::size_t i, std::size_t j) { return i == 0 ? j != 1 : j != 0; }));
  check_gradients([&](const Tensor& t) { return attention(t, value); }, query, attention.weights());
  SelfAttention self;
  self(query);
  check_gradients([&](const Tensor& t) { return self(t); }, query, self.attention.weights());
  check_compiled(self, query);
}

TEST_CASE("an activation as a member is a layer without weights") {
  Activated net;
  Tensor y = net(numbered({2, 4}, 12));
  check_close(sum(y, -1), {1, 1});
  CHECK(net.trainable_variables().size() == 2);
  CHECK(nn::Activation()(y).str() == y.str());
}

TEST_CASE("variables() lists the moving averages too") {
  Normalized net;
  net(numbered({2, 4}, 13));
  CHECK(net.trainable_variables().size() == 4);
  Variables all = net.variables();
  REQUIRE(all.size() == 6);
  CHECK(all[4]->name() == "norm/moving_mean");
  CHECK(all[5]->name() == "norm/moving_variance");
}
