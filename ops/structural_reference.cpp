// The structural ops in double, element by element from their meaning: what the tests compare with. Shares no code with the kernels.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "base/half.h"
#include "ops/random.h"
#include "ops/structural.h"

namespace kiln::ops {
namespace {

using Index = std::vector<std::int64_t>;
using Values = std::vector<double>;

std::size_t at(const Index& sizes, const Index& index) {
  std::int64_t flat = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) flat = flat * sizes[i] + index[i];
  return static_cast<std::size_t>(flat);
}

/// Calls f(index) for each index of that shape, row-major.
template <class F>
void for_each_index(const Index& sizes, const F& f) {
  Index index(sizes.size(), 0);
  for (std::int64_t n : sizes) {
    if (n == 0) return;
  }
  while (true) {
    f(index);
    std::size_t i = sizes.size();
    while (i > 0 && ++index[i - 1] == sizes[i - 1]) index[--i] = 0;
    if (i == 0) return;
  }
}

double identity(const std::string& kind) {
  if (kind == "mul" || kind == "and") return 1;
  if (kind == "max") return -std::numeric_limits<double>::infinity();
  if (kind == "min") return std::numeric_limits<double>::infinity();
  return 0;
}

/// A type has no infinity: the identity of max and min is its lowest or highest number.
double identity(const std::string& kind, DType dtype) {
  double value = identity(kind);
  if (!std::isinf(value) || is_floating(dtype)) return value;
  return visit_dtype(dtype, [&]<class T>(std::type_identity<T>) -> double {
    if constexpr (std::is_integral_v<T>)
      return static_cast<double>(value < 0 ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max());
    return 0;
  });
}

double combine(const std::string& kind, double a, double b) {
  if (kind == "add") return a + b;
  if (kind == "mul") return a * b;
  if (kind == "and") return a != 0 && b != 0;
  if (kind == "or") return a != 0 || b != 0;
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  return kind == "max" ? std::max(a, b) : std::min(a, b);
}

/// Integers wrap; everything below 2^53 is exact.
double wrap(double value, DType dtype) {
  if (!is_integer(dtype) || !std::isfinite(value)) return value;
  double range = std::ldexp(1.0, static_cast<int>(8 * size_of(dtype)));
  double low = dtype == DType::uint8 ? 0 : -range / 2;
  return value - std::floor((value - low) / range) * range;
}

bool is_extreme(double candidate, double best, bool max) {
  if (std::isnan(candidate)) return !std::isnan(best);
  return max ? candidate > best : candidate < best;
}

}  // namespace

void Reduce::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                       const Attrs& attrs) {
  const auto& kind = attrs.get<std::string>("kind");
  Index in = types[0].shape.sizes(), out = type.shape.sizes(), kept = other_axes(types[0].shape.rank(), attrs.get<Ints>("axes"));
  result.assign(static_cast<std::size_t>(type.shape.count()), identity(kind, type.dtype));
  for_each_index(in, [&](const Index& index) {
    Index target;
    for (std::int64_t axis : kept) target.push_back(index[static_cast<std::size_t>(axis)]);
    double& sum = result[at(out, target)];
    sum = wrap(combine(kind, sum, operands[0][at(in, index)]), type.dtype);
  });
}

void ArgReduce::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                          const Attrs& attrs) {
  bool max = attrs.get<std::string>("kind") == "max";
  auto axis = static_cast<std::size_t>(attrs.get<std::int64_t>("axis"));
  Index in = types[0].shape.sizes();
  result.clear();
  for_each_index(type.shape.sizes(), [&](Index index) {
    index.insert(index.begin() + static_cast<std::ptrdiff_t>(axis), 0);
    std::int64_t best = 0;
    double extreme = operands[0][at(in, index)];
    for (std::int64_t i = 1; i < in[axis]; ++i) {
      index[axis] = i;
      double candidate = operands[0][at(in, index)];
      if (!is_extreme(candidate, extreme, max)) continue;
      best = i;
      extreme = candidate;
    }
    result.push_back(static_cast<double>(best));
  });
}

void Contract::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                         const Attrs& attrs) {
  ContractView view = ContractView::parse(attrs);
  Index a = types[0].shape.sizes(), b = types[1].shape.sizes();
  Index summed;
  for (char c : view.order) summed.push_back(b[view.rhs.find(c)]);
  result.clear();
  for_each_index(type.shape.sizes(), [&](const Index& place) {
    double sum = 0;
    for_each_index(summed, [&](const Index& term) {
      auto value_of = [&](char c) { return view.order.find(c) == std::string::npos ? place[view.out.find(c)] : term[view.order.find(c)]; };
      Index left, right;
      bool zero = false, hole = false;
      for (std::size_t i = 0; i < view.rhs.size(); ++i) {
        char c = view.rhs[i];
        std::size_t slides = view.window.find(c);
        bool reversed = slides != std::string::npos && view.windows[slides].reverse;
        right.push_back(reversed ? b[i] - 1 - value_of(c) : value_of(c));
      }
      for (std::size_t i = 0; i < view.lhs.size(); ++i) {
        char c = view.lhs[i];
        std::size_t slides = view.window.find(c);
        if (slides == std::string::npos) {
          left.push_back(value_of(c));
          continue;
        }
        const ContractWindow& w = view.windows[slides];
        std::int64_t position = place[view.out.find(c)] * w.stride + value_of(c) * w.rhs_dilation - w.padding_low;
        hole = hole || position % w.lhs_dilation != 0;
        zero = zero || position < 0 || position > (a[i] - 1) * w.lhs_dilation;
        left.push_back(position / w.lhs_dilation);
      }
      if (hole) return;
      double x = zero ? 0 : operands[0][at(a, left)];
      sum = wrap(sum + x * operands[1][at(b, right)], type.dtype);
    });
    result.push_back(sum);
  });
}

