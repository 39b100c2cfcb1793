// From a fusion to the KernelSpec of its kernel: canonical, with as few axes as the ops allow, free of names and of lengths.
#pragma once
#include <optional>
#include <vector>

#include "base/numerics.h"
#include "passes/fuse.h"
#include "runtime/kernel_spec.h"

namespace kiln::passes {

/// A kernel and how the graph's values map to its arguments.
struct BuiltKernel {
  runtime::KernelSpec spec;
  std::vector<graph::NodeId> inputs;   ///< by input of the spec; for an epilogue the contraction's product is among them
  std::vector<graph::NodeId> outputs;  ///< by output of the spec
  std::vector<graph::NodeId> ops;      ///< graph nodes computed, in the order of the body: ordinals count these
  std::vector<Dim> dims;               ///< the kernel's table of lengths
};

/// The kernel of a fusion. For a contract it is the epilogue (KernelKind::tile), or empty if the product itself is the only output.
/// Equal fusions give equal specs, whatever their lengths and names.
std::optional<BuiltKernel> build_kernel(const graph::Graph& graph, const Fusion& fusion, Numerics numerics);

/// True if `nodes` (members of a contract fusion beside its root) can run on tiles of `root`'s result: (batches and rows) x columns in
/// row-major order.
bool is_epilogue(const graph::Graph& graph, graph::NodeId root, std::span<const graph::NodeId> nodes);

/// A node's attributes as the vocabulary wants them: those of the spec and those implied by its type.
Attrs full_attrs(const runtime::BodyNode& node, const Shape& shape, std::span<const Shape> operands);

}  // namespace kiln::passes
