// fuse: groups ops into kernels. The algorithm is in fuse_divide.cpp; here it meets the dialect.
//
//   %2 = kiln.contract %0, %1 {...}          %2 = kiln.fusion "contract" (%0, %1) ({
//   %3 = kiln.map "tanh" %2             =>   ^bb0(%a, %b):
//   kiln.return %3                             %c = kiln.contract %a, %b {...}
//                                              %d = kiln.map "tanh" %c
//                                              kiln.yield %d
//                                            })
#include "passes/fuse.h"

#include <llvm/ADT/DenseMap.h>

#include "base/require.h"
#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/export.h"
#include "ir/types.h"
#include "passes/fuse_ir.h"
#include "passes/passes.h"

namespace kiln::passes {
namespace {

using graph::NodeId;

class Writer {
 public:
  Writer(mlir::func::FuncOp function, const FusedGraph& fused)
      : block_(function.getBody().front()),
        fused_(fused),
        builder_(mlir::OpBuilder::atBlockEnd(&block_)),
        context_(builder_.getContext()) {}

  void run() {
    const mlir::Location loc = block_.getTerminator()->getLoc();
    while (!block_.empty()) block_.back().erase();
    for (unsigned i = 0; i < block_.getNumArguments(); ++i) values_[static_cast<NodeId>(i)] = block_.getArgument(i);
    for (const Fusion& f : fused_.fusions) write(f);
    llvm::SmallVector<mlir::Value> operands;
    Ints writes;
    for (NodeId n : fused_.graph.results()) operands.push_back(value(n));
    for (const graph::StateWrite& w : fused_.graph.state_writes()) {
      operands.push_back(value(w.value));
      writes.push_back(w.parameter);
    }
    ir::ReturnOp::create(builder_, loc, operands, writes.empty() ? mlir::DenseI64ArrayAttr() : builder_.getDenseI64ArrayAttr(writes));
  }

 private:
  const graph::Node& node(NodeId n) const { return fused_.graph.node(n); }

  mlir::Value create(NodeId n, llvm::ArrayRef<mlir::Value> operands) {
    const graph::Node& from = node(n);
    return ir::create(builder_, ir::location(context_, from.loc), *from.op, operands, from.attrs, ir::tensor_type(context_, from.type));
  }

  /// A value outside of fusions: views and constants are made where they are first needed.
  mlir::Value value(NodeId n) {
    const auto known = values_.find(n);
    if (known != values_.end()) return known->second;
    llvm::SmallVector<mlir::Value, 1> operands;
    for (NodeId operand : node(n).operands) operands.push_back(value(operand));
    const mlir::Value made = create(n, operands);
    values_[n] = made;
    return made;
  }

  void write(const Fusion& f) {
    llvm::SmallVector<mlir::Value> inputs;
    llvm::SmallVector<mlir::Type> outputs;
    for (NodeId n : f.inputs) inputs.push_back(value(n));
    for (NodeId n : f.outputs) outputs.push_back(ir::tensor_type(context_, node(n).type));
    const NodeId last = f.outputs.empty() ? f.nodes.back() : f.outputs.back();
    const mlir::Location loc = ir::location(context_, node(f.root >= 0 ? f.root : last).loc);
    auto fusion = ir::FusionOp::create(builder_, loc, outputs, llvm::StringRef(name(f.kind)), inputs);
    write_body(f, fusion);
    for (std::size_t i = 0; i < f.outputs.size(); ++i) values_[f.outputs[i]] = fusion.getResult(static_cast<unsigned>(i));
  }

  void write_body(const Fusion& f, ir::FusionOp fusion) {
    mlir::OpBuilder::InsertionGuard guard(builder_);
    mlir::Block* body = builder_.createBlock(&fusion.getBody());
    llvm::DenseMap<NodeId, mlir::Value> inside;
    for (NodeId n : f.inputs) inside[n] = body->addArgument(ir::tensor_type(context_, node(n).type), ir::location(context_, node(n).loc));
    for (NodeId n : f.nodes) {
      llvm::SmallVector<mlir::Value, 4> operands;
      for (NodeId operand : node(n).operands) operands.push_back(inside.lookup(operand));
      inside[n] = create(n, operands);
    }
    llvm::SmallVector<mlir::Value> results;
    for (NodeId n : f.outputs) results.push_back(inside.lookup(n));
    ir::YieldOp::create(builder_, fusion.getLoc(), results);
  }

