// Attributes between the vocabulary and MLIR.
#include "ir/attributes.h"

#include <cstring>

#include "base/require.h"
#include "ir/dialect.h"
#include "ir/types.h"

namespace kiln::ir {

mlir::DenseElementsAttr elements(mlir::MLIRContext* context, const Literal& literal) {
  const mlir::RankedTensorType type = tensor_type(context, literal.type);
  const auto* data = reinterpret_cast<const char*>(literal.bytes->data());
  const std::size_t size = literal.bytes->size();
  if (literal.type.dtype != DType::boolean) {
    // An empty tensor has no element to be a splat of.
    if (type.getNumElements() == 0) return mlir::DenseElementsAttr::get(type, llvm::ArrayRef<mlir::Attribute>());
    return mlir::DenseElementsAttr::getFromRawBuffer(type, llvm::ArrayRef<char>(data, size));
  }
  llvm::SmallVector<bool> values;
  for (std::size_t i = 0; i < size; ++i) values.push_back(data[i] != 0);
  return mlir::DenseElementsAttr::get(type, llvm::ArrayRef<bool>(values));
}

Literal literal(mlir::DenseElementsAttr elements) {
  Literal result;
  result.type = tensor_type(elements.getType());
  result.splat = elements.isSplat() && elements.getNumElements() != 0;
  std::vector<std::byte> bytes;
  if (result.type.dtype == DType::boolean) {
    if (result.splat)
      bytes.push_back(static_cast<std::byte>(*elements.value_begin<bool>()));
    else
      for (const bool value : elements.getValues<bool>()) bytes.push_back(static_cast<std::byte>(value));
  } else if (elements.getNumElements() != 0) {
    const llvm::ArrayRef<char> raw = elements.getRawData();
    bytes.resize(raw.size());
    std::memcpy(bytes.data(), raw.data(), raw.size());
  }
  result.bytes = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  return result;
}

mlir::Attribute attribute(mlir::MLIRContext* context, const AttrValue& value) {
  mlir::Builder builder(context);
  if (const auto* number = std::get_if<std::int64_t>(&value)) return builder.getI64IntegerAttr(*number);
  if (const auto* number = std::get_if<double>(&value)) return builder.getF64FloatAttr(*number);
  if (const auto* text = std::get_if<std::string>(&value)) return builder.getStringAttr(*text);
  if (const auto* ints = std::get_if<Ints>(&value)) return builder.getDenseI64ArrayAttr(*ints);
  if (const auto* constant = std::get_if<Literal>(&value)) return elements(context, *constant);
  return {};
}

namespace {

AttrValue attr_value(mlir::Attribute attribute) {
  if (const auto number = llvm::dyn_cast<mlir::IntegerAttr>(attribute)) return number.getInt();
  if (const auto number = llvm::dyn_cast<mlir::FloatAttr>(attribute)) return number.getValueAsDouble();
  if (const auto text = llvm::dyn_cast<mlir::StringAttr>(attribute)) return text.str();
  if (const auto ints = llvm::dyn_cast<mlir::DenseI64ArrayAttr>(attribute)) return Ints(ints.asArrayRef().begin(), ints.asArrayRef().end());
  const auto constant = llvm::dyn_cast<mlir::DenseElementsAttr>(attribute);
  KILN_ASSERT(constant, "an attribute of a kind that the vocabulary does not have");
  return literal(constant);
}

}  // namespace

Attrs attrs_of(mlir::Operation* op) {
  Attrs attrs;
  if (llvm::isa<MapOp>(op)) return attrs;
  for (const mlir::StringAttr name : op->getName().getAttributeNames()) {
    const std::optional<mlir::Attribute> value = op->getInherentAttr(name);
    if (value && *value) attrs.set(intern(std::string_view(name.getValue())), attr_value(*value));
  }
  const bool has_shape = op->hasTrait<ShapeIsResultType>();
  const bool has_dtype = op->hasTrait<DTypeIsResultType>();
  if (!has_shape && !has_dtype) return attrs;
  const TensorType type = tensor_type(op->getResult(0));
  if (has_shape) attrs.set("shape", type.shape);
  if (has_dtype) attrs.set("dtype", type.dtype);
  return attrs;
}

mlir::DictionaryAttr inherent_attributes(mlir::Operation* op) { return llvm::cast<mlir::DictionaryAttr>(op->getPropertiesAsAttribute()); }

}  // namespace kiln::ir
