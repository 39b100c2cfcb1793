// Graph -> func.func.
#include "ir/import.h"

#include <kiln/error.h>
#include <mlir/Dialect/Func/IR/FuncOps.h>
#include <mlir/IR/Diagnostics.h>
#include <mlir/Parser/Parser.h>

#include "base/require.h"
#include "ir/build.h"
#include "ir/types.h"

namespace kiln::ir {
namespace {

constexpr llvm::StringLiteral kKindNames[] = {"argument", "variable", "capture", "random"};

mlir::func::FuncOp create_function(mlir::OpBuilder& builder, const graph::Graph& graph) {
  mlir::MLIRContext* context = builder.getContext();
  llvm::SmallVector<mlir::Type> inputs;
  llvm::SmallVector<mlir::Type> outputs;
  for (int i = 0; i < graph.num_parameters(); ++i) inputs.push_back(tensor_type(context, graph.node(i).type));
  for (const graph::NodeId result : graph.results()) outputs.push_back(tensor_type(context, graph.node(result).type));
  for (const graph::StateWrite& write : graph.state_writes()) outputs.push_back(tensor_type(context, graph.node(write.value).type));
  auto function = mlir::func::FuncOp::create(builder, builder.getUnknownLoc(), graph.name(), builder.getFunctionType(inputs, outputs));
  llvm::SmallVector<mlir::DictionaryAttr> attributes;  // set all at once: each setting copies the attributes of all arguments
  for (const graph::Parameter& parameter : graph.parameters()) {
    llvm::SmallVector<mlir::NamedAttribute, 2> own{
        builder.getNamedAttr("kiln.kind", builder.getStringAttr(kKindNames[static_cast<int>(parameter.kind)]))};
    if (!parameter.name.empty()) own.push_back(builder.getNamedAttr("kiln.name", builder.getStringAttr(parameter.name)));
    attributes.push_back(builder.getDictionaryAttr(own));
  }
  function.setAllArgAttrs(attributes);
  return function;
}

void create_return(mlir::OpBuilder& builder, const graph::Graph& graph, llvm::ArrayRef<mlir::Value> values) {
  llvm::SmallVector<mlir::Value> operands;
  Ints writes;
  for (const graph::NodeId result : graph.results()) operands.push_back(values[static_cast<std::size_t>(result)]);
  for (const graph::StateWrite& write : graph.state_writes()) {
    operands.push_back(values[static_cast<std::size_t>(write.value)]);
    writes.push_back(write.parameter);
  }
  ReturnOp::create(builder, builder.getUnknownLoc(), operands,
                   writes.empty() ? mlir::DenseI64ArrayAttr() : builder.getDenseI64ArrayAttr(writes));
}

}  // namespace

mlir::OwningOpRef<mlir::ModuleOp> import_graph(mlir::MLIRContext& context, const graph::Graph& graph) {
  mlir::OpBuilder builder(&context);
  mlir::OwningOpRef<mlir::ModuleOp> module = mlir::ModuleOp::create(builder, builder.getUnknownLoc());
  builder.setInsertionPointToEnd(module->getBody());
  mlir::func::FuncOp function = create_function(builder, graph);
  mlir::Block* entry = function.addEntryBlock();
  builder.setInsertionPointToEnd(entry);
  llvm::SmallVector<mlir::Value> values(entry->getArguments());
  for (int i = 0; i < graph.num_parameters(); ++i)
    entry->getArgument(static_cast<unsigned>(i)).setLoc(location(&context, graph.node(i).loc));
  llvm::SmallVector<mlir::Value, 4> operands;
  for (std::size_t i = values.size(); i < graph.nodes().size(); ++i) {
    const graph::Node& node = graph.nodes()[i];
    KILN_ASSERT(node.regions.empty(), "{} has regions, which the dialect does not have", node.op->name);
    operands.clear();
    for (const graph::NodeId operand : node.operands) operands.push_back(values[static_cast<std::size_t>(operand)]);
    values.push_back(create(builder, location(&context, node.loc), *node.op, operands, node.attrs, tensor_type(&context, node.type)));
  }
  create_return(builder, graph, values);
  return module;
}

mlir::OwningOpRef<mlir::ModuleOp> parse_module(mlir::MLIRContext& context, std::string_view text) {
  std::string messages;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic& diagnostic) {
    llvm::raw_string_ostream out(messages);
    out << diagnostic.getLocation() << ": " << diagnostic << "\n";
  });
  auto module = mlir::parseSourceString<mlir::ModuleOp>(llvm::StringRef(text), mlir::ParserConfig(&context));
  KILN_REQUIRE(module, CompileError, "this is not a program of the kiln dialect:\n{}", messages);
  return module;
}

}  // namespace kiln::ir
