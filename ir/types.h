// Element types, tensor types and places: the graph's and MLIR's forms of one thing.
#pragma once
#include <kiln/loc.h>
#include <kiln/shape.h>
#include <mlir/IR/BuiltinTypes.h>
#include <mlir/IR/Location.h>

#include <optional>

namespace kiln::ir {

/// i1, ui8, i8, i32, i64, f16, bf16, f32, f64.
mlir::Type element_type(mlir::MLIRContext* context, DType dtype);
/// Empty for a type that no DType stands for.
std::optional<DType> find_dtype(mlir::Type element);

/// tensor<32x784xf32>; symbolic lengths are ? and the encoding lists all lengths: tensor<?x784xf32, "batch, 784">.
mlir::RankedTensorType tensor_type(mlir::MLIRContext* context, const TensorType& type);
/// Inverse of the above; empty if the type is no ranked tensor of ours (unknown element, ? without a name, encoding that does not fit).
std::optional<TensorType> find_tensor_type(mlir::Type type);
/// The same of a type that the verifier has accepted.
TensorType tensor_type(mlir::Type type);
inline TensorType tensor_type(mlir::Value value) { return tensor_type(value.getType()); }

mlir::Location location(mlir::MLIRContext* context, Loc loc);
/// The first file and line inside a location; unknown if there is none.
Loc source_line(mlir::Location location);

}  // namespace kiln::ir
