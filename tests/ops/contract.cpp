// contract: every layout, windows, dtypes, edge values and sizes against the reference; the canonical order to the bit; gradients closed
// over contract.
#include <algorithm>
#include <map>

#include "ops/build.h"
#include "ops/kernels/contraction.h"
#include "tests/fuzz/lib/rng.h"
#include "tests/ops/kernel_check.h"

using namespace kiln;
using namespace kiln::testing;
using ops::ContractView;

namespace {

using Lengths = std::map<char, std::int64_t>;

Shape shape_of(const std::string& labels, const Lengths& lengths) {
  Shape shape;
  for (char c : labels) shape.push_back(lengths.at(c));
  return shape;
}

std::vector<double> random_numbers(const Shape& shape, DType dtype, Rng& rng) {
  std::vector<double> numbers(static_cast<std::size_t>(shape.count()));
  for (double& x : numbers)
    x = is_floating(dtype) ? rng.uniform() * 2 - 1 : static_cast<double>(dtype == DType::uint8 ? rng.below(200) : rng.between(-100, 100));
  return numbers;
}

OpCase make_case(const ContractView& view, DType dtype, const Shape& a, const Shape& b, Rng& rng) {
  return {.op = &ops::op("contract"),
          .types = {{dtype, a}, {dtype, b}},
          .operands = {random_numbers(a, dtype, rng), random_numbers(b, dtype, rng)},
          .attrs = view.attrs()};
}

void check(const OpCase& c) {
  OpCase absolute = c;
  for (auto& numbers : absolute.operands) {
    for (double& x : numbers) x = std::abs(x);
  }
  std::vector<double> magnitude;
  double terms = static_cast<double>(c.types[0].shape.count() + c.types[1].shape.count());
  if (is_floating(c.types[0].dtype)) magnitude = run_reference(absolute, stored(absolute));
  check_kernel(c, terms, magnitude);
}

const DType kDTypes[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16,
                         DType::int8,    DType::uint8,   DType::int32,   DType::int64};

ContractView random_convolution(const std::string& equation, Rng& rng, Lengths& left, Lengths& right) {
  bool flat = equation.find('y') == std::string::npos;
  ContractView view = ContractView::make(equation, flat ? "x" : "yx");
  for (char c : std::string("nyxcog")) left[c] = right[c] = rng.between(1, 4);
  left['c'] = right['c'] = rng.pick<std::int64_t>({1, 2, 3, 8, 17});
  left['o'] = right['o'] = rng.pick<std::int64_t>({1, 3, 16, 33});
  for (std::size_t i = 0; i < view.window.size(); ++i) {
    left[view.window[i]] = rng.between(1, 11);
    right[view.window[i]] = rng.between(1, 4);
    view.windows[i] = {rng.between(1, 3), rng.between(-2, 3), rng.between(-2, 3), rng.pick<std::int64_t>({1, 1, 2, 3}),
                       rng.between(1, 2), rng.chance(0.4)};
  }
  return view;
}

const char* const kConvolutions[] = {"nyxc,yxco->nyxo", "nyxgc,yxcgo->nyxgo", "ncyx,oyxc->noyx",
                                     "nxc,xco->nxo",    "nyxc,nyxo->yxco",    "cyxn,yxoc->oyxn"};

/// One float accumulator for each output, one fma for each term in order: what every blocking must give.
std::vector<float> in_order(std::int64_t rows, std::int64_t depth, std::int64_t cols, const std::vector<double>& a,
                            const std::vector<double>& b) {
  std::vector<float> out;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      float sum = 0;
      for (std::int64_t k = 0; k < depth; ++k) {
        auto x = static_cast<float>(a[static_cast<std::size_t>(i * depth + k)]),
             y = static_cast<float>(b[static_cast<std::size_t>(k * cols + j)]);
        if (current_target().has_fma()) {
          sum = std::fma(x, y, sum);
        } else {
          sum = sum + x * y;
        }
      }
      out.push_back(sum);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("contract agrees with its reference for every layout") {
  Rng rng(1);
  for (const char* equation :
       {"mk,kn->mn",    "km,kn->mn",   "mk,nk->mn",   "km,nk->mn",   "mk,kn->nm",      "km,nk->nm",       "bmk,bkn->bmn",
        "mbk,nbk->bmn", "mk,k->m",     "k,kn->n",     "m,n->mn",     "ambk,kbn->mabn", "bqhd,bkhd->bhqk", "k,k->",
        "bk,bk->b",     "mkl,kln->mn", "mkl,lkn->mn", "mkl,lnk->nm", ",mn->mn",        "mn,->nm",         "ab,ab->ba"}) {
    for (int i = 0; i < 10; ++i) {
      ContractView view = ContractView::make(equation);
      Lengths lengths;
      std::int64_t longest = view.lhs.size() + view.rhs.size() > 5 ? 7 : i < 7 ? 21 : 70;
      for (char c : view.lhs + view.rhs) lengths[c] = i == 0 ? 1 : rng.between(i == 1 ? 0 : 1, longest);
      check(make_case(view, rng.chance(0.5) ? DType::float32 : kDTypes[rng.below(8)], shape_of(view.lhs, lengths),
                      shape_of(view.rhs, lengths), rng));
    }
  }
}

TEST_CASE("convolutions agree with the reference, and so do both gradients' contractions") {
  Rng rng(2);
  for (const char* equation : kConvolutions) {
    for (int i = 0; i < 25; ++i) {
      Lengths left, right;
      ContractView view = random_convolution(equation, rng, left, right);
      Shape a = shape_of(view.lhs, left), b = shape_of(view.rhs, right), y = view.result_shape(a, b);
      DType dtype = rng.chance(0.7) ? DType::float32 : kDTypes[rng.below(8)];
      check(make_case(view, dtype, a, b, rng));
      ContractView to_left = view.gradient_lhs(a, b, y), to_right = view.gradient_rhs(a, b, y);
      REQUIRE(to_left.result_shape(y, b) == a);
      REQUIRE(to_right.result_shape(a, y) == b);
      check(make_case(to_left, dtype, y, b, rng));
      check(make_case(to_right, dtype, a, y, rng));
    }
  }
}

TEST_CASE("the two gradients of a contraction are its adjoints") {
  // <g, contract(a, b)> = <gradient of a, a> = <gradient of b, b>, for contract is linear in each operand.
  Rng rng(3);
  auto apply = [](const ContractView& view, const Shape& a, const Shape& b, const std::vector<double>& x, const std::vector<double>& y) {
    return run_kernel(
               {.op = &ops::op("contract"), .types = {{DType::float64, a}, {DType::float64, b}}, .operands = {x, y}, .attrs = view.attrs()},
               1)
        .numbers();
  };
  auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  for (const char* equation : kConvolutions) {
    for (int i = 0; i < 15; ++i) {
      Lengths left, right;
      ContractView view = random_convolution(equation, rng, left, right);
      for (ops::ContractWindow& w : view.windows) w.reverse = false;
      Shape as = shape_of(view.lhs, left), bs = shape_of(view.rhs, right), ys = view.result_shape(as, bs);
      std::vector<double> a = random_numbers(as, DType::float64, rng), b = random_numbers(bs, DType::float64, rng),
                          g = random_numbers(ys, DType::float64, rng);
      double forward = dot(g, apply(view, as, bs, a, b));
      double by_left = dot(apply(view.gradient_lhs(as, bs, ys), ys, bs, g, b), a);
      double by_right = dot(apply(view.gradient_rhs(as, bs, ys), as, ys, a, g), b);
      CHECK(std::abs(by_left - forward) <= 1e-10 * (1 + std::abs(forward)));
      CHECK(std::abs(by_right - forward) <= 1e-10 * (1 + std::abs(forward)));
    }
  }
}

TEST_CASE("a product has the bits of the canonical order whatever the blocking") {
  Rng rng(4);
  for (auto [m, k, n] : std::vector<std::array<std::int64_t, 3>>{
           {1, 1, 1}, {32, 784, 128}, {37, 53, 71}, {7, 1500, 3}, {300, 900, 50}, {250, 400, 700}, {1, 5000, 9}, {9, 3, 1200}}) {
    Shape a{m, k}, b{k, n};
    OpCase c = make_case(ContractView::make("mk,kn->mn"), DType::float32, a, b, rng);
    std::vector<float> expected = in_order(m, k, n, stored(c)[0], stored(c)[1]);
    for (int threads : {1, 2, 3}) {
      GuardedTensor result = run_kernel(c, threads);
      INFO(c.str() << " threads " << threads);
      CHECK(std::memcmp(result.data(), expected.data(), result.size()) == 0);
    }
    set_num_threads(1);
  }
}

TEST_CASE("NaN and infinities pass through a contraction, also through padding") {
  double infinity = std::numeric_limits<double>::infinity();
  OpCase c{.op = &ops::op("contract"),
           .types = {{DType::float32, {2, 2}}, {DType::float32, {2, 3}}},
           .operands = {{1, infinity, 0, 1}, {1, infinity, std::nan(""), 1, 2, 0}},
           .attrs = ContractView::make("mk,kn->mn").attrs()};
  std::vector<double> y = run_kernel(c, 1).numbers();
  CHECK(y[0] == infinity);
  CHECK(y[1] == infinity);
  CHECK(std::isnan(y[2]));
  CHECK(y[3] == 1);
  CHECK(std::isnan(y[4]));  // 0 * inf
  CHECK(std::isnan(y[5]));
  // Few rows share their taps: padding takes part as a zero, and 0 * inf is NaN. A hole of dilation never does.
  ContractView conv = ContractView::make("x,x->x", "x");
  conv.windows[0] = {.stride = 1, .padding_low = 1, .padding_high = 0};
  OpCase padded{
      .op = c.op, .types = {{DType::float32, {2}}, {DType::float32, {2}}}, .operands = {{3, 4}, {infinity, 1}}, .attrs = conv.attrs()};
  y = run_kernel(padded, 1).numbers();
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == infinity);
  conv.windows[0] = {.stride = 1, .padding_low = 0, .padding_high = 0, .lhs_dilation = 2};
  OpCase dilated{
      .op = c.op, .types = {{DType::float32, {2}}, {DType::float32, {2}}}, .operands = {{3, 4}, {1, infinity}}, .attrs = conv.attrs()};
  y = run_kernel(dilated, 1).numbers();
  CHECK(y[0] == 3);
  CHECK(y[1] == infinity);
  // Many rows share their taps: padding is skipped.
  ContractView images = ContractView::make("nx,x->nx", "x");
  images.windows[0] = {.stride = 1, .padding_low = 1, .padding_high = 0};
  OpCase skipped{.op = c.op,
                 .types = {{DType::float32, {4, 2}}, {DType::float32, {2}}},
                 .operands = {{3, 4, 5, 6, 7, 8, 9, 10}, {infinity, 1}},
                 .attrs = images.attrs()};
  CHECK(run_kernel(skipped, 1).numbers() == std::vector<double>{3, infinity, 5, infinity, 7, infinity, 9, infinity});
}

namespace {

struct Seen {
  std::vector<int> visits;
  std::int64_t cols = 0;
  bool finished = true;
};

/// Counts visits of each element and checks that it is finished: the operands are ones, so that a finished element equals the depth.
void record_tile(void** args, const std::int64_t* dims, KernelContext*, std::int64_t row0, std::int64_t row1, std::int64_t col0,
                 std::int64_t col1) {
  auto& seen = *static_cast<Seen*>(args[0]);
  for (std::int64_t i = row0; i < row1; ++i) {
    for (std::int64_t j = col0; j < col1; ++j) {
      auto at = static_cast<std::size_t>(i * seen.cols + j);
      ++seen.visits[at];
      if (static_cast<const float*>(args[1])[at] != static_cast<float>(dims[0])) seen.finished = false;
    }
  }
}

}  // namespace

TEST_CASE("the epilogue sees every element once, finished") {
  for (const char* equation : {"mk,kn->mn", "km,nk->mn", "bmk,bkn->bmn", "mk,k->m"}) {
    for (auto [m, k, n, b] :
         std::vector<std::array<std::int64_t, 4>>{{1, 1, 1, 1}, {37, 53, 71, 3}, {500, 600, 9, 1}, {33, 1000, 700, 1}, {20, 5, 1000, 2}}) {
      for (auto [threads, product] : std::vector<std::pair<int, int>>{{1, -1}, {2, -1}, {1, 1}, {2, 1}}) {
        set_num_threads(threads);
        ContractView view = ContractView::make(equation);
        Lengths lengths{{'m', m}, {'k', k}, {'n', n}, {'b', b}};
        Shape as = shape_of(view.lhs, lengths), bs = shape_of(view.rhs, lengths), ys = view.result_shape(as, bs);
        std::vector<float> x(static_cast<std::size_t>(as.count()), 1), w(static_cast<std::size_t>(bs.count()), 1),
            y(static_cast<std::size_t>(ys.count()), NAN);
        Contraction problem = view.lower(DType::float32, as.sizes(), bs.sizes(), ys.sizes());
        Seen seen{.visits = std::vector<int>(y.size(), 0), .cols = view.rhs == "k" ? 1 : n};
        void* args[] = {&seen, y.data()};
        ops::run_contraction({.problem = &problem,
                              .lhs = x.data(),
                              .rhs = w.data(),
                              .out = y.data(),
                              .epilogue = record_tile,
                              .epilogue_args = args,
                              .epilogue_dims = &k,
                              .num_epilogue_args = 2,
                              .product = product});
        INFO(equation << " " << m << " " << k << " " << n << " threads " << threads << " product " << product);
        CHECK(seen.finished);
        CHECK(std::count(seen.visits.begin(), seen.visits.end(), 1) == static_cast<std::ptrdiff_t>(y.size()));
      }
    }
  }
  set_num_threads(1);
}

namespace {

/// A 3 x 3 convolution with padding 1.
std::vector<float> convolve(const char* equation, const Shape& x_shape, const Shape& w_shape, const std::vector<float>& x,
                            const std::vector<float>& w) {
  ContractView view = ContractView::make(equation, "yx");
  for (int i = 0; i < 2; ++i) view.windows[static_cast<std::size_t>(i)] = {.padding_low = 1, .padding_high = 1};
  Shape y_shape = view.result_shape(x_shape, w_shape);
  std::vector<float> y(static_cast<std::size_t>(y_shape.count()), NAN);
  Contraction problem = view.lower(DType::float32, x_shape.sizes(), w_shape.sizes(), y_shape.sizes());
  ops::run_contraction({.problem = &problem, .lhs = x.data(), .rhs = w.data(), .out = y.data()});
  return y;
}

/// Of elements in rows of `groups` groups of `size`, those of one group.
std::vector<float> take_group(const std::vector<float>& all, std::size_t groups, std::size_t size, std::size_t group) {
  std::vector<float> part;
  for (std::size_t at = group * size; at < all.size(); at += groups * size)
    part.insert(part.end(), all.begin() + static_cast<std::ptrdiff_t>(at), all.begin() + static_cast<std::ptrdiff_t>(at + size));
  return part;
}

}  // namespace

TEST_CASE("many groups of channels compute what each computes alone") {
  constexpr std::int64_t images = 20, side = 16, groups = 64, in = 4, out = 3;
  Rng rng(77);
  auto numbers = [&](std::int64_t count) {
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& v : x) v = static_cast<float>(rng.uniform() * 2 - 1);
    return x;
  };
  std::vector<float> x = numbers(images * side * side * groups * in), w = numbers(9 * in * groups * out);
  for (int threads : {1, 3}) {
    set_num_threads(threads);
    std::vector<float> y = convolve("nyxgc,yxcgo->nyxgo", {images, side, side, groups, in}, {3, 3, in, groups, out}, x, w);
    for (std::size_t g : {0, 1, 30, 63}) {
      std::vector<float> alone = convolve("nyxc,yxco->nyxo", {images, side, side, in}, {3, 3, in, out}, take_group(x, groups, in, g),
                                          take_group(w, groups, out, g));
      INFO("threads " << threads << " group " << g);
      CHECK(take_group(y, groups, out, g) == alone);
    }
  }
  set_num_threads(1);
}

TEST_CASE("digest of contractions", "[.]") {
  Rng rng(31);
  std::uint64_t hash = 1;
  for (const char* equation : kConvolutions) {
    for (int i = 0; i < 20; ++i) {
      Lengths left, right;
      ContractView view = random_convolution(equation, rng, left, right);
      hash = digest(run_kernel(make_case(view, kDTypes[rng.below(4)], shape_of(view.lhs, left), shape_of(view.rhs, right), rng), 1), hash);
    }
  }
  for (auto [m, k, n] : std::vector<std::array<std::int64_t, 3>>{{37, 1053, 71}, {300, 40, 90}, {5, 9, 1200}}) {
    hash = digest(run_kernel(make_case(ContractView::make("mk,nk->mn"), DType::float32, {m, k}, {n, k}, rng), 1), hash);
  }
  std::printf("digest %016llx\n", static_cast<unsigned long long>(hash));
}

TEST_CASE("contractions have the same bits on AVX2 and AVX-512") {
  std::string avx512 = run_with_target("avx512", "digest of contractions");
  if (avx512.empty()) return;
  CHECK(avx512 == run_with_target("avx2", "digest of contractions"));
}
