// Lengths as a program over the inputs' shapes.
#pragma once
#include <string>
#include <unordered_map>

#include "graph/graph.h"
#include "runtime/plan.h"

namespace kiln::passes {

/// Fills Plan::dims, Plan::inputs and Plan::equal_dims; gives every Dim its place.
class DimProgram {
 public:
  /// Throws CompileError if a symbol is no input's length by itself.
  DimProgram(const graph::Graph& graph, runtime::Plan& plan);

  /// The entry that computes `d`; appended at first use, after its operands.
  runtime::DimId id(Dim d);
  std::vector<runtime::DimId> ids(const Shape& shape);

 private:
  runtime::DimId append(runtime::DimExpr e);
  runtime::DimId symbolic(Dim d);

  const graph::Graph& graph_;
  runtime::Plan& plan_;
  std::unordered_map<std::int64_t, runtime::DimId> known_;  ///< by Dim::bits
};

}  // namespace kiln::passes
