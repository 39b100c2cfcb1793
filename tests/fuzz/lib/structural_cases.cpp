// One generator for each structural op.
#include "tests/fuzz/lib/structural_cases.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "ops/build.h"

namespace kiln::testing {

namespace {

using Case = std::optional<StructuralCase>;
using Generator = Case (*)(const TensorType& x, Rng& rng);

std::vector<std::int64_t> permutation(std::int64_t n, Rng& rng) {
  std::vector<std::int64_t> p(static_cast<std::size_t>(n));
  std::iota(p.begin(), p.end(), 0);
  for (std::size_t i = p.size(); i > 1; --i) std::swap(p[i - 1], p[static_cast<std::size_t>(rng.below(static_cast<std::int64_t>(i)))]);
  return p;
}

std::string shuffled(std::string s, Rng& rng) {
  std::string out;
  for (std::int64_t i : permutation(static_cast<std::int64_t>(s.size()), rng)) out += s[static_cast<std::size_t>(i)];
  return out;
}

Case reduce(const TensorType& x, Rng& rng) {
  Ints axes;
  for (int i = 0; i < x.shape.rank(); ++i) {
    if (rng.chance(0.5)) axes.push_back(i);
  }
  if (axes.empty() && x.shape.rank() > 0) axes.push_back(rng.below(x.shape.rank()));
  bool boolean = x.dtype == DType::boolean;
  std::string kind = boolean ? rng.pick<std::string>({"and", "or"}) : rng.pick<std::string>({"add", "add", "mul", "max", "min"});
  for (std::int64_t axis : axes) {
    if (x.shape[axis] == 0 && (kind == "max" || kind == "min")) kind = "add";
  }
  return {{{{x}}, {{"kind", kind}, {"axes", axes}}}};
}

Case arg_reduce(const TensorType& x, Rng& rng) {
  if (x.shape.rank() == 0) return {};
  std::int64_t axis = rng.below(x.shape.rank());
  if (x.shape[axis] == 0) return {};
  return {{{{x}}, {{"kind", rng.pick<std::string>({"max", "min"})}, {"axis", axis}}}};
}

/// x axes: batch, row or contracted; the right operand gets the shared ones and columns of its own, in any order.
Case plain_contract(const TensorType& x, Rng& rng) {
  std::string lhs, shared, out, order;
  std::map<char, Dim> lengths;
  for (int i = 0; i < x.shape.rank(); ++i) {
    char label = static_cast<char>('a' + i);
    lhs += label;
    lengths[label] = x.shape[i];
    std::int64_t role = rng.below(3);
    if (role != 1) shared += label;
    if (role != 2) out += label;
    if (role == 2) order += label;
  }
  std::int64_t columns = rng.below(3);
  for (std::int64_t i = 0; i < columns; ++i) {
    char label = static_cast<char>('p' + i);
    lengths[label] = rng.pick<std::int64_t>({1, 2, 3, 5, 8, 17});
    shared += label;
    out += label;
  }
  std::string rhs = shuffled(shared, rng);
  Shape rhs_shape;
  for (char label : rhs) rhs_shape.push_back(lengths[label]);
  ops::ContractView view = ops::ContractView::make(lhs + "," + rhs + "->" + shuffled(out, rng), "", shuffled(order, rng));
  return {{{{x}, {{x.dtype, rhs_shape}}}, view.attrs()}};
}

Case convolution(const TensorType& x, Rng& rng) {
  ops::ContractView view = ops::ContractView::make("nyxc,yxco->nyxo", "yx", rng.chance(0.7) ? "yxc" : "cyx");
  for (int i = 0; i < 2; ++i) {
    ops::ContractWindow& w = view.windows[static_cast<std::size_t>(i)];
    w.stride = rng.between(1, 3);
    w.rhs_dilation = rng.chance(0.3) ? 2 : 1;
    w.lhs_dilation = rng.chance(0.2) ? 2 : 1;
    w.padding_low = rng.between(-1, 2);
    w.padding_high = rng.between(-1, 2);
    w.reverse = rng.chance(0.3);
  }
  Shape kernel = {rng.between(1, 3), rng.between(1, 3), x.shape[3], rng.pick<std::int64_t>({1, 2, 5, 16})};
  return {{{{x}, {{x.dtype, kernel}}}, view.attrs()}};
}

Case contract(const TensorType& x, Rng& rng) {
  if (x.dtype == DType::boolean || x.shape.rank() > 4) return {};
  return x.shape.rank() == 4 && rng.chance(0.6) ? convolution(x, rng) : plain_contract(x, rng);
}

ops::WindowAttrs window(const Shape& x, Rng& rng, bool may_pad) {
  ops::WindowAttrs w;
  for (Dim length : x) {
    bool slides = rng.chance(0.6);
    std::int64_t size = slides ? std::max<std::int64_t>(1, std::min<std::int64_t>(rng.between(1, 3), length.value_or(3))) : 1;
    w.window.push_back(size);
    w.strides.push_back(slides ? rng.between(1, 3) : 1);
    w.padding_low.push_back(may_pad ? rng.below(size) : 0);
    w.padding_high.push_back(may_pad ? rng.below(size) : 0);
  }
  return w;
}

Case window_reduce(const TensorType& x, Rng& rng) {
  if (x.shape.rank() == 0 || x.dtype == DType::boolean) return {};
  return {{{{x}}, window(x.shape, rng, true).attrs(rng.pick<std::string>({"max", "max", "min", "add"}))}};
}

Case window_max_grad(const TensorType& x, Rng& rng) {
  if (x.shape.rank() == 0 || x.dtype == DType::boolean) return {};
  Attrs attrs = window(x.shape, rng, true).attrs("max");
  const ops::OpDef& pool = ops::op("window_reduce");
  TensorType result = pool.infer(pool, std::span(&x, 1), attrs);
  return {{{{x}, {result}}, attrs}};
}

/// Two axes as one, one as two, or an axis of length 1 more: what works for lengths that are not known.
Shape regrouped(const Shape& shape, Rng& rng) {
  Shape out;
  std::int64_t place = rng.below(shape.rank() + 1), change = rng.below(3);
  for (int i = 0; i < shape.rank(); ++i) {
    bool here = i == place;
    if (here && change == 0 && i + 1 < shape.rank()) {
      out.push_back(shape[i] * shape[i + 1]);
      ++i;
    } else if (here && change == 1 && shape[i].is_constant() && shape[i] != 0 && shape[i] % 2 == 0) {
      out.push_back(2);
      out.push_back(shape[i] / 2);
    } else {
      if (here) out.push_back(1);
      out.push_back(shape[i]);
    }
  }
  return out;
}

Case reshape(const TensorType& x, Rng& rng) {
  if (!x.shape.is_static()) return {{{{x}}, {{"shape", regrouped(x.shape, rng)}}}};
  std::int64_t left = x.shape.count();
  Shape shape;
  if (left == 0) return {{{{x}}, {{"shape", Shape{0}}}}};
  while (left > 1 && shape.rank() < 4) {
    std::vector<std::int64_t> divisors;
    for (std::int64_t d = 1; d <= left; ++d) {
      if (left % d == 0) divisors.push_back(d);
    }
    std::int64_t d = rng.pick(divisors);
    shape.push_back(d);
    left /= d;
  }
  if (left > 1 || rng.chance(0.3)) shape.push_back(left);
  return {{{{x}}, {{"shape", shape}}}};
}

Case transpose(const TensorType& x, Rng& rng) { return {{{{x}}, {{"perm", permutation(x.shape.rank(), rng)}}}}; }

Case broadcast(const TensorType& x, Rng& rng) {
  if (x.shape.rank() > 3) return {};
  Shape shape;
  Ints dims;
  for (int i = 0; i < x.shape.rank(); ++i) {
    if (rng.chance(0.3)) shape.push_back(rng.between(1, 5));
    dims.push_back(shape.rank());
    shape.push_back(x.shape[i] == 1 && rng.chance(0.7) ? Dim(rng.between(1, 9)) : x.shape[i]);
  }
  if (rng.chance(0.5)) shape.push_back(rng.between(1, 5));
  return {{{{x}}, {{"shape", shape}, {"dims", dims}}}};
}

Case slice(const TensorType& x, Rng& rng) {
  Ints start, limit, step;
  for (Dim dim : x.shape) {
    if (!dim.is_constant()) {
      bool backwards = rng.chance(0.3);
      start.push_back(backwards ? ops::kSliceEnd : rng.below(3));
      limit.push_back(backwards ? rng.between(-1, 1) : rng.chance(0.8) ? ops::kSliceEnd : rng.between(start.back(), 4));
      step.push_back(backwards ? -rng.between(1, 2) : rng.between(1, 2));
      continue;
    }
    std::int64_t length = dim;
    bool down = length > 0 && rng.chance(0.3);
    std::int64_t a = rng.between(0, length), b = rng.between(0, length);
    start.push_back(down ? length - 1 - std::min(std::min(a, b), length - 1) : std::min(a, b));
    limit.push_back(down ? std::min(start.back() - 1, rng.between(-1, length - 1)) : std::max(a, b));
    step.push_back(down ? -rng.between(1, 3) : rng.between(1, 3));
  }
  return {{{{x}}, {{"start", start}, {"limit", limit}, {"step", step}}}};
}

Case concat(const TensorType& x, Rng& rng) {
  if (x.shape.rank() == 0) return {};
  std::int64_t axis = rng.below(x.shape.rank());
  StructuralCase result{{{x}}, {{"axis", axis}}};
  for (std::int64_t parts = rng.between(0, 3); parts > 0; --parts) {
    TensorType other = x;
    if (rng.chance(0.5)) other.shape[axis] = rng.between(0, 6);
    result.operands.push_back({other});
  }
  return result;
}

Case pad(const TensorType& x, Rng& rng) {
  Ints low, high, interior;
  for (Dim dim : x.shape) {
    std::int64_t length = dim.value_or(3);
    interior.push_back(length > 0 && rng.chance(0.3) ? rng.between(1, 2) : 0);
    std::int64_t padded = length == 0 ? 0 : (length - 1) * (interior.back() + 1) + 1;
    low.push_back(rng.between(-std::min<std::int64_t>(1, padded), 3));
    high.push_back(rng.between(-std::min<std::int64_t>(1, padded + low.back()), 3));
  }
  return {{{{x}, {{x.dtype, {}}}}, {{"low", low}, {"high", high}, {"interior", interior}}}};
}

DType index_dtype(Rng& rng) { return rng.chance(0.5) ? DType::int32 : DType::int64; }

Case gather(const TensorType& x, Rng& rng) {
  if (x.shape.rank() == 0 || x.shape.rank() > 3) return {};
  std::int64_t axis = rng.below(x.shape.rank());
  if (x.shape[axis] == 0) return {};
  return {{{{x}, {{index_dtype(rng), random_shape(rng, 2)}, x.shape[axis]}}, {{"axis", axis}}}};
}

Case scatter_add(const TensorType& x, Rng& rng) {
  if (x.shape.rank() == 0 || x.shape.rank() > 3 || x.dtype == DType::boolean) return {};
  std::int64_t axis = rng.below(x.shape.rank());
  if (x.shape[axis] == 0) return {};
  Shape indices = random_shape(rng, 2), updates;
  for (int i = 0; i < x.shape.rank(); ++i) {
    if (i != axis) {
      updates.push_back(x.shape[i]);
    } else {
      for (Dim d : indices) updates.push_back(d);
    }
  }
  return {{{{x}, {{index_dtype(rng), indices}, x.shape[axis]}, {{x.dtype, updates}}}, {{"axis", axis}}}};
}

Case iota(const TensorType& x, Rng& rng) {
  if (x.shape.rank() == 0 || x.dtype == DType::boolean) return {};
  return {{{}, {{"shape", x.shape}, {"axis", rng.below(x.shape.rank())}, {"dtype", x.dtype}}}};
}

Case cast(const TensorType& x, Rng& rng) { return {{{{x}}, {{"dtype", random_dtype(rng)}}}}; }

Case constant(const TensorType& x, Rng& rng) {
  if (!x.shape.is_static()) return {};
  Literal literal = ops::scalar_literal(x.dtype, static_cast<double>(rng.between(0, 4)));
  literal.type.shape = x.shape;
  literal.splat = x.shape.count() > 0;
  if (!literal.splat) {
    literal.bytes = std::make_shared<const std::vector<std::byte>>();
  }
  return {{{}, {{"value", literal}}}};
}

Case random(const TensorType& x, Rng& rng) {
  std::string kind = is_floating(x.dtype) ? rng.pick<std::string>({"uniform", "normal"}) : "bits";
  if (kind == "bits" && x.dtype != DType::int32) return {};
  return {{{{{DType::int64, {2}}, 1000}}, {{"kind", kind}, {"shape", x.shape}, {"dtype", x.dtype}, {"stream", rng.below(10)}}}};
}

const std::map<std::string_view, Generator>& generators() {
  static const std::map<std::string_view, Generator> table = {{"reduce", reduce},
                                                              {"arg_reduce", arg_reduce},
                                                              {"contract", contract},
                                                              {"window_reduce", window_reduce},
                                                              {"reshape", reshape},
                                                              {"window_max_grad", window_max_grad},
                                                              {"transpose", transpose},
                                                              {"broadcast", broadcast},
                                                              {"slice", slice},
                                                              {"concat", concat},
                                                              {"pad", pad},
                                                              {"gather", gather},
                                                              {"scatter_add", scatter_add},
                                                              {"iota", iota},
                                                              {"cast", cast},
                                                              {"constant", constant},
                                                              {"random", random}};
  return table;
}

}  // namespace

std::optional<StructuralCase> structural_case(const ops::OpDef& op, const TensorType& x, Rng& rng) {
  return generators().at(op.name)(x, rng);
}

bool has_structural_case(const ops::OpDef& op) { return generators().contains(op.name); }

Shape random_shape(Rng& rng, int max_rank, std::int64_t max_elements) {
  static const std::vector<std::int64_t> lengths = {1, 1, 2, 3, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33};
  static const std::vector<std::int64_t> long_ones = {63, 64, 65, 100, 129, 257, 1001, 4097};
  Shape shape;
  std::int64_t count = 1;
  for (std::int64_t rank = rng.between(0, max_rank); rank > 0; --rank) {
    std::int64_t length = rng.chance(0.02) ? 0 : rng.pick(rng.chance(0.05) || max_elements > 4096 ? long_ones : lengths);
    if (count * length > max_elements) length = rng.between(1, 3);
    count *= std::max<std::int64_t>(length, 1);
    shape.push_back(length);
  }
  return shape;
}

DType random_dtype(Rng& rng) {
  if (rng.chance(0.5)) return DType::float32;
  return static_cast<DType>(rng.below(kDTypeCount));
}

}  // namespace kiln::testing