namespace {

/// Calls f(index in x) for each tap inside x of the window at `place`.
template <class F>
void for_each_tap(const WindowAttrs& w, const Index& in, const Index& place, const F& f) {
  for_each_index(w.window, [&](const Index& tap) {
    Index index;
    for (std::size_t i = 0; i < in.size(); ++i) {
      std::int64_t position = place[i] * w.strides[i] + tap[i] - w.padding_low[i];
      if (position < 0 || position >= in[i]) return;
      index.push_back(position);
    }
    f(index);
  });
}

}  // namespace

void WindowReduce::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                             const Attrs& attrs) {
  const auto& kind = attrs.get<std::string>("kind");
  WindowAttrs w = window_attrs(attrs);
  Index in = types[0].shape.sizes();
  result.clear();
  for_each_index(type.shape.sizes(), [&](const Index& place) {
    double value = identity(kind, type.dtype);
    for_each_tap(w, in, place, [&](const Index& index) { value = wrap(combine(kind, value, operands[0][at(in, index)]), type.dtype); });
    result.push_back(value);
  });
}

void WindowMaxGrad::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                              const Attrs& attrs) {
  WindowAttrs w = window_attrs(attrs);
  Index in = types[0].shape.sizes(), out = types[1].shape.sizes();
  result.assign(operands[0].size(), 0);
  for_each_index(out, [&](const Index& place) {
    bool any = false;
    std::size_t best = 0;
    for_each_tap(w, in, place, [&](const Index& index) {
      std::size_t candidate = at(in, index);
      if (any && !is_extreme(operands[0][candidate], operands[0][best], true)) return;
      best = candidate;
      any = true;
    });
    if (any) result[best] = wrap(result[best] + operands[1][at(out, place)], type.dtype);
  });
}

void Reshape::reference(std::span<const TensorType>, std::span<const Values> operands, const TensorType&, Values& result, const Attrs&) {
  result = operands[0];
}

void Transpose::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                          const Attrs& attrs) {
  const Ints& perm = attrs.get<Ints>("perm");
  Index in = types[0].shape.sizes();
  result.clear();
  for_each_index(type.shape.sizes(), [&](const Index& place) {
    Index index(place.size());
    for (std::size_t i = 0; i < place.size(); ++i) index[static_cast<std::size_t>(perm[i])] = place[i];
    result.push_back(operands[0][at(in, index)]);
  });
}

void Broadcast::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                          const Attrs& attrs) {
  const Ints& dims = attrs.get<Ints>("dims");
  Index in = types[0].shape.sizes();
  result.clear();
  for_each_index(type.shape.sizes(), [&](const Index& place) {
    Index index;
    for (std::size_t i = 0; i < in.size(); ++i) index.push_back(in[i] == 1 ? 0 : place[static_cast<std::size_t>(dims[i])]);
    result.push_back(operands[0][at(in, index)]);
  });
}

void Slice::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                      const Attrs& attrs) {
  const Ints &start = attrs.get<Ints>("start"), &step = attrs.get<Ints>("step");
  Index in = types[0].shape.sizes();
  result.clear();
  for_each_index(type.shape.sizes(), [&](const Index& place) {
    Index index;
    for (std::size_t i = 0; i < in.size(); ++i) index.push_back((start[i] == kSliceEnd ? in[i] - 1 : start[i]) + place[i] * step[i]);
    result.push_back(operands[0][at(in, index)]);
  });
}

void Concatenate::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                            const Attrs& attrs) {
  auto axis = static_cast<std::size_t>(attrs.get<std::int64_t>("axis"));
  result.clear();
  for_each_index(type.shape.sizes(), [&](Index index) {
    std::size_t part = 0;
    while (index[axis] >= static_cast<std::int64_t>(types[part].shape[axis]))
      index[axis] -= static_cast<std::int64_t>(types[part++].shape[axis]);
    result.push_back(operands[part][at(types[part].shape.sizes(), index)]);
  });
}

