// The layers: what all share, and the basic ones.
#include <kiln/layers.h>
#include <kiln/mode.h>

#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/require.h"
#include "frontend/nn/call_scope.h"
#include "graph/trace.h"

namespace kiln::nn {

Tensor Activation::operator()(const Arg& x) const {
  LocationScope scope(x.loc());
  return f_ ? f_(x.tensor()) : x.tensor();
}

Layer::Layer(const char* kind, State state) : kind_(kind), built_(state == State::none) {}

Layer::Layer(const Layer& other) : Identity(other), kind_(other.kind_), built_(other.built_), output_shape_(other.output_shape_) {
  weights_.reserve(other.weights_.size());
  for (const Variable& v : other.weights_) weights_.emplace_back(v);
}

const std::vector<Variable>& Layer::weights(Loc where) const {
  LocationScope scope(where);
  KILN_REQUIRE(built_, StateError, "{} {}has no weights yet: they are made at the first call. Call the layer once before asking for them",
               kind_, path_.empty() ? "" : "'" + path_ + "' ");
  return weights_;
}

void Layer::set_path(const std::string& path) {
  if (path_.empty()) path_ = path;
}

namespace {

/// The random key of a weight: the seed, and the path rather than a running counter, because compilers differ in the order of evaluation.
/// Weights of equal paths (two models of one class) take the next of that path's own sequence.
random::Key weight_key(const std::string& path) {
  static std::mutex mutex;
  static std::map<std::pair<std::uint64_t, std::string>, std::int64_t> used;
  const std::lock_guard lock(mutex);
  const std::int64_t count = used[{random::seed(), path}]++;
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return {static_cast<std::int64_t>(random::seed() ^ (hash & 0x7fffffffffffffff)), count};
}

}  // namespace

void Layer::add_weight(const char* name, const Shape& shape, double uniform_limit) {
  add_weight(name, [&](random::Key key) {
    return uniform_limit == 0 ? zeros(shape) : random::uniform(shape, {.low = -uniform_limit, .high = uniform_limit, .key = key});
  });
}

void Layer::add_weight(const char* name, const std::function<Tensor(random::Key)>& initial, bool trainable) {
  kiln::detail::BuildScope building;
  const std::string path = path_.empty() ? name : path_ + "/" + name;
  weights_.emplace_back(initial(weight_key(path)), VariableOptions{.name = path, .trainable = trainable});
}

void Layer::finish_build() {
  built_ = true;
  graph::journal_undo([this] {
    weights_.clear();
    built_ = false;
  });
}

Tensor Layer::record(Tensor result) {
  output_shape_ = result.shape();
  return result;
}

Dense::Dense(std::int64_t units, DenseOptions options) : Layer("Dense", State::weights), units_(units), options_(std::move(options)) {
  KILN_REQUIRE(units > 0, ValueError, "Dense: units must be positive, got {}", units);
}

Tensor Dense::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  const Shape& shape = x.tensor().shape();
  KILN_REQUIRE(shape.rank() >= 2, ShapeError, "Dense: the input must have a batch axis and a feature axis, got shape {}", shape.str());
  if (!built()) {
    const std::int64_t in = shape.back();
    add_weight("kernel", {in, units_}, std::sqrt(6.0 / static_cast<double>(in + units_)));
    if (options_.use_bias) add_weight("bias", {units_}, 0);
    finish_build();
  }
  const Shape& kernel = weight(0).shape();
  KILN_REQUIRE(shape.back() == kernel[0], ShapeError, "Dense: built for {} input features, got an input of shape {}", kernel[0].str(),
               shape.str());
  Tensor y = matmul(x, weight(0));
  if (options_.use_bias) y = y + weight(1);
  return record(options_.activation(y));
}

Conv2D::Conv2D(std::int64_t filters, Size2 kernel, Conv2DOptions options)
    : Layer("Conv2D", State::weights), filters_(filters), kernel_(kernel), options_(std::move(options)) {
  KILN_REQUIRE(filters > 0 && options_.groups > 0 && filters % options_.groups == 0, ValueError,
               "Conv2D: {} filters cannot be divided into {} groups", filters, options_.groups);
}

Tensor Conv2D::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  const Shape& shape = x.tensor().shape();
  KILN_REQUIRE(shape.rank() == 4, ShapeError, "Conv2D: the input must be [batch, height, width, channels], got shape {}", shape.str());
  if (!built()) {
    const std::int64_t channels = shape[3];
    KILN_REQUIRE(channels % options_.groups == 0, ShapeError, "Conv2D: {} input channels cannot be divided into {} groups", channels,
                 options_.groups);
    const std::int64_t window = kernel_.height * kernel_.width, in = channels / options_.groups;
    add_weight("kernel", {kernel_.height, kernel_.width, in, filters_}, std::sqrt(6.0 / static_cast<double>(window * (in + filters_))));
    if (options_.use_bias) add_weight("bias", {filters_}, 0);
    finish_build();
  }
  const Shape& kernel = weight(0).shape();
  KILN_REQUIRE(shape[3] == kernel[2] * options_.groups, ShapeError, "Conv2D: built for {} input channels, got an input of shape {}",
               (kernel[2] * options_.groups).str(), shape.str());
  Tensor y = conv2d(x, weight(0),
                    {.strides = options_.strides, .padding = options_.padding, .dilation = options_.dilation, .groups = options_.groups});
  if (options_.use_bias) y = y + weight(1);
  return record(options_.activation(y));
}

MaxPool2D::MaxPool2D(Size2 size, MaxPool2DOptions options) : Layer("MaxPool2D", State::none), size_(size), options_(options) {}

Tensor MaxPool2D::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  return record(max_pool2d(x, size_, {.strides = options_.strides, .padding = options_.padding}));
}

Flatten::Flatten() : Layer("Flatten", State::none) {}

Tensor Flatten::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  const Shape& shape = x.tensor().shape();
  KILN_REQUIRE(shape.rank() >= 1, ShapeError, "Flatten: the input must have a batch axis, got a scalar");
  Dim features = 1;
  for (int axis = 1; axis < shape.rank(); ++axis) features = features * shape[axis];
  return record(reshape(x, {shape[0], features}));
}

Dropout::Dropout(double rate) : Layer("Dropout", State::none), rate_(rate) {
  KILN_REQUIRE(rate >= 0 && rate < 1, ValueError, "Dropout: the rate must be in [0, 1), got {}", rate);
}

Tensor Dropout::operator()(const Arg& x) {
  CallScope scope(*this, x.loc());
  return record(is_training() ? dropout(x, rate_) : x.tensor());
}

}  // namespace kiln::nn
