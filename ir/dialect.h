// The kiln dialect: one op for all elementwise functions, one for each structural op, fusions as regions.
#pragma once
#include <mlir/Bytecode/BytecodeOpInterface.h>
#include <mlir/IR/Builders.h>
#include <mlir/IR/BuiltinOps.h>
#include <mlir/IR/Dialect.h>
#include <mlir/IR/OpImplementation.h>
#include <mlir/Interfaces/SideEffectInterfaces.h>

#include "ops/op.h"

namespace kiln::ir {

/// Checks an op against its OpDef::infer, so that shape rules exist once.
llvm::LogicalResult verify_against_vocabulary(mlir::Operation* op);

/// The op is an OpDef of the vocabulary.
template <class Concrete>
struct InVocabulary : mlir::OpTrait::TraitBase<Concrete, InVocabulary> {
  static llvm::LogicalResult verifyTrait(mlir::Operation* op) { return verify_against_vocabulary(op); }
};

/// The vocabulary's attribute `shape` is the result's shape and is not stored.
template <class Concrete>
struct ShapeIsResultType : mlir::OpTrait::TraitBase<Concrete, ShapeIsResultType> {};

/// The vocabulary's attribute `dtype` is the result's element type and is not stored.
template <class Concrete>
struct DTypeIsResultType : mlir::OpTrait::TraitBase<Concrete, DTypeIsResultType> {};

}  // namespace kiln::ir

#include "ir/KilnDialect.h.inc"
#define GET_OP_CLASSES
#include "ir/KilnOps.h.inc"

namespace kiln::ir {

/// The vocabulary's definition of an op: the function of a kiln.map, else the structural op of that name. nullptr for func, fusion, yield,
/// return.
const ops::OpDef* op_def(mlir::Operation* op);

/// True if `op` is a kiln.map of that function.
bool is_map(mlir::Operation* op, std::string_view function);

/// A context that knows the dialects of this library, without threads.
std::unique_ptr<mlir::MLIRContext> make_context();

}  // namespace kiln::ir