void Pad::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                    const Attrs& attrs) {
  const Ints &low = attrs.get<Ints>("low"), &interior = attrs.get<Ints>("interior");
  Index in = types[0].shape.sizes();
  result.clear();
  for_each_index(type.shape.sizes(), [&](const Index& place) {
    Index index;
    bool inside = true;
    for (std::size_t i = 0; i < in.size(); ++i) {
      std::int64_t position = place[i] - low[i], step = interior[i] + 1;
      inside = inside && position >= 0 && position % step == 0 && position / step < in[i];
      index.push_back(position / step);
    }
    result.push_back(inside ? operands[0][at(in, index)] : operands[1][0]);
  });
}

void Gather::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                       const Attrs& attrs) {
  auto axis = attrs.get<std::int64_t>("axis");
  Index in = types[0].shape.sizes(), indices = types[1].shape.sizes();
  auto rank = static_cast<std::int64_t>(indices.size());
  result.clear();
  for_each_index(type.shape.sizes(), [&](const Index& place) {
    Index index(place.begin(), place.begin() + axis), which(place.begin() + axis, place.begin() + axis + rank);
    index.push_back(static_cast<std::int64_t>(operands[1][at(indices, which)]));
    index.insert(index.end(), place.begin() + axis + rank, place.end());
    result.push_back(operands[0][at(in, index)]);
  });
}

void ScatterAdd::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                           const Attrs& attrs) {
  auto axis = attrs.get<std::int64_t>("axis");
  Index out = type.shape.sizes(), indices = types[1].shape.sizes(), updates = types[2].shape.sizes();
  auto rank = static_cast<std::int64_t>(indices.size());
  result = operands[0];
  for_each_index(updates, [&](const Index& place) {
    Index index(place.begin(), place.begin() + axis), which(place.begin() + axis, place.begin() + axis + rank);
    index.push_back(static_cast<std::int64_t>(operands[1][at(indices, which)]));
    index.insert(index.end(), place.begin() + axis + rank, place.end());
    double& sum = result[at(out, index)];
    sum = wrap(sum + operands[2][at(updates, place)], type.dtype);
  });
}

void Iota::reference(std::span<const TensorType>, std::span<const Values>, const TensorType& type, Values& result, const Attrs& attrs) {
  auto axis = static_cast<std::size_t>(attrs.get<std::int64_t>("axis"));
  result.clear();
  for_each_index(type.shape.sizes(), [&](const Index& place) { result.push_back(wrap(static_cast<double>(place[axis]), type.dtype)); });
}

void Cast::reference(std::span<const TensorType> types, std::span<const Values> operands, const TensorType& type, Values& result,
                     const Attrs&) {
  result = operands[0];
  for (double& x : result) {
    if (type.dtype == DType::boolean) {
      x = x != 0;
    } else if (is_integer(type.dtype) && is_floating(types[0].dtype)) {
      x = std::isnan(x) ? 0 : std::clamp(std::trunc(x), identity("max", type.dtype), identity("min", type.dtype));
    } else {
      x = wrap(x, type.dtype);
    }
  }
}

void Constant::reference(std::span<const TensorType>, std::span<const Values>, const TensorType& type, Values& result, const Attrs& attrs) {
  const Literal& literal = attrs.get<Literal>("value");
  result.clear();
  visit_dtype(type.dtype, [&]<class T>(std::type_identity<T>) {
    for (std::int64_t i = 0; i < type.shape.count(); ++i) {
      T value;
      std::memcpy(&value, literal.bytes->data() + (literal.splat ? 0 : i) * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
      if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>) {
        result.push_back(to_double(value));
      } else {
        result.push_back(static_cast<double>(value));
      }
    }
  });
}

void Random::reference(std::span<const TensorType>, std::span<const Values> operands, const TensorType& type, Values& result,
                       const Attrs& attrs) {
  const auto& kind = attrs.get<std::string>("kind");
  auto seed = static_cast<std::uint64_t>(static_cast<std::int64_t>(operands[0][0]));
  auto stream = static_cast<std::uint64_t>(static_cast<std::int64_t>(operands[0][1]) + attrs.get<std::int64_t>("stream"));
  bool normal = kind == "normal";
  int bits = type.dtype == DType::float64               ? 32
             : type.dtype == DType::float16 && !normal  ? 11
             : type.dtype == DType::bfloat16 && !normal ? 8
                                                        : 24;
  auto uniform = [&](std::uint32_t word) { return std::ldexp(static_cast<double>(word >> (32 - bits)), -bits); };
  result.clear();
  for (std::int64_t i = 0; i < type.shape.count(); ++i) {
    philox::Block words = philox::block(seed, stream, static_cast<std::uint64_t>(i / 4));
    auto place = static_cast<std::size_t>(i % 4);
    if (kind == "bits") {
      result.push_back(static_cast<std::int32_t>(words[place]));
    } else if (!normal) {
      result.push_back(uniform(words[place]));
    } else {
      double radius = std::sqrt(-2 * std::log(1 - uniform(words[place & ~std::size_t{1}])));
      double angle = 2 * std::numbers::pi * uniform(words[place | 1]);
      result.push_back(radius * (place % 2 == 1 ? std::sin(angle) : std::cos(angle)));
    }
  }
}

}  // namespace kiln::ops
