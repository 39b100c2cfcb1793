// Shape rules of the structural ops: symbolic lengths, and the exact text of what they throw.
#include <kiln/error.h>

#include "ops/composite.h"
#include "ops/structural.h"
#include "tests/catch.h"

using namespace kiln;

namespace {

TensorType infer(const char* name, std::vector<TensorType> operands, Attrs attrs) {
  const ops::OpDef& op = ops::op(name);
  return op.infer(op, operands, attrs);
}

const DType f32 = DType::float32;

template <class E, class F>
std::string thrown(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.message();
  }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("symbolic lengths pass through shape rules") {
  Dim n = Dim::symbol("n");
  CHECK(infer("reduce", {{f32, {n, 3, 4}}}, {{"kind", "add"}, {"axes", Ints{1}}}).shape == Shape{n, 4});
  CHECK(infer("contract", {{f32, {n, 784}}, {f32, {784, 10}}}, ops::ContractView::make("mk,kn->mn").attrs()).shape == Shape{n, 10});
  CHECK(infer("reshape", {{f32, {n, 2, 3}}}, {{"shape", Shape{n, 6}}}).shape == Shape{n, 6});
  CHECK(infer("transpose", {{f32, {n, 2}}}, {{"perm", Ints{1, 0}}}).shape == Shape{2, n});
  CHECK(infer("concat", {{f32, {n, 2}}, {f32, {3, 2}}}, {{"axis", std::int64_t{0}}}).shape == Shape{n + 3, 2});
  CHECK(infer("pad", {{f32, {n}}, {f32, {}}}, {{"low", Ints{1}}, {"high", Ints{2}}, {"interior", Ints{0}}}).shape == Shape{n + 3});
  CHECK(infer("slice", {{f32, {n, 8}}}, {{"start", Ints{0, 6}}, {"limit", Ints{ops::kSliceEnd, -1}}, {"step", Ints{1, -3}}}).shape ==
        Shape{n, 3});
  CHECK(infer("gather", {{f32, {n, 5}}, {DType::int32, {7, 2}}}, {{"axis", std::int64_t{1}}}).shape == Shape{n, 7, 2});
  ops::ContractView conv = ops::ContractView::make("nyxc,yxco->nyxo", "yx", "yxc");
  for (ops::ContractWindow& w : conv.windows) w.padding_low = w.padding_high = 1;
  Shape image{n, 28, 28, 1}, filters{3, 3, 1, 32};
  Shape result = infer("contract", {{f32, image}, {f32, filters}}, conv.attrs()).shape;
  CHECK(result == Shape{n, 28, 28, 32});
  CHECK(conv.gradient_lhs(image, filters, result).result_shape(result, filters) == image);
  CHECK(conv.gradient_rhs(image, filters, result).result_shape(image, result) == filters);
  // With stride 1 the height may be symbolic too, gradients included.
  Shape tall{n, Dim::symbol("h"), 28, 1};
  Shape tall_result = conv.result_shape(tall, filters);
  CHECK(tall_result == Shape{n, Dim::symbol("h"), 28, 32});
  CHECK(conv.gradient_lhs(tall, filters, tall_result).result_shape(tall_result, filters) == tall);
}

TEST_CASE("mistakes are named exactly") {
  CHECK(thrown<ShapeError>([] { ops::detail::plan_matmul({32, 784}, {785, 128}); }) ==
        "matmul: inner dimensions differ: [32, 784] x [785, 128] (784 and 785); transpose or reshape an operand");
  CHECK(thrown<ShapeError>([] { ops::detail::plan_matmul({2, 3, 4}, {5, 4, 6}); }) ==
        "matmul: batch dimensions differ: [2, 3, 4] x [5, 4, 6] (2 and 5); make them equal or 1");
  CHECK(thrown<ShapeError>([] { infer("contract", {{f32, {2, 3}}, {f32, {4, 5}}}, ops::ContractView::make("mk,kn->mn").attrs()); }) ==
        "contract: lengths of 'k' in \"mk,kn->mn\" differ: 3 in the left operand [2, 3], 4 in the right operand [4, 5]; make them equal");
  CHECK(thrown<DTypeError>([] {
          infer("contract", {{f32, {2, 3}}, {DType::float64, {3, 5}}}, ops::ContractView::make("mk,kn->mn").attrs());
        }) == "contract: operands are float32 and float64; cast() one of them");
  CHECK(thrown<ValueError>([] { ops::ContractView::make("mk,kn"); }) == "contract: \"mk,kn\" is no equation; write it like \"mk,kn->mn\"");
  CHECK(thrown<ValueError>([] { ops::ContractView::make("mm,mn->mn"); }) ==
        "contract: label 'm' appears twice in \"mm\" of \"mm,mn->mn\"; take the diagonal first");
  CHECK(thrown<ValueError>([] { ops::ContractView::make("mk,n->mn"); }) ==
        "contract: label 'k' appears in one tensor of \"mk,n->mn\" only; reduce or broadcast it first");
  CHECK(thrown<ShapeError>([] { infer("reduce", {{f32, {2, 3}}}, {{"kind", "add"}, {"axes", Ints{2}}}); }) ==
        "reduce: axis 2 is out of range for shape [2, 3] of rank 2");
  CHECK(thrown<DTypeError>([] { infer("reduce", {{DType::boolean, {2}}}, {{"kind", "add"}, {"axes", Ints{0}}}); }) ==
        "reduce: needs numbers, but the operand is bool; cast() it first");
  CHECK(thrown<ShapeError>([] { infer("arg_reduce", {{f32, {2, 0}}}, {{"kind", "max"}, {"axis", std::int64_t{1}}}); }) ==
        "arg_reduce: axis 1 of shape [2, 0] is empty: it has no extreme");
  CHECK(thrown<ShapeError>([] { infer("reshape", {{f32, {2, 3}}}, {{"shape", Shape{4}}}); }) ==
        "reshape: cannot view shape [2, 3] (6 elements) as [4] (4 elements)");
  CHECK(thrown<ShapeError>([] { infer("broadcast", {{f32, {2, 3}}}, {{"shape", Shape{2, 4}}, {"dims", Ints{0, 1}}}); }) ==
        "broadcast: cannot broadcast shape [2, 3] to [2, 4]: axis 1 has length 3, which is neither 1 nor 4");
  CHECK(thrown<ShapeError>([] { infer("concat", {{f32, {2, 3}}, {f32, {2, 4}}}, {{"axis", std::int64_t{0}}}); }) ==
        "concat: shapes [2, 3] and [2, 4] differ elsewhere than along axis 0");
  CHECK(thrown<ShapeError>([] { infer("slice", {{f32, {4}}}, {{"start", Ints{2}}, {"limit", Ints{6}}, {"step", Ints{1}}}); }) ==
        "slice: elements 2 to 5 of axis 0 lie outside shape [4]");
  CHECK(thrown<ShapeError>([] { infer("pad", {{f32, {2}}, {f32, {}}}, {{"low", Ints{-2}}, {"high", Ints{-1}}, {"interior", Ints{0}}}); }) ==
        "pad: cropping axis 0 of shape [2] by -2 and -1 leaves a negative length");
  CHECK(thrown<DTypeError>([] { infer("gather", {{f32, {2}}, {f32, {1}}}, {{"axis", std::int64_t{0}}}); }) ==
        "gather: indices must be int32 or int64, but they are float32; cast() them");
  CHECK(thrown<ShapeError>([] { ops::detail::plan_conv2d({1, 4, 4, 3}, {5, 5, 3, 8}, {}); }) ==
        "conv2d: filters [5, 5, 3, 8] with dilation 1 are larger than the images [1, 4, 4, 3]; use padding Same or smaller filters");
  CHECK(
      thrown<ShapeError>([] { ops::detail::plan_conv2d({1, 4, 4, 3}, {3, 3, 4, 8}, {}); }) ==
      "conv2d: images [1, 4, 4, 3] have 3 channels, but filters [3, 3, 4, 8] in 1 group(s) take 4 (and outputs must divide by the groups)");
  CHECK(thrown<ShapeError>([] { ops::normalize_axis("sum", -3, 2); }) ==
        "sum: axis -3 is out of range for a tensor of rank 2; use -2 to 1");
  CHECK(thrown<ShapeError>([] { ops::normalize_axes("sum", {1, -1}, 2); }) == "sum: axis 1 is given twice");
}

TEST_CASE("a constant must bring all its bytes") {
  Literal literal = ops::scalar_literal(f32, 1);
  CHECK(infer("constant", {}, {{"value", literal}}).shape == Shape{});
  literal.type.shape = Shape{1000};
  literal.splat = false;
  CHECK_THROWS_AS(infer("constant", {}, {{"value", literal}}), ValueError);
  literal.splat = true;
  CHECK(infer("constant", {}, {{"value", literal}}).shape == Shape{1000});
}

TEST_CASE("matmul plans: batches broadcast, vectors lose their axis") {
  CHECK(ops::detail::plan_matmul({2, 3}, {3, 4}).equation == "mk,kn->mn");
  CHECK(ops::detail::plan_matmul({3}, {3}).equation == "k,k->");
  CHECK(ops::detail::plan_matmul({7, 2, 3}, {3, 4}).equation == "amk,kn->amn");
  ops::detail::MatmulPlan plan = ops::detail::plan_matmul({5, 1, 2, 3}, {7, 3, 4});
  CHECK(plan.equation == "amk,bkn->abmn");
  CHECK(plan.lhs == Shape{5, 2, 3});
}

TEST_CASE("composites are listed with their docs") {
  bool softmax = false;
  for (const ops::CompositeInfo& c : ops::composites()) {
    CHECK(!c.doc.empty());
    softmax = softmax || c.name == "softmax";
  }
  CHECK(softmax);
}
