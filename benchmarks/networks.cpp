// Training steps of networks, as users write them.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <memory>
#include <optional>

#include "workloads.h"

namespace bench {
namespace {

using namespace kiln;

struct Mlp : nn::Model<Mlp> {
  nn::Dense hidden{128, {.activation = relu}}, out{10};
  Tensor call(Tensor x) { return out(hidden(x)); }
};

struct Cnn : nn::Model<Cnn> {
  nn::Conv2D conv{32, 3, {.padding = nn::Same, .activation = relu}};
  nn::MaxPool2D pool{2};
  nn::Flatten flatten;
  nn::Dense fc1{256, {.activation = relu}}, fc2{128, {.activation = relu}}, out{10};
  Tensor call(Tensor x) { return out(fc2(fc1(flatten(pool(conv(x)))))); }
};

/// A classifier of sequences over their last hidden state.
struct Sequence : nn::Model<Sequence> {
  nn::LSTM lstm{128};
  nn::Dense out{10};
  Tensor call(Tensor x) { return out(lstm(x)); }
};

/// Convolution without bias, then batch normalization.
struct NormalizedConv {
  nn::Conv2D conv;
  nn::BatchNormalization norm{{.momentum = 0.9, .epsilon = 1e-5}};
  Tensor operator()(const Tensor& x) { return norm(conv(x)); }
};

NormalizedConv normalized_conv(std::int64_t filters, std::int64_t size, std::int64_t stride) {
  return {nn::Conv2D(filters, size, {.strides = stride, .padding = nn::Same, .use_bias = false})};
}

struct ResidualBlock {
  NormalizedConv first, second;
  std::optional<NormalizedConv> shortcut;
  Tensor operator()(const Tensor& x) { return relu((shortcut ? (*shortcut)(x) : x) + second(relu(first(x)))); }
};

std::vector<ResidualBlock> residual_blocks() {
  std::vector<ResidualBlock> blocks;
  std::int64_t inputs = 64;
  for (auto [filters, stride] : {std::pair{64, 1}, {64, 1}, {128, 2}, {128, 1}, {256, 2}, {256, 1}, {512, 2}, {512, 1}}) {
    ResidualBlock block{normalized_conv(filters, 3, stride), normalized_conv(filters, 3, 1), {}};
    if (stride != 1 || inputs != filters) block.shortcut = normalized_conv(filters, 1, stride);
    blocks.push_back(std::move(block));
    inputs = filters;
  }
  return blocks;
}

/// ResNet-18 for images of 32 x 32 (He et al. 2015, with a 3 x 3 stem).
struct ResNet18 : nn::Model<ResNet18> {
  NormalizedConv stem = normalized_conv(64, 3, 1);
  std::vector<ResidualBlock> blocks = residual_blocks();
  nn::GlobalAveragePool2D pool;
  nn::Dense out{10};
  Tensor call(Tensor x) {
    Tensor h = relu(stem(x));
    for (ResidualBlock& block : blocks) h = block(h);
    return out(pool(h));
  }
};

constexpr std::int64_t kVocabulary = 256, kLength = 128, kWidth = 256;

struct TransformerBlock {
  nn::LayerNormalization norm1{{.epsilon = 1e-5}}, norm2{{.epsilon = 1e-5}};
  nn::MultiHeadAttention attention{4, kWidth / 4, {.use_bias = false}};
  nn::Dense up{4 * kWidth, {.activation = [](const Tensor& x) { return gelu(x, {.approximate = true}); }}}, down{kWidth};
  Tensor operator()(const Tensor& x) {
    const Tensor normal = norm1(x);
    const Tensor h = x + attention(normal, normal, {.use_causal_mask = true});
    return h + down(up(norm2(h)));
  }
};

/// A causal language model: two pre-norm blocks of four heads.
struct LanguageModel : nn::Model<LanguageModel> {
  nn::Embedding tokens{kVocabulary, kWidth}, positions{kLength, kWidth};
  TransformerBlock first, second;
  nn::Dense out{kVocabulary, {.use_bias = false}};
  Tensor call(Tensor x) { return out(second(first(tokens(x) + positions(arange(kLength))))); }
};

/// One training step of Net under an optimizer, on a fixed batch.
template <class Net, class Optimizer>
Workload training(std::string name, bool strict, std::function<Optimizer()> make_optimizer,
                  std::function<std::pair<Tensor, Tensor>()> make_batch) {
  return {std::move(name), [=]() -> Call {
            auto net = std::make_shared<Net>();
            auto optimizer = std::make_shared<Optimizer>(make_optimizer());
            auto step = function(
                [](Net& net, Optimizer& optimizer, Tensor x, Tensor y) {
                  GradientTape tape;
                  Tensor loss = losses::sparse_categorical_crossentropy(y, net(x, nn::training), {.from_logits = true});
                  Variables weights = net.trainable_variables();
                  optimizer.apply_gradients(tape.gradient(loss, weights), weights);
                  return loss;
                },
                options(strict));
            auto [x, y] = make_batch();
            return {[=, x = x, y = y]() mutable { (void)step(*net, *optimizer, x, y); },
                    [=, x = x, y = y]() mutable { step.concrete(*net, *optimizer, x, y).compile(); }};
          }};
}

Tensor integers(const Shape& shape, std::int64_t limit) { return cast(random::uniform(shape) * static_cast<double>(limit), DType::int32); }

/// Normal inputs of that shape with labels below 10.
auto batch(Shape shape) {
  return [shape] { return std::pair{random::normal(shape), integers({shape[0]}, 10)}; };
}

}  // namespace

void add_training_steps(std::vector<Workload>& all, bool strict) {
  using optim::Adam, optim::SGD;
  const auto sgd = [] { return SGD(0.01); };
  const auto adam = [] { return Adam(1e-3); };
  all.push_back(training<Mlp, SGD>("mlp_step", strict, sgd, batch({32, 784})));
  all.push_back(training<Cnn, Adam>("cnn_step", strict, adam, batch({32, 28, 28, 1})));
  all.push_back(training<Sequence, SGD>("lstm_step", strict, sgd, batch({32, 100, 64})));
  all.push_back(training<LanguageModel, Adam>(
      "lm_step", strict, adam, [] { return std::pair{integers({8, kLength}, kVocabulary), integers({8, kLength}, kVocabulary)}; }));
  all.push_back(training<ResNet18, SGD>("resnet18_step_b32", strict, [] { return SGD(0.1, {.momentum = 0.9}); }, batch({32, 32, 32, 3})));
}

}  // namespace bench
