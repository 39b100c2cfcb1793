// Random contractions and convolutions, of every dtype, layout and awkward size, against the canonical order to the bit (unless they are
// relaxed) and against double arithmetic within its error bound. Operands and results lie against inaccessible pages; results are poisoned.
//   KILN_FUZZ_COUNT   cases, 3000 by default        KILN_FUZZ_SEED   number of the first case
//   KILN_FUZZ_SECONDS  time after which no other case begins
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "ops/contract.h"
#include "ops/kernels/contraction.h"
#include "tests/fuzz/lib/rng.h"
#include "tests/ops/kernel_check.h"

using namespace kiln;
using namespace kiln::testing;
using ops::ContractView;

namespace {

constexpr std::size_t kRoom = 8 << 20;  ///< bytes of the largest tensor
constexpr double kMostTerms = 400e3;    ///< multiplications of a case
constexpr double kMostLarge = 4e6;      ///< of one that needs several blocks

std::int64_t number_from(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

/// Memory between two inaccessible pages.
class FencedMemory {
 public:
  FencedMemory() {
    memory_ = static_cast<std::byte*>(mmap(nullptr, kRoom + 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(memory_ != MAP_FAILED);
    REQUIRE(mprotect(memory_, kPage, PROT_NONE) == 0);
    REQUIRE(mprotect(memory_ + kPage + kRoom, kPage, PROT_NONE) == 0);
  }
  FencedMemory(const FencedMemory&) = delete;
  ~FencedMemory() { munmap(memory_, kRoom + 2 * kPage); }

  /// `bytes` of it that touch one of the pages.
  std::byte* place(std::size_t bytes, bool at_end) {
    REQUIRE(bytes <= kRoom);
    return memory_ + kPage + (at_end ? kRoom - bytes : 0);
  }

 private:
  static constexpr std::size_t kPage = 4096;
  std::byte* memory_ = nullptr;
};

struct RandomCase {
  ContractView view;
  Shape lhs, rhs, out;
  DType dtype = DType::float32;
  int threads = 1;
  bool relaxed = false;
  bool lhs_at_end = true, rhs_at_end = true, out_at_end = true;

  std::string str() const {
    std::string text = view.equation() + " order " + view.order + " " + std::string(name(dtype)) + (relaxed ? " relaxed" : "") + lhs.str() +
                       rhs.str() + " threads " + std::to_string(threads);
    for (std::size_t i = 0; i < view.window.size(); ++i) {
      const ops::ContractWindow& w = view.windows[i];
      text += std::string(", ") + view.window[i] + ": stride " + std::to_string(w.stride) + " padding " + std::to_string(w.padding_low) +
              " " + std::to_string(w.padding_high) + " dilation " + std::to_string(w.lhs_dilation) + " " + std::to_string(w.rhs_dilation) +
              (w.reverse ? " reversed" : "");
    }
    return text;
  }
};

using Lengths = std::map<char, std::int64_t>;

Shape shape_of(const std::string& labels, const Lengths& lengths) {
  Shape shape;
  for (char c : labels) shape.push_back(lengths.at(c));
  return shape;
}

double terms_of(const RandomCase& c) {
  double terms = static_cast<double>(c.out.count());
  for (char label : c.view.order) terms *= static_cast<double>(static_cast<std::int64_t>(c.rhs[static_cast<int>(c.view.rhs.find(label))]));
  return terms;
}

/// Mostly small; sometimes at the edges of tiles and blocks.
std::int64_t random_length(Rng& rng) {
  if (rng.chance(0.03)) return 0;
  if (rng.chance(0.15)) return rng.pick<std::int64_t>({6, 8, 16, 17, 31, 32, 47, 48, 49, 63, 64, 65, 95, 97, 128, 129});
  if (rng.chance(0.04)) return rng.between(190, 1500);
  return rng.between(1, rng.chance(0.5) ? 8 : 40);
}

RandomCase random_product(Rng& rng, bool large) {
  static const std::vector<std::string> equations = {
      "mk,kn->mn",    "km,kn->mn",    "mk,nk->mn",      "km,nk->mn",       "mk,kn->nm",       "km,nk->nm",   "bmk,bkn->bmn",
      "bkm,bnk->bmn", "mbk,nbk->bmn", "kb,kb->b",       "mkb,kb->mb",      "mk,k->m",         "k,kn->n",     "m,n->mn",
      "k,k->",        "bk,bk->b",     "ambk,kbn->mabn", "bqhd,bkhd->bhqk", "bhqk,bkhd->bqhd", "abk,kn->abn", "mkl,kln->mn",
      "mkl,lkn->mn",  "mkl,lnk->nm",  ",mn->mn",        "mn,->nm",         "ab,ab->ba",       "abc,abd->cd", "abc,dbc->ad"};
  RandomCase c;
  c.view = ContractView::make(rng.pick(equations));
  Lengths lengths;
  for (char label : c.view.lhs + c.view.rhs) lengths[label] = random_length(rng);
  if (large && !c.view.order.empty()) lengths[c.view.order[0]] = rng.between(1500, 6000);
  c.lhs = shape_of(c.view.lhs, lengths);
  c.rhs = shape_of(c.view.rhs, lengths);
  return c;
}

/// A convolution, or the contraction that gives one of its gradients.
RandomCase random_convolution(Rng& rng, bool large) {
  static const std::vector<std::string> equations = {"nyxc,yxco->nyxo", "nyxc,yxco->nyxo", "nyxgc,yxcgo->nyxgo", "ncyx,oyxc->noyx",
                                                     "nxc,xco->nxo",    "nyxc,nyxo->yxco", "cyxn,yxoc->oyxn",    "nzyxc,zyxco->nzyxo",
                                                     "nyxg,yxg->nyxg",  "nyxg,yxg->nyxg"};
  RandomCase c;
  std::string equation = rng.pick(equations);
  std::string window = equation.find('z') != std::string::npos ? "zyx" : equation.find('y') != std::string::npos ? "yx" : "x";
  c.view = ContractView::make(equation, window);
  Lengths left, right;
  for (char label : std::string("ngco")) {
    bool depthwise = equation.find('c') == std::string::npos;
    std::int64_t most = label == 'n' ? (large ? 60 : 9) : label == 'g' ? (depthwise ? 40 : 3) : 20;
    left[label] = right[label] = rng.chance(0.02)                ? 0
                                 : rng.chance(0.3) && most == 20 ? rng.pick<std::int64_t>({1, 3, 16, 32, 64, 70})
                                                                 : rng.between(1, most);
  }
  for (std::size_t i = 0; i < window.size(); ++i) {
    left[window[i]] = rng.chance(0.02) ? 0 : rng.between(1, large ? 40 : window.size() > 2 ? 6 : 16);
    right[window[i]] = rng.chance(0.02) ? 0 : rng.between(1, window.size() > 2 ? 3 : 5);
    std::int64_t same = right[window[i]] / 2;
    c.view.windows[i] = {rng.between(1, 3), rng.between(-2, 4), rng.between(-2, 4), rng.pick<std::int64_t>({1, 1, 1, 2, 3}),
                         rng.between(1, 2), rng.chance(0.3)};
    if (rng.chance(0.5)) c.view.windows[i] = {rng.between(1, 2), same, same, 1, 1, rng.chance(0.2)};
  }
  c.lhs = shape_of(c.view.lhs, left);
  c.rhs = shape_of(c.view.rhs, right);
  Shape out = c.view.result_shape(c.lhs, c.rhs);
  std::int64_t kind = rng.below(3);
  if (kind == 1) {
    c.view = c.view.gradient_lhs(c.lhs, c.rhs, out);
    c.lhs = out;
  } else if (kind == 2) {
    c.view = c.view.gradient_rhs(c.lhs, c.rhs, out);
    c.rhs = out;
  }
  return c;
}

RandomCase random_case(Rng& rng) {
  while (true) {
    bool large = rng.chance(0.1);  // of which most are too large
    RandomCase c = rng.chance(0.45) ? random_product(rng, large) : random_convolution(rng, large);
    c.out = c.view.result_shape(c.lhs, c.rhs);
    c.dtype =
        rng.chance(0.55)
            ? DType::float32
            : rng.pick<DType>({DType::float64, DType::float16, DType::bfloat16, DType::int8, DType::uint8, DType::int32, DType::int64});
    c.relaxed = c.dtype == DType::bfloat16 && rng.chance(0.6);
    c.threads = static_cast<int>(rng.between(1, 3));
    c.lhs_at_end = rng.chance(0.5);
    c.rhs_at_end = rng.chance(0.5);
    c.out_at_end = rng.chance(0.5);
    std::int64_t largest = std::max({c.lhs.count(), c.rhs.count(), c.out.count()});
    if (terms_of(c) <= (large ? kMostLarge : kMostTerms) && static_cast<std::size_t>(largest) * size_of(c.dtype) <= kRoom) return c;
  }
}

template <class T>
void fill_randomly(void* to, std::int64_t count, Rng& rng) {
  for (std::int64_t i = 0; i < count; ++i) {
    double x = rng.chance(0.05) ? 0 : rng.uniform() * 2 - 1;
    if constexpr (std::same_as<T, float16>) {
      static_cast<T*>(to)[i] = to_float16(x);
    } else if constexpr (std::same_as<T, bfloat16>) {
      static_cast<T*>(to)[i] = to_bfloat16(x);
    } else if constexpr (std::is_integral_v<T>) {
      static_cast<T*>(to)[i] = static_cast<T>(rng.between(std::same_as<T, std::uint8_t> ? 0 : -100, 100));
    } else {
      static_cast<T*>(to)[i] = static_cast<T>(x);
    }
  }
}

template <class T>
auto widen(T x) {
  if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>) {
    return to_float(x);
  } else {
    return x;
  }
}

/// The three ways to compute one element.
template <class T>
struct Sums {
  using Wide = decltype(widen(T{}));
  Wide in_order{};
  double exact = 0, magnitude = 0, terms = 0;

  void add(T a, T b) {
    Wide x = widen(a), y = widen(b);
    if constexpr (std::is_integral_v<T>) {
      in_order = static_cast<T>(static_cast<std::uint64_t>(in_order) + static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(y));
    } else {
      static const bool fused = current_target().has_fma();
      in_order = fused ? std::fma(x, y, in_order) : x * y + in_order;
      double product = static_cast<double>(x) * static_cast<double>(y);
      exact += product;
      magnitude += std::abs(product);
      terms += 1;
    }
  }
};

/// Loops over one label: how an iteration moves in each tensor.
struct Loop {
  std::int64_t extent = 1, lhs = 0, rhs = 0, out = 0;
  int window = -1;
};

/// The definition, term by term. Calls done(out index, sums) for each element.
template <class T, class F>
void evaluate(const RandomCase& c, const T* lhs, const T* rhs, const F& done) {
  auto strides = [](const Shape& shape) {
    std::vector<std::int64_t> s(static_cast<std::size_t>(shape.rank()), 1);
    for (int i = shape.rank() - 1; i-- > 0;)
      s[static_cast<std::size_t>(i)] = s[static_cast<std::size_t>(i) + 1] * static_cast<std::int64_t>(shape[i + 1]);
    return s;
  };
  std::vector<std::int64_t> ls = strides(c.lhs), rs = strides(c.rhs), os = strides(c.out);
  auto stride = [](const std::string& labels, const std::vector<std::int64_t>& s, char label) {
    std::size_t at = labels.find(label);
    return at == std::string::npos ? 0 : s[at];
  };
  auto make_loop = [&](char label, bool depth) {
    Loop loop{.lhs = stride(c.view.lhs, ls, label), .rhs = stride(c.view.rhs, rs, label), .out = depth ? 0 : stride(c.view.out, os, label)};
    std::size_t window = c.view.window.find(label);
    if (window != std::string::npos) {
      loop.window = static_cast<int>(window);
      loop.lhs = 0;
      if (!depth) loop.rhs = 0;
    }
    const Shape& shape = depth ? c.rhs : c.out;
    loop.extent = shape[static_cast<int>((depth ? c.view.rhs : c.view.out).find(label))];
    return loop;
  };
  std::vector<Loop> place, terms;
  for (char label : c.view.out) place.push_back(make_loop(label, false));
  for (char label : c.view.order) terms.push_back(make_loop(label, true));
  std::int64_t lhs_stride[4] = {}, lhs_extent[4] = {};
  for (std::size_t w = 0; w < c.view.window.size(); ++w) {
    lhs_stride[w] = stride(c.view.lhs, ls, c.view.window[w]);
    lhs_extent[w] = c.lhs[static_cast<int>(c.view.lhs.find(c.view.window[w]))];
  }
  auto each = [](const std::vector<Loop>& loops, const auto& body) {
    for (const Loop& loop : loops) {
      if (loop.extent == 0) return;
    }
    std::vector<std::int64_t> digits(loops.size(), 0);
    while (true) {
      body(digits);
      std::size_t i = loops.size();
      while (i > 0 && ++digits[i - 1] == loops[i - 1].extent) digits[--i] = 0;
      if (i == 0) return;
    }
  };
  each(place, [&](const std::vector<std::int64_t>& at) {
    std::int64_t l0 = 0, r0 = 0, o0 = 0, start[4] = {};
    for (std::size_t i = 0; i < place.size(); ++i) {
      l0 += at[i] * place[i].lhs;
      r0 += at[i] * place[i].rhs;
      o0 += at[i] * place[i].out;
      if (place[i].window >= 0) {
        const ops::ContractWindow& w = c.view.windows[static_cast<std::size_t>(place[i].window)];
        start[place[i].window] = at[i] * w.stride - w.padding_low;
      }
    }
    Sums<T> sums;
    each(terms, [&](const std::vector<std::int64_t>& term) {
      std::int64_t l = l0, r = r0;
      for (std::size_t i = 0; i < terms.size(); ++i) {
        int window = terms[i].window;
        std::int64_t k = term[i];
        if (window >= 0) {
          const ops::ContractWindow& w = c.view.windows[static_cast<std::size_t>(window)];
          std::int64_t position = start[window] + k * w.rhs_dilation;
          if (position < 0 || position % w.lhs_dilation != 0 || position / w.lhs_dilation >= lhs_extent[window]) return;
          l += position / w.lhs_dilation * lhs_stride[window];
          if (w.reverse) k = terms[i].extent - 1 - k;
        }
        l += k * terms[i].lhs;
        r += k * terms[i].rhs;
      }
      sums.add(lhs[l], rhs[r]);
    });
    done(o0, sums);
  });
}

/// "" if `got` is right.
template <class T>
std::string mistake(std::int64_t index, const Sums<T>& sums, T got, bool relaxed) {
  T expected;
  if constexpr (std::same_as<T, float16>) {
    expected = to_float16(sums.in_order);
  } else if constexpr (std::same_as<T, bfloat16>) {
    expected = to_bfloat16(sums.in_order);
  } else {
    expected = sums.in_order;
  }
  DType dtype = dtype_of<T>();
  bool close = true;
  if constexpr (!std::is_integral_v<T>) {
    double value = static_cast<double>(widen(got));
    double bound = (sums.terms * accumulator_roundoff(dtype) * sums.magnitude + unit_roundoff(dtype) * std::abs(sums.exact)) * 1.01;
    close = std::abs(value - sums.exact) <= bound + smallest(dtype);
  }
  if (close && (relaxed || std::memcmp(&expected, &got, sizeof(T)) == 0)) return "";
  auto text = [](T x) { return std::to_string(static_cast<double>(widen(x))); };
  return "element " + std::to_string(index) + ": " + text(got) + " instead of " + text(expected);
}

template <class T>
std::string run_case(const RandomCase& c, Rng& rng) {
  static FencedMemory lhs_memory, rhs_memory, out_memory;
  auto bytes = [](const Shape& shape) { return static_cast<std::size_t>(shape.count()) * sizeof(T); };
  T* lhs = reinterpret_cast<T*>(lhs_memory.place(bytes(c.lhs), c.lhs_at_end));
  T* rhs = reinterpret_cast<T*>(rhs_memory.place(bytes(c.rhs), c.rhs_at_end));
  T* out = reinterpret_cast<T*>(out_memory.place(bytes(c.out), c.out_at_end));
  fill_randomly<T>(lhs, c.lhs.count(), rng);
  fill_randomly<T>(rhs, c.rhs.count(), rng);
  std::memset(static_cast<void*>(out), 0xFF, bytes(c.out));
  set_num_threads(c.threads);
  Contraction problem = c.view.lower(c.dtype, c.lhs.sizes(), c.rhs.sizes(), c.out.sizes());
  problem.relaxed = c.relaxed;
  ops::run_contraction({.problem = &problem, .lhs = lhs, .rhs = rhs, .out = out});
  std::string first;
  std::int64_t elements = 0;
  evaluate<T>(c, lhs, rhs, [&](std::int64_t index, const Sums<T>& sums) {
    ++elements;
    if (first.empty()) first = mistake<T>(index, sums, out[index], c.relaxed);
  });
  return elements == c.out.count() ? first : "the test visits " + std::to_string(elements) + " elements";
}

/// Runs `count` cases; returns how many went wrong.
int fuzz(std::int64_t seed, std::int64_t count) {
  int wrong = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(number_from("KILN_FUZZ_SECONDS", 1'000'000));
  for (std::int64_t i = seed; i < seed + count && wrong < 5 && std::chrono::steady_clock::now() < end; ++i) {
    Rng rng(static_cast<std::uint64_t>(i));
    RandomCase c = random_case(rng);
    std::string found;
    visit_dtype(c.dtype, [&]<class T>(std::type_identity<T>) {
      if constexpr (!std::same_as<T, bool>) found = run_case<T>(c, rng);
    });
    if (found.empty()) continue;
    ++wrong;
    std::fprintf(stderr, "%s\n  %s\n  again: KILN_FUZZ_SEED=%lld KILN_FUZZ_COUNT=1 ops_contract_fuzz\n", c.str().c_str(), found.c_str(),
                 static_cast<long long>(i));
  }
  set_num_threads(1);
  return wrong;
}

}  // namespace

TEST_CASE("random contractions have the bits of the canonical order") {
  CHECK(fuzz(number_from("KILN_FUZZ_SEED", 1), number_from("KILN_FUZZ_COUNT", 3000)) == 0);
}

TEST_CASE("random contractions of one target", "[.]") {
  std::printf("digest %d\n", fuzz(number_from("KILN_FUZZ_SEED", 1), std::max<std::int64_t>(1, number_from("KILN_FUZZ_COUNT", 3000) / 4)));
}

TEST_CASE("random contractions are right on the other targets") {
  for (const char* target : {"avx2", "baseline"}) {
    std::string result = run_with_target(target, "random contractions of one target");
    if (!result.empty() || std::string(target) == "baseline") CHECK(result == "digest 0\n");
  }
}
