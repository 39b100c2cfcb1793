// Types and places between the graph and MLIR.
#include "ir/types.h"

#include <kiln/error.h>
#include <mlir/IR/BuiltinAttributes.h>

#include "base/require.h"

namespace kiln::ir {

mlir::Type element_type(mlir::MLIRContext* context, DType dtype) {
  switch (dtype) {
    case DType::boolean:
      return mlir::IntegerType::get(context, 1);
    case DType::uint8:
      return mlir::IntegerType::get(context, 8, mlir::IntegerType::Unsigned);
    case DType::int8:
      return mlir::IntegerType::get(context, 8);
    case DType::int32:
      return mlir::IntegerType::get(context, 32);
    case DType::int64:
      return mlir::IntegerType::get(context, 64);
    case DType::float16:
      return mlir::Float16Type::get(context);
    case DType::bfloat16:
      return mlir::BFloat16Type::get(context);
    case DType::float32:
      return mlir::Float32Type::get(context);
    case DType::float64:
      break;
  }
  return mlir::Float64Type::get(context);
}

std::optional<DType> find_dtype(mlir::Type element) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (element_type(element.getContext(), dtype) == element) return dtype;
  }
  return std::nullopt;
}

mlir::RankedTensorType tensor_type(mlir::MLIRContext* context, const TensorType& type) {
  llvm::SmallVector<std::int64_t, kMaxRank> sizes;
  for (const Dim d : type.shape) sizes.push_back(d.value_or(mlir::ShapedType::kDynamic));
  mlir::Attribute encoding;
  if (!type.shape.is_static()) {
    std::string text;
    for (const Dim d : type.shape) text += (text.empty() ? "" : ", ") + d.str();
    encoding = mlir::StringAttr::get(context, text);
  }
  return mlir::RankedTensorType::get(sizes, element_type(context, type.dtype), encoding);
}

namespace {

/// The lengths listed in an encoding; commas inside parentheses belong to a length ("max(a, b)").
std::optional<Shape> parse_lengths(llvm::StringRef text) {
  Shape shape;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ',';
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (c != ',' || (depth > 0 && i < text.size())) continue;
    if (shape.rank() == kMaxRank) return std::nullopt;
    try {
      shape.push_back(Dim::parse(std::string_view(text.slice(begin, i).trim())));
    } catch (const Error&) {
      return std::nullopt;
    }
    begin = i + 1;
  }
  return shape;
}

}  // namespace

std::optional<TensorType> find_tensor_type(mlir::Type type) {
  const auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
  if (!tensor || tensor.getRank() > kMaxRank) return std::nullopt;
  const std::optional<DType> dtype = find_dtype(tensor.getElementType());
  if (!dtype) return std::nullopt;
  TensorType result;
  result.dtype = *dtype;
  const auto encoding = llvm::dyn_cast_or_null<mlir::StringAttr>(tensor.getEncoding());
  if (!encoding) {
    if (!tensor.hasStaticShape() || tensor.getEncoding()) return std::nullopt;
    for (const std::int64_t size : tensor.getShape()) result.shape.push_back(size);
    return result;
  }
  const std::optional<Shape> lengths = parse_lengths(encoding.getValue());
  if (!lengths || lengths->rank() != tensor.getRank()) return std::nullopt;
  for (int i = 0; i < lengths->rank(); ++i) {
    if ((*lengths)[i].value_or(mlir::ShapedType::kDynamic) != tensor.getDimSize(i)) return std::nullopt;
  }
  result.shape = *lengths;
  return result;
}

TensorType tensor_type(mlir::Type type) {
  std::optional<TensorType> result = find_tensor_type(type);
  KILN_ASSERT(result.has_value(), "not a tensor type of the kiln dialect");
  return *result;
}

mlir::Location location(mlir::MLIRContext* context, Loc loc) {
  if (!loc.known()) return mlir::UnknownLoc::get(context);
  return mlir::FileLineColLoc::get(context, loc.file, static_cast<unsigned>(loc.line), 0);
}

Loc source_line(mlir::Location location) {
  Loc found;
  location->walk([&](mlir::Location inner) {
    const auto place = llvm::dyn_cast<mlir::FileLineColLoc>(inner);
    if (!place) return mlir::WalkResult::advance();
    found = {intern(std::string_view(place.getFilename().getValue())), static_cast<int>(place.getLine())};
    return mlir::WalkResult::interrupt();
  });
  return found;
}

}  // namespace kiln::ir
