// Every op of every stage, and every error, names a line of the user's program: here, a line of this file.
#include <kiln/data.h>
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <set>
#include <string>

#include "runtime/compile.h"
#include "tests/catch.h"

using namespace kiln;

namespace {

struct Net : nn::Model<Net> {
  nn::Conv2D conv{4, 3, {.padding = nn::Same, .activation = relu}};
  nn::BatchNormalization norm;
  nn::MaxPool2D pool{2};
  nn::Flatten flatten;
  nn::Dropout drop{0.25};
  nn::Dense fc1{8, {.activation = gelu}}, out{10};
  nn::Activation act{softmax};
  Tensor call(Tensor x) { return out(drop(fc1(flatten(pool(norm(conv(x))))))); }
};

struct Sequence : nn::Model<Sequence> {
  nn::Embedding embed{16, 8};
  nn::LayerNormalization norm;
  nn::MultiHeadAttention attention{2, 4};
  nn::LSTM lstm{4};
  nn::Dense out{10};
  Tensor call(Tensor x) {
    Tensor h = norm(embed(x));
    return out(lstm(h + attention(h, h, {.use_causal_mask = true})));
  }
};

template <class Model, class Optimizer>
auto step_of() {
  return kiln::function([](Model& net, Optimizer& optimizer, Tensor x, Tensor y) {
    GradientTape tape;
    Tensor loss = losses::sparse_categorical_crossentropy(y, net(x, nn::training), {.from_logits = true});
    Variables weights = net.trainable_variables();
    optimizer.apply_gradients(tape.gradient(loss, weights), weights);
    return std::tuple{loss, metrics::accuracy(y, net(x))};
  });
}

KILN_FUNCTION(Tensor, odds_and_ends, (Variable & v, Tensor x)) {
  Tensor y = x.set({Slice{0, 2}}, 1.0) + zeros({4}) + ones({4}) * v + arange(4.0, 8.0, 1.0) + full({4}, v);
  y = concat({y, x[{Slice{1, 3}}]})[{Slice{0, 4}}] + linspace(0, 1, 4) - stop_gradient(x);
  y += random::uniform({4}) + dropout(x, 0.5);
  v.assign_add(sum(y));
  return losses::huber(x, y) + losses::mean_absolute_error(x, y) + losses::binary_crossentropy(x, sigmoid(y)) + sum(eye(2));
}

/// The files named in loc(...) of MLIR text and in "// file:line" comments; "" for an op without a line.
std::set<std::string> files_of(const std::string& text) {
  std::set<std::string> files;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const bool is_op = line.find(" = kiln.") != std::string::npos && !line.ends_with("({");  // a fusion ends on a later line
    const std::size_t loc = line.rfind("loc(\"");
    if (loc != std::string::npos) files.insert(line.substr(loc + 5, line.find('"', loc + 5) - loc - 5));
    if (is_op && loc == std::string::npos) files.insert("");
    const std::size_t comment = line.find("// ");
    if (line.starts_with("launch "))
      files.insert(comment == std::string::npos ? "" : line.substr(comment + 3, line.find(':', comment) - comment - 3));
  }
  return files;
}

void check_lines(const Concrete& c) {
  const std::set<std::string> here{__FILE__};
  CHECK(files_of(c.ir(Stage::captured)) == here);
  if (runtime::compiler_build_id().empty()) return;
  for (Stage stage : {Stage::optimized, Stage::fused, Stage::kernels}) {
    INFO(static_cast<int>(stage));
    CHECK(files_of(c.ir(stage)) == here);
  }
}

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return std::string(e.where().file) + ":" + std::to_string(e.where().line) + ": " + e.message();
  }
  return "no error";
}

std::string at(int line, const std::string& message) { return std::string(__FILE__) + ":" + std::to_string(line) + ": " + message; }

}  // namespace

TEST_CASE("ops of layers, losses, optimizers, gradients and metrics") {
  Net net;
  optim::Adam adam;
  check_lines(step_of<Net, optim::Adam>().concrete(net, adam, zeros({2, 8, 8, 1}), zeros({2}, DType::int32)));
  Sequence sequence;
  optim::RMSprop rmsprop{1e-3, {.momentum = 0.5, .centered = true}};
  check_lines(step_of<Sequence, optim::RMSprop>().concrete(sequence, rmsprop, zeros({2, 3}, DType::int32), zeros({2}, DType::int32)));
}

TEST_CASE("ops of constructors, indices, random numbers and variables") {
  Variable v{tensor(1.f)};
  check_lines(odds_and_ends.concrete(v, tensor({1.f, 2.f, 3.f, 4.f})));
}

