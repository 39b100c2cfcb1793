// Trains a convolutional network on MNIST with a compiled step: the README's first command, ./dev run mnist.
#include <kiln/data.h>
#include <kiln/kiln.h>
#include <kiln/nn.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using namespace kiln;

struct Net : nn::Model<Net> {
  nn::Conv2D conv{32, 3, {.padding = nn::Same, .activation = relu}};
  nn::MaxPool2D pool{2};
  nn::Flatten flatten;
  nn::Dense fc1{256, {.activation = relu}}, fc2{128, {.activation = relu}}, out{10};
  Tensor call(Tensor x) { return out(fc2(fc1(flatten(pool(conv(x)))))); }
};

struct StepResult {
  Tensor loss, correct;
};

Tensor count_correct(const Tensor& logits, const Tensor& y) {
  return sum(cast(argmax(logits, -1) == cast(y, DType::int64), DType::float32));
}

KILN_FUNCTION(StepResult, train_step, (Net & net, optim::Adam& adam, Tensor x, Tensor y)) {
  GradientTape tape;
  Tensor logits = net(x, nn::training);
  Tensor loss = losses::sparse_categorical_crossentropy(y, logits, {.from_logits = true});
  Variables weights = net.trainable_variables();
  adam.apply_gradients(tape.gradient(loss, weights), weights);
  return {loss, count_correct(logits, y)};
}

KILN_FUNCTION(Tensor, test_step, (Net & net, Tensor x, Tensor y)) { return count_correct(net(x), y); }

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// One line that rewrites itself on a terminal; a line every few seconds elsewhere.
class Progress {
 public:
  Progress(int epoch, int epochs, int steps) : epoch_(epoch), epochs_(epochs), steps_(steps) {}

  void step(int done, double loss, double accuracy) {
    const double elapsed = seconds_since(start_);
    const bool last = done == steps_;
    if (!last && seconds_since(shown_) < (terminal_ ? 0.1 : 5.0)) return;
    shown_ = Clock::now();
    std::printf("%sepoch %d/%d  step %4d/%d  eta %3.0f s  loss %.4f  accuracy %.4f%s", terminal_ ? "\r" : "", epoch_, epochs_, done, steps_,
                elapsed / done * (steps_ - done), loss, accuracy, terminal_ && !last ? "" : "\n");
    std::fflush(stdout);
  }

 private:
  int epoch_, epochs_, steps_;
  bool terminal_ = isatty(STDOUT_FILENO) != 0;
  Clock::time_point start_ = Clock::now(), shown_ = Clock::now();
};

constexpr int kBatch = 32;

void train_epoch(Net& net, optim::Adam& adam, const data::Pairs& train, int epoch, int epochs) {
  Progress progress(epoch, epochs, (60000 + kBatch - 1) / kBatch);
  int step = 0;
  double correct = 0, seen = 0;
  for (auto [x, y] : train.shuffle(60000, {.seed = static_cast<std::uint64_t>(epoch)}).batch(kBatch)) {
    StepResult result = train_step(net, adam, x, y);
    ++step;
    correct += result.correct.item<float>();
    seen += static_cast<double>(x.shape()[0]);
    progress.step(step, result.loss.item<float>(), correct / seen);
  }
}

double test_accuracy(Net& net, const data::Pairs& test) {
  double correct = 0, seen = 0;
  for (auto [x, y] : test.batch(500)) {
    correct += test_step(net, x, y).item<float>();
    seen += static_cast<double>(x.shape()[0]);
  }
  return correct / seen;
}

/// Median milliseconds of a training step on one batch. Trains on: call it when the accuracy has been measured.
double step_time(Net& net, optim::Adam& adam, const Tensor& x, const Tensor& y, bool eager) {
  run_eagerly(eager);
  std::vector<double> times;
  for (int i = 0; i < 31; ++i) {
    const auto start = Clock::now();
    train_step(net, adam, x, y);
    times.push_back(seconds_since(start) * 1e3);
  }
  run_eagerly(false);
  std::nth_element(times.begin(), times.begin() + 15, times.end());
  return times[15];
}

struct Options {
  int epochs = 5;
  bool eager = false;
  std::string data = "data/mnist";
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool more = i + 1 < argc;
    if (argument == "--eager")
      options.eager = true;
    else if (argument == "--epochs" && more && (options.epochs = std::atoi(argv[i + 1])) > 0)
      ++i;
    else if (argument == "--data" && more)
      options.data = argv[++i];
    else {
      std::fprintf(stderr, "usage: mnist_cnn [--epochs N] [--eager] [--data DIR]\n");
      std::exit(2);
    }
  }
  return options;
}

int run(const Options& options) {
  auto [train, test] = data::mnist(options.data);
  Net net;
  optim::Adam adam{1e-3};
  run_eagerly(options.eager);
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    train_epoch(net, adam, train, epoch, options.epochs);
    std::printf("test accuracy %.4f\n", test_accuracy(net, test));
  }
  auto [x, y] = *train.batch(kBatch).begin();
  std::printf("\n%s\n", net.summary().c_str());
  const double eager = step_time(net, adam, x, y, true), compiled = step_time(net, adam, x, y, false);
  std::printf("training step: eager %.2f ms, compiled %.2f ms (%.2f x)\n", eager, compiled, eager / compiled);
  std::printf(
      "Where to look next: examples/mnist_cnn.cpp is this program; ./dev ir prints a training step before and after optimization.\n");
  return 0;
}

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  try {
    return run(options);
  } catch (const Error& error) {
    std::fprintf(stderr, "mnist_cnn: %s\n", error.what());
    return 1;
  }
}