  mlir::Block& block_;
  const FusedGraph& fused_;
  mlir::OpBuilder builder_;
  mlir::MLIRContext* context_;
  llvm::DenseMap<NodeId, mlir::Value> values_;
};

class Reader {
 public:
  explicit Reader(mlir::func::FuncOp function) : function_(function), result_{graph::Graph(function.getName().str()), {}, {}} {}

  FusedGraph run() {
    const graph::Graph parameters = ir::export_graph(function_);
    for (int i = 0; i < parameters.num_parameters(); ++i) {
      const graph::Node& n = parameters.node(i);
      nodes_[function_.getArgument(static_cast<unsigned>(i))] =
          result_.graph.add_parameter(parameters.parameters()[static_cast<std::size_t>(i)], n.type, n.loc);
    }
    for (mlir::Operation& op : function_.getBody().front()) {
      if (auto fusion = llvm::dyn_cast<ir::FusionOp>(op))
        read(fusion);
      else if (auto end = llvm::dyn_cast<ir::ReturnOp>(op))
        read(end);
      else
        add_outside(op);
    }
    return std::move(result_);
  }

 private:
  NodeId add(mlir::Operation& op) {
    std::vector<NodeId> operands;
    for (const mlir::Value operand : op.getOperands()) operands.push_back(nodes_.lookup(operand));
    const NodeId n = result_.graph.add(*ir::op_def(&op), std::move(operands), ir::attrs_of(&op), ir::source_line(op.getLoc()));
    nodes_[op.getResult(0)] = n;
    return n;
  }

  void add_outside(mlir::Operation& op) {
    const NodeId n = add(op);
    if (llvm::isa<ir::SliceOp, ir::ConcatOp>(op)) result_.views.push_back(n);
  }

  void read(ir::FusionOp op) {
    Fusion fusion{.kind = fusion_kind(std::string_view(op.getKind()))};
    mlir::Block& body = op.getBody().front();
    for (auto [argument, input] : llvm::zip_equal(body.getArguments(), op.getInputs())) {
      nodes_[argument] = nodes_.lookup(input);
      fusion.inputs.push_back(nodes_.lookup(input));
    }
    for (mlir::Operation& inner : body.without_terminator()) {
      const NodeId n = add(inner);
      fusion.nodes.push_back(n);
      if (fusion.root < 0 && is_root(n, fusion.kind)) fusion.root = n;
    }
    auto yield = llvm::cast<ir::YieldOp>(body.getTerminator());
    for (auto [result, value] : llvm::zip_equal(op.getOutputs(), yield.getValues())) {
      nodes_[result] = nodes_.lookup(value);
      fusion.outputs.push_back(nodes_.lookup(value));
    }
    result_.fusions.push_back(std::move(fusion));
  }

  bool is_root(NodeId n, FusionKind kind) const {
    if (kind == FusionKind::row) kind = FusionKind::reduce;
    return kind != FusionKind::loop && root_kind(result_.graph.node(n)) == kind;
  }

  void read(ir::ReturnOp end) {
    const llvm::ArrayRef<std::int64_t> writes = end.getWrites().value_or(llvm::ArrayRef<std::int64_t>());
    const std::size_t results = end.getValues().size() - writes.size();
    for (std::size_t i = 0; i < results; ++i) result_.graph.add_result(nodes_.lookup(end.getValues()[i]));
    for (std::size_t i = 0; i < writes.size(); ++i) {
      result_.graph.add_state_write({static_cast<int>(writes[i]), nodes_.lookup(end.getValues()[results + i])});
    }
  }

  mlir::func::FuncOp function_;
  FusedGraph result_;
  llvm::DenseMap<mlir::Value, NodeId> nodes_;
};

}  // namespace

void write_fused(mlir::func::FuncOp function, const FusedGraph& fused) { Writer(function, fused).run(); }

FusedGraph read_fused(mlir::func::FuncOp function) { return Reader(function).run(); }

void fuse(mlir::func::FuncOp function, const PassOptions&) { write_fused(function, fuse(ir::export_graph(function))); }

}  // namespace kiln::passes
