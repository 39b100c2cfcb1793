// Attributes of ops: the vocabulary's Attrs and MLIR's dictionary.
#pragma once
#include <mlir/IR/BuiltinAttributes.h>
#include <mlir/IR/Operation.h>

#include "base/attrs.h"

namespace kiln::ir {

/// int -> 1 : i64, ints -> array<i64: 1, 2>, text -> "...", Literal -> dense<...>. Shape and DType have no attribute: a null Attribute.
mlir::Attribute attribute(mlir::MLIRContext* context, const AttrValue& value);

mlir::DenseElementsAttr elements(mlir::MLIRContext* context, const Literal& literal);
Literal literal(mlir::DenseElementsAttr elements);

/// The vocabulary's attributes of an op, those that its result type says included.
Attrs attrs_of(mlir::Operation* op);

/// Same keys, for ops of the dialect only: the inherent attributes as one dictionary (for hashing and comparing).
mlir::DictionaryAttr inherent_attributes(mlir::Operation* op);

}  // namespace kiln::ir
