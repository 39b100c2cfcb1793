// TensorFlow's beginner network, 784-128-10 with SGD, trained on MNIST with a compiled step.
#include <kiln/data.h>
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <iostream>

using namespace kiln;

struct Net : nn::Model<Net> {
  nn::Flatten flatten;
  nn::Dense hidden{128, {.activation = relu}}, out{10};
  Tensor call(Tensor x) { return out(hidden(flatten(x))); }
};

KILN_FUNCTION(Tensor, train_step, (Net & net, optim::SGD& sgd, Tensor x, Tensor y)) {
  GradientTape tape;
  Tensor loss = losses::sparse_categorical_crossentropy(y, net(x, nn::training), {.from_logits = true});
  Variables weights = net.trainable_variables();
  sgd.apply_gradients(tape.gradient(loss, weights), weights);
  return loss;
}

KILN_FUNCTION(Tensor, count_correct, (Net & net, Tensor x, Tensor y)) {
  return sum(cast(argmax(net(x), -1) == cast(y, DType::int64), DType::float32));
}

int main(int argc, char** argv) {
  auto [train, test] = data::mnist(argc > 1 ? argv[1] : "data/mnist");
  Net net;
  optim::SGD sgd{0.1};
  for (int epoch = 1; epoch <= 3; ++epoch) {
    Tensor loss;
    for (auto [x, y] : train.shuffle(60000, {.seed = 1}).batch(32)) loss = train_step(net, sgd, x, y);
    float correct = 0;
    for (auto [x, y] : test.batch(1000)) correct += count_correct(net, x, y).item<float>();
    std::cout << "epoch " << epoch << ": last loss " << loss.item<float>() << ", test accuracy " << correct / 10000 << "\n";
  }
  std::cout << net.summary();
}
