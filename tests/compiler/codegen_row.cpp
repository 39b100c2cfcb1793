// Row kernels: softmax, normalization and their gradients in one pass over memory give the eager kernels' bits, whatever the length of a
// row; and what a row kernel computes twice or keeps.
#include "codegen/row_plan.h"
#include "codegen_support.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

using Sizes = std::vector<std::int64_t>;

int row_reduce(SpecBuilder& s, const char* kind, int x) {
  const std::int64_t last = s.type(x).shape.rank() - 1;
  const int n = s.op("reduce", {x}, {{"kind", std::string(kind)}, {"axes", Ints{last}}});
  if (s.spec().root < 0) s.root(n);
  return n;
}

/// One value a row, for all elements of the row.
int spread(SpecBuilder& s, int row, int like) {
  Ints dims;
  for (int axis = 0; axis < s.type(row).shape.rank(); ++axis) dims.push_back(axis);
  return s.op("broadcast", {row}, {{"shape", s.type(like).shape}, {"dims", dims}});
}

int softmax(SpecBuilder& s, int x) {
  const int e = s.op("exp", {s.op("sub", {x, spread(s, row_reduce(s, "max", x), x)})});
  return s.op("div", {e, spread(s, row_reduce(s, "add", e), x)});
}

SpecBuilder softmax_spec(DType t, const Sizes& shape) {
  SpecBuilder s(KernelKind::row, true);
  s.output(softmax(s, s.input(t, shape)));
  return s;
}

/// x - mean, scaled by the mean square; also gives what each row has in common.
void normalize(SpecBuilder& s, int x, int gain, bool row_outputs) {
  const int sum = row_reduce(s, "add", x);
  const int centered = s.op("sub", {x, spread(s, sum, x)});
  const int squares = row_reduce(s, "add", s.op("square", {centered}));
  const int scale = s.op("rsqrt", {s.op("abs", {squares})});
  const int g = s.op("broadcast", {gain}, {{"shape", s.type(x).shape}, {"dims", Ints{s.type(x).shape.rank() - 1}}});
  s.output(s.op("mul", {s.op("mul", {centered, spread(s, scale, x)}), g}));
  if (row_outputs) s.output(sum).output(scale);
}

}  // namespace

TEST_CASE("softmax of rows of every length") {
  for (const std::int64_t n : {2, 3, 7, 15, 16, 17, 63, 64, 65, 100, 128, 1000, 1024, 4095, 4096, 4097, 9000}) {
    CAPTURE(n);
    check_against_eager(softmax_spec(DType::float32, {5, n}));
  }
}

TEST_CASE("softmax of every float type, and of more axes") {
  for (const DType t : {DType::float16, DType::bfloat16, DType::float64}) {
    CAPTURE(name(t));
    check_against_eager(softmax_spec(t, {7, 200}));
  }
  check_against_eager(softmax_spec(DType::float32, {3, 4, 5, 33}));
  check_against_eager(softmax_spec(DType::float32, {70}));
}

TEST_CASE("normalization with outputs of both sizes") {
  for (const std::int64_t n : {5, 64, 300, 5000}) {
    for (const bool row_outputs : {false, true}) {
      CAPTURE(n, row_outputs);
      SpecBuilder s(KernelKind::row, true);
      const int x = s.input(DType::float32, {9, n}), gain = s.input(DType::float32, {n});
      normalize(s, x, gain, row_outputs);
      check_against_eager(s, 1, false);
    }
  }
}

TEST_CASE("several reductions of one row, and outputs that are one a row only") {
  SpecBuilder s(KernelKind::row, true);
  const int x = s.input(DType::float32, {21, 130}), y = s.input(DType::float32, {21, 130});
  const int p = s.op("tanh", {s.op("mul", {x, y})});
  const int a = row_reduce(s, "add", p), b = row_reduce(s, "min", s.op("mul", {p, spread(s, a, x)})), c = row_reduce(s, "max", p);
  s.output(s.op("add", {s.op("mul", {a, b}), c})).output(b);
  check_against_eager(s, 1, false);
}

TEST_CASE("conditions may be kept between passes too") {
  SpecBuilder s(KernelKind::row, true);
  const int x = s.input(DType::float32, {6, 77});
  const int big = s.op("greater", {s.op("exp", {x}), s.op("tanh", {x})});
  const int top = row_reduce(s, "max", s.op("where", {big, x, s.op("neg", {x})}));
  s.output(s.op("where", {big, spread(s, top, x), x}));
  check_against_eager(s);
}

TEST_CASE("an expensive value is kept, a cheap one computed again") {
  const SpecBuilder s = softmax_spec(DType::float32, {4, 100});
  const codegen::RowPlan plan = codegen::plan_rows(s.spec(), 4);
  REQUIRE(plan.passes.size() == 3);
  CHECK(plan.passes[0].saved.empty());
  REQUIRE(plan.passes[1].saved.size() == 1);
  CHECK(s.spec().body[static_cast<std::size_t>(plan.passes[1].saved[0])].op == "exp");
  CHECK(codegen::plan_rows(s.spec(), 0).passes[1].saved.empty());
}
