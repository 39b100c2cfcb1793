// The larger networks: a residual network, a transformer and an LSTM, each with its training step.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <cmath>
#include <memory>

#include "workloads.h"

namespace bench {
namespace {

using namespace kiln;

/// A weight of the given standard deviation.
Variable normal(const Shape& shape, double deviation) { return Variable(random::normal(shape) * deviation); }

/// Glorot's deviation for kernels of shape [..., inputs, outputs].
Variable glorot(const Shape& shape) {
  const std::int64_t inputs = shape[-2], outputs = shape[-1];
  std::int64_t window = 1;
  for (int axis = 0; axis + 2 < shape.rank(); ++axis) window *= std::int64_t(shape[axis]);
  return normal(shape, std::sqrt(2.0 / static_cast<double>(window * (inputs + outputs))));
}

/// Convolution without bias, then batch normalization by the statistics of the batch.
struct NormalizedConv {
  Variable kernel, scale, shift;
  std::int64_t stride;

  NormalizedConv(std::int64_t inputs, std::int64_t outputs, std::int64_t size, std::int64_t stride)
      : kernel(glorot({size, size, inputs, outputs})), scale(ones({outputs})), shift(zeros({outputs})), stride(stride) {}
  Tensor operator()(const Tensor& x) const {
    Tensor y = conv2d(x, kernel, {.strides = stride, .padding = nn::Same});
    Tensor average = mean(y, {0, 1, 2});
    Tensor spread = mean(square(y), {0, 1, 2}) - square(average);
    return (y - average) * (rsqrt(spread + 1e-5) * scale) + shift;
  }
  Variables weights() { return {kernel, scale, shift}; }
};

void append(Variables& to, const Variables& more) { to.insert(to.end(), more.begin(), more.end()); }

/// ResNet-18 for images of 32 x 32 (He et al. 2015, with a 3 x 3 stem).
struct ResNet18 {
  struct Block {
    NormalizedConv first, second;
    std::optional<NormalizedConv> shortcut;
  };
  NormalizedConv stem{3, 64, 3, 1};
  std::vector<Block> blocks;
  Variable head = glorot({512, 10}), bias{zeros({10})};

  ResNet18() {
    std::int64_t inputs = 64;
    for (auto [outputs, stride] : {std::pair{64, 1}, {64, 1}, {128, 2}, {128, 1}, {256, 2}, {256, 1}, {512, 2}, {512, 1}}) {
      Block block{{inputs, outputs, 3, stride}, {outputs, outputs, 3, 1}, {}};
      if (stride != 1 || inputs != outputs) block.shortcut.emplace(inputs, outputs, 1, stride);
      blocks.push_back(std::move(block));
      inputs = outputs;
    }
  }
  Tensor loss(const Tensor& x, const Tensor& y) const {
    Tensor h = relu(stem(x));
    for (const Block& block : blocks) {
      Tensor t = block.second(relu(block.first(h)));
      if (block.shortcut) h = (*block.shortcut)(h);
      h = relu(h + t);
    }
    Tensor logits = matmul(mean(h, {1, 2}), head) + bias;
    return losses::sparse_categorical_crossentropy(y, logits, {.from_logits = true});
  }
  Variables weights() {
    Variables all = stem.weights();
    for (Block& block : blocks) {
      append(all, block.first.weights());
      append(all, block.second.weights());
      if (block.shortcut) append(all, block.shortcut->weights());
    }
    append(all, {head, bias});
    return all;
  }
};

/// A causal language model: two pre-norm blocks of four heads, width 256.
struct LanguageModel {
  static constexpr std::int64_t kVocabulary = 256, kLength = 128, kBatch = 8, kWidth = 256, kHeads = 4, kHidden = 1024;
  struct Block {
    Variable scale1{ones({kWidth})}, shift1{zeros({kWidth})}, qkv = glorot({kWidth, 3 * kWidth}), out = glorot({kWidth, kWidth});
    Variable scale2{ones({kWidth})}, shift2{zeros({kWidth})}, up = glorot({kWidth, kHidden}), up_bias{zeros({kHidden})};
    Variable down = glorot({kHidden, kWidth}), down_bias{zeros({kWidth})};
    Variables weights() { return {scale1, shift1, qkv, out, scale2, shift2, up, up_bias, down, down_bias}; }
  };
  Variable tokens = normal({kVocabulary, kWidth}, 0.02), positions = normal({kLength, kWidth}, 0.02);
  std::vector<Block> blocks{2};
  Variable head = glorot({kWidth, kVocabulary});

