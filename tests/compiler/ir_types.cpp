// Types, attributes and places between the graph and the dialect; what import keeps and export gives back.
#include "ir/types.h"

#include <kiln/error.h>

#include "base/require.h"
#include "graph/graph.h"
#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/import.h"
#include "tests/catch.h"

namespace kiln::ir {
namespace {

std::string print(mlir::Type type) {
  std::string text;
  llvm::raw_string_ostream out(text);
  type.print(out);
  return text;
}

Literal make_literal(TensorType type, std::vector<std::byte> bytes, bool splat = false) {
  return {type, splat, std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
}

}  // namespace

TEST_CASE("every dtype has an element type of its own") {
  const auto context = make_context();
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    CHECK(find_dtype(element_type(context.get(), dtype)) == dtype);
  }
  CHECK_FALSE(find_dtype(mlir::IntegerType::get(context.get(), 16)).has_value());
}

TEST_CASE("symbolic lengths are an encoding") {
  const auto context = make_context();
  const Dim batch = Dim::symbol("batch");
  const TensorType type{DType::float32, {batch, 784, batch * 4 + 1, max(batch, Dim::symbol("other"))}};
  const mlir::RankedTensorType converted = tensor_type(context.get(), type);
  CHECK(print(converted).starts_with("tensor<?x784x?x?xf32, \"batch, 784, "));
  CHECK(find_tensor_type(converted) == type);
  const TensorType fixed{DType::boolean, {2, 0}};
  CHECK(print(tensor_type(context.get(), fixed)) == "tensor<2x0xi1>");
  CHECK(find_tensor_type(tensor_type(context.get(), fixed)) == fixed);
}

TEST_CASE("types that are not ours are refused") {
  const auto context = make_context();
  const auto f32 = element_type(context.get(), DType::float32);
  const auto with = [&](llvm::ArrayRef<std::int64_t> sizes, const char* encoding) {
    return mlir::RankedTensorType::get(sizes, f32,
                                       encoding == nullptr ? mlir::Attribute() : mlir::StringAttr::get(context.get(), encoding));
  };
  const std::int64_t any = mlir::ShapedType::kDynamic;
  CHECK_FALSE(find_tensor_type(with({any}, nullptr)).has_value());
  CHECK_FALSE(find_tensor_type(with({any}, "a, b")).has_value());
  CHECK_FALSE(find_tensor_type(with({any}, "4")).has_value());
  CHECK_FALSE(find_tensor_type(with({4}, "5")).has_value());
  CHECK_FALSE(find_tensor_type(with({any}, "a +")).has_value());
  CHECK_FALSE(find_tensor_type(with({any}, "")).has_value());
  CHECK_FALSE(find_tensor_type(with({1, 1, 1, 1, 1, 1, 1, 1, 1}, nullptr)).has_value());
  CHECK_FALSE(find_tensor_type(f32).has_value());
  CHECK(find_tensor_type(with({any}, "a")).has_value());
}

TEST_CASE("literals keep their bytes") {
  const auto context = make_context();
  const auto round_trip = [&](const Literal& value) { return literal(elements(context.get(), value)); };
  const Literal bools = make_literal({DType::boolean, {9}}, {std::byte{1}, {}, {}, std::byte{1}, {}, {}, {}, {}, std::byte{1}});
  CHECK(round_trip(bools) == bools);
  const Literal splat = make_literal({DType::int32, {1000, 1000}}, {std::byte{7}, {}, {}, std::byte{0x80}}, true);
  CHECK(round_trip(splat) == splat);
  const Literal true_splat = make_literal({DType::boolean, {64}}, {std::byte{1}}, true);
  CHECK(round_trip(true_splat) == true_splat);
  const Literal nans = make_literal({DType::float16, {2}}, {std::byte{1}, std::byte{0x7e}, std::byte{2}, std::byte{0xfe}});
  CHECK(round_trip(nans) == nans);
  const Literal empty = make_literal({DType::float64, {3, 0}}, {});
  CHECK(round_trip(empty) == empty);
}

TEST_CASE("places survive, the innermost file first") {
  const auto context = make_context();
  const Loc loc{"a.cpp", 12};
  const mlir::Location place = location(context.get(), loc);
  CHECK(std::string(source_line(place).file) == "a.cpp");
  CHECK(source_line(place).line == 12);
  CHECK(source_line(mlir::NameLoc::get(mlir::StringAttr::get(context.get(), "x"), place)).line == 12);
  CHECK_FALSE(source_line(mlir::UnknownLoc::get(context.get())).known());
  CHECK(mlir::isa<mlir::UnknownLoc>(location(context.get(), Loc{})));
}

TEST_CASE("a graph with state comes back") {
  graph::Graph graph("step");
  const TensorType type{DType::float32, {Dim::symbol("n"), 4}};
  const auto x = graph.add_parameter({graph::ParameterKind::argument, "x", 0}, type, {"m.cpp", 3});
  const auto w = graph.add_parameter({graph::ParameterKind::variable, "fc \"1\"/kernel", 77}, type, {"m.cpp", 4});
  const auto sum = graph.add(ops::op("add"), {x, w}, {}, {"m.cpp", 5});
  const auto total = graph.add(ops::op("reduce"), {sum}, {{"kind", std::string("add")}, {"axes", Ints{0, 1}}}, {"m.cpp", 6});
  graph.add_result(total);
  graph.add_result(x);
  graph.add_state_write({1, sum});
  const auto context = make_context();
  const auto module = import_graph(*context, graph);
  const graph::Graph back = export_graph(only_function(*module));
  CHECK(back.text() == graph.text());
  CHECK(back.hash() == graph.hash());
  CHECK(back.parameters()[1].name == "fc \"1\"/kernel");
  CHECK(back.node(total).loc.line == 6);
  // What graph prints is what the dialect parses.
  const auto parsed = parse_module(*context, graph.text());
  CHECK(export_graph(only_function(*parsed)).text() == graph.text());
}

TEST_CASE("text that is no program is an error with a line") {
  const auto context = make_context();
  try {
    parse_module(*context, "func.func @f() {\n  kiln.frobnicate\n}");
    FAIL("parsed");
  } catch (const CompileError& error) {
    CHECK(error.message().find("this is not a program of the kiln dialect") == 0);
    CHECK(error.message().find(":2:") != std::string::npos);
  }
}

TEST_CASE("building an op infers its type, and throws what the vocabulary throws") {
  const auto context = make_context();
  mlir::OpBuilder builder(context.get());
  mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(builder, builder.getUnknownLoc());
  builder.setInsertionPointToEnd(module->getBody());
  const mlir::Value a =
      create(builder, builder.getUnknownLoc(), "iota", {}, {{"axis", std::int64_t{0}}, {"dtype", DType::float32}, {"shape", Shape{2, 3}}});
  CHECK(print(create(builder, builder.getUnknownLoc(), "transpose", a, {{"perm", Ints{1, 0}}}).getType()) == "tensor<3x2xf32>");
  CHECK_THROWS_AS(create(builder, builder.getUnknownLoc(), "reshape", a, {{"shape", Shape{7}}}), ShapeError);
  CHECK(attrs_of(a.getDefiningOp()).get<Shape>("shape") == Shape{2, 3});
  CHECK(attrs_of(a.getDefiningOp()).get<DType>("dtype") == DType::float32);
}

}  // namespace kiln::ir
