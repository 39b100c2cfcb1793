// Plan: the executable form of a graph, as the compiler hands it over and the disk keeps it.
#pragma once
#include <kiln/shape.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/attrs.h"
#include "base/contraction.h"
#include "runtime/kernel_spec.h"

namespace kiln::runtime {

/// An integer computed once per call signature from the inputs' lengths; operands are earlier entries of Plan::dims.
struct DimExpr {
  enum class Op : std::uint8_t { constant, input_dim, add, mul, floordiv, max };
  Op op = Op::constant;
  std::int64_t a = 0;  ///< constant: the value; input_dim: the input; else an index into Plan::dims
  std::int64_t b = 0;  ///< input_dim: the axis; else an index into Plan::dims
};
using DimId = std::int32_t;  ///< index into Plan::dims

/// Where a launch's argument lives.
struct ArgRef {
  enum class Where : std::uint8_t { input, output, arena, constant, view };
  Where where = Where::input;
  std::int32_t index = 0;  ///< input, output (of the plan), arena slot, constant, or view
};

struct PlanTensor {
  DType dtype = DType::float32;
  std::vector<DimId> shape;
};

/// A result of the plan: written by launches into memory of its own, or the same memory as something that exists already.
struct PlanOutput {
  PlanTensor type;
  enum class Source : std::uint8_t { fresh, input, output, constant };
  Source source = Source::fresh;
  std::int32_t index = 0;         ///< of the input, earlier output or constant whose memory it shares
  std::int32_t state_input = -1;  ///< >= 0: this is the new value of that input (a variable)
  bool in_place = false;          ///< with state_input, fresh: may be written into that input's memory
};

/// A contraction in terms of DimIds: like kiln::Contraction with every extent, stride and padding an index into Plan::dims.
struct PlanContraction {
  struct Loop {
    DimId extent, lhs_stride, rhs_stride, out_stride;
  };
  struct Window {
    std::int32_t row, depth;
    DimId extent, lhs_stride;
    std::int64_t stride, rhs_dilation, lhs_dilation, padding_low;
    bool reverse;
  };
  DType dtype = DType::float32;
  bool relaxed = false;  ///< as in Contraction
  std::vector<Loop> batch, row, col, depth;
  std::vector<Window> windows;
};

struct Launch {
  enum class Kind : std::uint8_t { kernel, contraction };
  Kind kind = Kind::kernel;
  std::int32_t kernel = -1;  ///< kernel: index into Plan::kernels. contraction: the epilogue (KernelKind::tile), or -1
  std::vector<ArgRef>
      args;  ///< the kernel's inputs, then its outputs. For a contraction's epilogue the product is an input that aliases or precedes them
  std::vector<DimId> dims;         ///< the kernel's table of dims
  std::int32_t first_ordinal = 0;  ///< index into Plan::op_nodes of the launch's first op
  // contraction only
  PlanContraction contraction;
  ArgRef lhs, rhs, out;
  std::vector<std::int32_t>
      micro_kernels;  ///< indices into Plan::kernels, one for each row count the driver may ask for; empty: the built-in ones
};

struct ArenaSlot {
  DimId offset, bytes;
};

/// A part of something else's memory: side by side bytes.
struct PlanView {
  ArgRef of;  ///< not a view
  DimId offset, bytes;
};

struct Plan {
  std::string name;
  std::vector<DimExpr> dims;
  std::vector<PlanTensor> inputs;
  std::vector<PlanOutput> outputs;  ///< the graph's results, then its state writes
  std::int32_t num_results = 0;
  std::vector<ArenaSlot> arena;
  DimId arena_bytes = -1;  ///< -1: none needed
  std::vector<Literal> constants;
  std::vector<PlanView> views;
  std::vector<KernelSpec> kernels;
  std::vector<Launch> launches;
  /// Checked at entry: pairs of dims that must be equal ("x and y met elementwise").
  std::vector<std::pair<DimId, DimId>> equal_dims;
  /// (op name, place among the graph's nodes) of each op that survived, for error messages: the current trace maps the node to a line.
  std::vector<std::pair<std::string, std::int32_t>> op_nodes;

  /// Throws FileError if any index is out of range.
  void check() const;
  std::string serialize() const;
  /// Throws FileError on damaged input: every index is checked.
  static Plan deserialize(std::string_view bytes);
};

}  // namespace kiln::runtime