TEST_CASE("texts of a stage follow the lines of the program, not those of an earlier one with the same graph") {
  if (runtime::compiler_build_id().empty()) return;
  auto first = kiln::function([](Tensor x) { return tanh(x) + 1; });
  const int first_line = __LINE__ - 1;
  auto second = kiln::function([](Tensor x) { return tanh(x) + 1; });
  const int second_line = __LINE__ - 1;
  Tensor x = tensor({1.f, 2.f});
  first(x);
  second(x);
  auto names = [](const Concrete& c, int line) { return c.ir(Stage::optimized).find("\":" + std::to_string(line)) != std::string::npos; };
  CHECK(names(first.concrete(x), first_line));
  CHECK(names(second.concrete(x), second_line));
  CHECK_FALSE(names(second.concrete(x), first_line));
}

// clang-format off
struct Wrong : nn::Model<Wrong> {
  nn::Dense fc1{4};
  nn::Conv2D conv{4, 3};
  nn::LSTM lstm{4};
  nn::Embedding embed{3, 2};
  nn::BatchNormalization norm;
  nn::MultiHeadAttention attention{2, 4};
  Tensor dense(Tensor x) { return fc1(x); }
};

TEST_CASE("an error deep in a layer names the call of the layer, and the layer") {
  Wrong net;
  auto namer = nn::detail::layer_namer();
  kiln::detail::walk(net, static_cast<kiln::detail::Visitor&>(namer));
  net.fc1(ones({2, 5}));
  CHECK(error_of([&] { net.fc1(ones({2, 6})); }) == at(__LINE__, "Dense: built for 5 input features, got an input of shape [2, 6] (in Dense 'fc1')"));
  CHECK(error_of([&] { net.fc1(ones({2, 5}, DType::float64)); }) == at(__LINE__, "matmul: operands are float64[2, 5] and float32[5, 4]; convert one of them with cast() (in Dense 'fc1')"));
  net.conv(ones({1, 8, 8, 2}));
  CHECK(error_of([&] { net.conv(ones({1, 8, 8, 3})); }) == at(__LINE__, "Conv2D: built for 2 input channels, got an input of shape [1, 8, 8, 3] (in Conv2D 'conv')"));
  CHECK(error_of([&] { net.conv(ones({1, 2, 2, 2})); }).find("are larger than the images [1, 2, 2, 2]; use padding Same or smaller filters (in Conv2D 'conv')") != std::string::npos);
  CHECK(error_of([&] { net.lstm(ones({2, 3})); }) == at(__LINE__, "LSTM: the input must be [batch, time, features], got shape [2, 3] (in LSTM 'lstm')"));
  CHECK(error_of([&] { net.embed(tensor({0, 3})); }) == at(__LINE__, "gather: index 3 is out of range for axis 0 of length 3 (in Embedding 'embed')"));
  CHECK(error_of([&] { net.embed(tensor({0.f})); }) == at(__LINE__, "Embedding: indices must be integers, got float32 (in Embedding 'embed')"));
  net.norm(ones({2, 5}));
  CHECK(error_of([&] { net.norm(ones({2, 6})); }) == at(__LINE__, "BatchNormalization: built for 5 features, got an input of shape [2, 6] (in BatchNormalization 'norm')"));
  CHECK(error_of([&] { net.attention(ones({2, 5}), ones({2, 5})); }) == at(__LINE__, "MultiHeadAttention: inputs must be [batch, length, features], got shape [2, 5] (in MultiHeadAttention 'attention')"));
}

TEST_CASE("errors of losses and optimizers name the user's line") {
  Tensor x = ones({4}), y = ones({4, 1});
  Variable w{tensor({1.f, 2.f}), {.name = "w"}};
  optim::SGD sgd;
  CHECK(error_of([&] { losses::mean_squared_error(x, y); }) == at(__LINE__, "mean_squared_error: labels of shape [4] and predictions of shape [4, 1] differ; reshape one of them"));
  CHECK(error_of([&] { losses::huber(x, x, {.delta = 0}); }) == at(__LINE__, "huber: delta must be positive, got 0"));
  CHECK(error_of([&] { losses::categorical_crossentropy(x, y); }) == at(__LINE__, "categorical_crossentropy: labels of shape [4] and predictions of shape [4, 1] differ; reshape one of them"));
  CHECK(error_of([&] { losses::binary_crossentropy(x, y); }) == at(__LINE__, "binary_crossentropy: labels of shape [4] and predictions of shape [4, 1] differ; reshape one of them"));
  CHECK(error_of([&] { metrics::sparse_categorical_accuracy(x, y); }) == at(__LINE__, "sparse_categorical_accuracy: labels must be integers, got float32"));
  CHECK(error_of([&] { sgd.apply_gradients({ones({3})}, {w}); }) == at(__LINE__, "apply_gradients: the gradient of variable \"w\" has shape [3], the variable [2]"));
  CHECK(error_of([&] { sgd.apply_gradients({Tensor()}, {w}); }) == at(__LINE__, "apply_gradients: no variable has a gradient; was the loss computed while the tape was alive, from these variables?"));
  CHECK(error_of([&] { Variable none; x + none; }) == at(__LINE__, "an undefined Variable was used; give it an initial value first, and test with defined()"));
}
// clang-format on
