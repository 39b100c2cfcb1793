// Reductions: every kind, dtype and choice of axes, around the lanes and the blocks; fused producers and consumers; any partition.
#include "codegen_support.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

using Sizes = std::vector<std::int64_t>;

void check_reduce(const Sizes& shape, const Ints& axes, const char* kind, DType t, bool constant = false, bool fused = false) {
  CAPTURE(Shape(shape).str(), axes, kind, name(t), constant, fused);
  SpecBuilder s(KernelKind::reduce, constant);
  int x = s.input(t, shape);
  if (fused) x = s.op("mul", {x, x});
  const int root = s.op("reduce", {x}, {{"kind", std::string(kind)}, {"axes", axes}});
  s.root(root);
  s.output(root);
  if (fused) s.output(s.op("neg", {root}));
  check_against_eager(s, 11, is_floating(t) ? std::string(kind) != "add" : true);
}

/// Several reductions of different kinds and operands side by side, with consumers that read more than one.
void check_siblings(const Sizes& shape, const Ints& axes, DType t, int how_many, bool special = true) {
  CAPTURE(Shape(shape).str(), axes, name(t), how_many, special);
  SpecBuilder s(KernelKind::reduce);
  const int x = s.input(t, shape), y = s.input(t, shape), z = s.input(DType::uint8, shape);
  const std::pair<const char*, int> all[] = {{"add", s.op("mul", {x, y})}, {"add", x}, {"max", y}, {"min", z}};
  std::vector<int> roots;
  for (int i = 0; i < how_many; ++i)
    roots.push_back(s.op("reduce", {all[i].second}, {{"kind", std::string(all[i].first)}, {"axes", axes}}));
  s.root(roots[0]).output(s.op("sub", {roots[1], roots[0]}));
  for (int root : roots) s.output(root);
  check_against_eager(s, 17, special);
}

}  // namespace

TEST_CASE("several reductions in one kernel") {
  for (const int how_many : {2, 3, 4}) {
    for (const std::int64_t n : {0, 1, 3, 65, 4097}) {
      check_siblings({n, 37}, {0}, DType::float32, how_many);
      check_siblings({5, n}, {1}, DType::float32, how_many);
      check_siblings({n}, {0}, DType::float32, how_many);
    }
    check_siblings({11, 1300}, {0}, DType::float32, how_many, false);
    check_siblings({4096 * 66 + 5, 3}, {0}, DType::float32, how_many, false);
    check_siblings({3, 17, 4, 19}, {0, 2}, DType::float64, how_many);
    check_siblings({3, 17, 4, 19}, {1, 3}, DType::float16, how_many);
    check_siblings({70001}, {0}, DType::int32, how_many);
  }
}

TEST_CASE("rows of every length") {
  for (const std::int64_t n : {0, 1, 2, 3, 7, 15, 16, 17, 63, 64, 65, 127, 129, 1000, 4095, 4096, 4097, 8193, 12345}) {
    check_reduce({5, n}, {1}, "add", DType::float32);
    if (n <= 65) check_reduce({5, n}, {1}, "add", DType::float32, true);
  }
}

TEST_CASE("columns of every length") {
  for (const std::int64_t n : {0, 1, 2, 3, 4, 5, 7, 64, 65, 4095, 4096, 4097, 8193}) {
    for (const std::int64_t columns : {1, 5, 16, 37}) check_reduce({n, columns}, {0}, "add", DType::float32);
  }
  check_reduce({9, 1300}, {0}, "add", DType::float32);
  check_reduce({20, 4500, 3}, {1}, "add", DType::float32);       // more strips than threads
  check_reduce({4096 * 70 + 5, 3}, {0}, "add", DType::float32);  // more blocks than are collected at once
}

TEST_CASE("everything to one number") {
  for (const std::int64_t n : {0, 1, 5, 64, 4096, 4097, 70001}) check_reduce({n}, {0}, "add", DType::float32);
  check_reduce({37, 211}, {0, 1}, "add", DType::float32, false, true);
}

TEST_CASE("every pattern of axes") {
  const Sizes shape = {3, 5, 4, 19};
  for (int bits = 1; bits < 16; ++bits) {
    Ints axes;
    for (int axis = 0; axis < 4; ++axis) {
      if ((bits >> axis & 1) != 0) axes.push_back(axis);
    }
    check_reduce(shape, axes, "add", DType::float32);
    check_reduce(shape, axes, "max", DType::float32, false, true);
    check_reduce(shape, axes, "mul", DType::float64);
  }
  check_reduce({50, 3, 100}, {0, 2}, "add", DType::float32, false, true);
}

TEST_CASE("every kind and dtype") {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto t = static_cast<DType>(i);
    const std::vector<const char*> kinds =
        t == DType::boolean ? std::vector<const char*>{"and", "or"} : std::vector<const char*>{"add", "mul", "max", "min"};
    for (const char* kind : kinds) {
      check_reduce({7, 333}, {1}, kind, t);
      check_reduce({333, 21}, {0}, kind, t);
      check_reduce({5003}, {0}, kind, t);
    }
  }
}

TEST_CASE("more blocks than one level holds") {
  const std::int64_t n = std::int64_t{4096} * 4096 + 5000;
  check_reduce({n}, {0}, "add", DType::uint8);
  check_reduce({1, n}, {1}, "max", DType::int8);
}

TEST_CASE("consumers of a reduction") {
  SpecBuilder s(KernelKind::reduce);
  const int x = s.input(DType::float32, {13, 100}), b = s.input(DType::float32, {13}), c = s.input(DType::float32, {});
  const int root = s.op("reduce", {s.op("abs", {x})}, {{"kind", std::string("add")}, {"axes", Ints{1}}});
  const int scaled = s.op("mul", {root, s.op("broadcast", {c}, {{"shape", Shape{13}}, {"dims", Ints{}}})});
  s.root(root).output(s.op("sub", {b, scaled})).output(scaled).alias(0, 1);
  check_against_eager(s);
}

TEST_CASE("arg_reduce") {
  for (const char* kind : {"max", "min"}) {
    for (const DType t : {DType::float32, DType::float64, DType::float16, DType::int32, DType::uint8, DType::boolean}) {
      for (const std::int64_t n : {1, 2, 15, 16, 17, 100, 1001}) {
        for (const int axis : {0, 1, 2}) {
          CAPTURE(kind, name(t), n, axis);
          Sizes shape = {3, 4, 5};
          shape[static_cast<std::size_t>(axis)] = n;
          SpecBuilder s(KernelKind::reduce);
          const int root = s.op("arg_reduce", {s.input(t, shape)}, {{"kind", std::string(kind)}, {"axis", std::int64_t{axis}}});
          s.root(root).output(root);
          check_against_eager(s);
        }
      }
    }
  }
}