  static Tensor layer_norm(const Tensor& x, const Tensor& scale, const Tensor& shift) {
    Tensor centred = x - mean(x, -1, true);
    return centred * rsqrt(mean(square(centred), -1, true) + 1e-5) * scale + shift;
  }
  static Tensor attention(const Tensor& x, const Block& block) {
    auto heads = [](const Tensor& t) { return transpose(reshape(t, {kBatch, kLength, kHeads, kWidth / kHeads}), {0, 2, 1, 3}); };
    std::vector<Tensor> parts = split(matmul(x, block.qkv), 3, -1);
    Tensor q = heads(parts[0]), k = heads(parts[1]), v = heads(parts[2]);
    Tensor position = arange(kLength);
    Tensor causal = expand_dims(position, 1) >= expand_dims(position, 0);
    Tensor scores = matmul(q, transpose(k, {0, 1, 3, 2})) * (1 / std::sqrt(static_cast<double>(kWidth / kHeads)));
    Tensor mixed = matmul(softmax(where(causal, scores, -1e9)), v);
    return matmul(reshape(transpose(mixed, {0, 2, 1, 3}), {kBatch, kLength, kWidth}), block.out);
  }
  Tensor loss(const Tensor& x, const Tensor& y) const {
    Tensor h = gather(tokens, x) + positions;
    for (const Block& block : blocks) {
      h = h + attention(layer_norm(h, block.scale1, block.shift1), block);
      Tensor hidden = matmul(layer_norm(h, block.scale2, block.shift2), block.up) + block.up_bias;
      h = h + matmul(gelu(hidden, {.approximate = true}), block.down) + block.down_bias;
    }
    return losses::sparse_categorical_crossentropy(y, matmul(h, head), {.from_logits = true});
  }
  Variables weights() {
    Variables all{tokens, positions, head};
    for (Block& block : blocks) append(all, block.weights());
    return all;
  }
};

/// A classifier of sequences: an LSTM of width 128 over 100 steps, unrolled.
struct Lstm {
  static constexpr std::int64_t kSteps = 100, kBatch = 32, kInputs = 64, kHidden = 128;
  Variable input = glorot({kInputs, 4 * kHidden}), recurrent = glorot({kHidden, 4 * kHidden}), bias{zeros({4 * kHidden})};
  Variable head = glorot({kHidden, 10}), head_bias{zeros({10})};

  Tensor loss(const Tensor& x, const Tensor& y) const {
    Tensor h = zeros({kBatch, kHidden}), c = zeros({kBatch, kHidden});
    for (std::int64_t t = 0; t < kSteps; ++t) {
      std::vector<Tensor> gates = split(matmul(x[t], input) + matmul(h, recurrent) + bias, 4, -1);
      c = sigmoid(gates[1]) * c + sigmoid(gates[0]) * tanh(gates[2]);
      h = sigmoid(gates[3]) * tanh(c);
    }
    return losses::sparse_categorical_crossentropy(y, matmul(h, head) + head_bias, {.from_logits = true});
  }
  Variables weights() { return {input, recurrent, bias, head, head_bias}; }
};

/// One training step of a network with loss(x, y) and weights().
template <class Net, class Optimizer>
Workload training(std::string name, bool strict, std::function<Optimizer()> optimizer, std::function<std::pair<Tensor, Tensor>()> batch) {
  return {std::move(name), [=]() -> std::function<void()> {
            auto net = std::make_shared<Net>();
            auto updates = std::make_shared<Optimizer>(optimizer());
            FunctionOptions options;
            options.strict = strict;
            auto step = function(
                [net, updates](Tensor x, Tensor y) {
                  GradientTape tape;
                  Tensor loss = net->loss(x, y);
                  Variables weights = net->weights();
                  updates->apply_gradients(tape.gradient(loss, weights), weights);
                  return loss;
                },
                options);
            auto [x, y] = batch();
            return [=, x = x, y = y]() mutable { (void)step(x, y); };
          }};
}

Tensor integers(const Shape& shape, std::int64_t limit) { return cast(random::uniform(shape) * static_cast<double>(limit), DType::int32); }

}  // namespace

void add_networks(std::vector<Workload>& all, bool strict) {
  all.push_back(training<Lstm, optim::SGD>(
      "lstm_step", strict, [] { return optim::SGD(0.01); },
      [] { return std::pair{random::normal({Lstm::kSteps, Lstm::kBatch, Lstm::kInputs}), integers({Lstm::kBatch}, 10)}; }));
  all.push_back(training<LanguageModel, optim::Adam>(
      "lm_step", strict, [] { return optim::Adam(1e-3); },
      [] {
        const Shape shape{LanguageModel::kBatch, LanguageModel::kLength};
        return std::pair{integers(shape, LanguageModel::kVocabulary), integers(shape, LanguageModel::kVocabulary)};
      }));
  all.push_back(training<ResNet18, optim::SGD>(
      "resnet18_step_b32", strict, [] { return optim::SGD(0.1, {.momentum = 0.9}); },
      [] { return std::pair{random::normal({32, 32, 32, 3}), integers({32}, 10)}; }));
}

}  // namespace bench
