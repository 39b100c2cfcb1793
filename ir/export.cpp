// func.func -> graph.
#include "ir/export.h"

#include <llvm/ADT/DenseMap.h>

#include "base/require.h"
#include "ir/attributes.h"
#include "ir/dialect.h"
#include "ir/types.h"

namespace kiln::ir {
namespace {

graph::ParameterKind parameter_kind(llvm::StringRef text) {
  if (text == "variable") return graph::ParameterKind::variable;
  if (text == "capture") return graph::ParameterKind::capture;
  if (text == "random") return graph::ParameterKind::random;
  return graph::ParameterKind::argument;
}

class Exporter {
 public:
  explicit Exporter(mlir::func::FuncOp function) : function_(function), graph_(function.getName().str()) {}

  graph::Graph run() {
    for (mlir::BlockArgument argument : function_.getArguments()) add_parameter(argument);
    for (mlir::Operation& op : function_.getBody().front()) add(op);
    return std::move(graph_);
  }

 private:
  void add_parameter(mlir::BlockArgument argument) {
    const unsigned index = argument.getArgNumber();
    graph::Parameter parameter;
    if (const auto kind = function_.getArgAttrOfType<mlir::StringAttr>(index, "kiln.kind"))
      parameter.kind = parameter_kind(kind.getValue());
    if (const auto name = function_.getArgAttrOfType<mlir::StringAttr>(index, "kiln.name")) parameter.name = name.str();
    nodes_[argument] = graph_.add_parameter(std::move(parameter), tensor_type(argument), source_line(argument.getLoc()));
  }

  void add(mlir::Operation& op) {
    if (auto fusion = llvm::dyn_cast<FusionOp>(op)) return add_fusion(fusion);
    if (auto end = llvm::dyn_cast<ReturnOp>(op)) return add_return(end);
    const ops::OpDef* def = op_def(&op);
    KILN_ASSERT(def != nullptr, "{} cannot become a node of a graph", std::string_view(op.getName().getStringRef()));
    std::vector<graph::NodeId> operands;
    for (const mlir::Value operand : op.getOperands()) operands.push_back(nodes_.lookup(operand));
    nodes_[op.getResult(0)] = graph_.add(*def, std::move(operands), attrs_of(&op), source_line(op.getLoc()));
  }

  void add_fusion(FusionOp fusion) {
    mlir::Block& body = fusion.getBody().front();
    for (auto [argument, input] : llvm::zip_equal(body.getArguments(), fusion.getInputs())) nodes_[argument] = nodes_.lookup(input);
    for (mlir::Operation& op : body.without_terminator()) add(op);
    auto yield = llvm::cast<YieldOp>(body.getTerminator());
    for (auto [result, value] : llvm::zip_equal(fusion.getOutputs(), yield.getValues())) nodes_[result] = nodes_.lookup(value);
  }

  void add_return(ReturnOp end) {
    const llvm::ArrayRef<std::int64_t> writes = end.getWrites().value_or(llvm::ArrayRef<std::int64_t>());
    const std::size_t results = end.getValues().size() - writes.size();
    for (std::size_t i = 0; i < results; ++i) graph_.add_result(nodes_.lookup(end.getValues()[i]));
    for (std::size_t i = 0; i < writes.size(); ++i) {
      graph_.add_state_write({static_cast<int>(writes[i]), nodes_.lookup(end.getValues()[results + i])});
    }
  }

  mlir::func::FuncOp function_;
  graph::Graph graph_;
  llvm::DenseMap<mlir::Value, graph::NodeId> nodes_;
};

}  // namespace

graph::Graph export_graph(mlir::func::FuncOp function) { return Exporter(function).run(); }

mlir::func::FuncOp only_function(mlir::ModuleOp module) {
  auto functions = module.getOps<mlir::func::FuncOp>();
  KILN_ASSERT(!functions.empty(), "a module without a function");
  return *functions.begin();
}

std::string text(mlir::Operation* op) {
  std::string result;
  llvm::raw_string_ostream out(result);
  mlir::OpPrintingFlags flags;
  op->print(out, flags.useLocalScope().enableDebugInfo(true, /*prettyForm=*/false));
  return result;
}

}  // namespace kiln::ir
