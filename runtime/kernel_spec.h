// KernelSpec: what one kernel computes, free of MLIR, of names and of user lines; its hash is the kernel's key in every cache.
#pragma once
#include <kiln/dtype.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/attrs.h"
#include "base/numerics.h"

namespace kiln::runtime {

enum class KernelKind : std::uint8_t {
  loop,          ///< every output element on its own: KernelFn `kernel`
  tile,          ///< the same over a rectangle, called by the contraction driver as an epilogue: TileFn
  reduce,        ///< body[root] is an arg_reduce, or the first of the reduces over the same axes of operands of one shape; the outputs are
                 ///< computed from them (and from inputs) over the kept axes: KernelFn
  row,           ///< several reduces over the last axis, and elementwise ops before, between and after them, a row at a time: KernelFn
  scatter,       ///< body[root] is a scatter_add: KernelFn
  micro_kernel,  ///< a register tile of a contraction: MicroKernelFn; no body, see `mr`, `nr`, `dtype`
};

/// One value of a kernel's body: an input (op "") or a vocabulary op on earlier values. Shapes are indices into the kernel's table of dims.
struct BodyNode {
  std::string op;  ///< vocabulary name; empty for an input
  DType dtype = DType::float32;
  std::vector<std::int32_t> shape;  ///< dim-table indices, outermost first
  std::vector<std::int32_t> operands;
  Attrs attrs;                ///< attributes without Shape values: those are implied by `shape`
  std::int32_t ordinal = -1;  ///< the op's place in the plan's list of ops, relative to the launch; for fallible ops only
};

/// Entry point of a shared object's first kernel.
inline constexpr const char* kKernelEntry = "kiln_kernel";
/// That of its kernel number `ordinal`.
inline std::string kernel_symbol(std::int32_t ordinal) {
  return ordinal == 0 ? kKernelEntry : std::string(kKernelEntry) + "_" + std::to_string(ordinal);
}

struct KernelSpec {
  KernelKind kind = KernelKind::loop;
  Numerics numerics = Numerics::standard;
  std::vector<BodyNode> body;  ///< the inputs first, then ops in order
  std::int32_t num_inputs = 0;
  std::vector<std::int32_t> outputs;  ///< body nodes written, in the order of the output arguments
  std::int32_t root = -1;             ///< reduce, scatter: the node that is not elementwise
  std::int32_t num_dims = 0;          ///< length of the table of run-time lengths
  /// (dim index, value): lengths known when compiling that the emitter may rely on; all others are run-time values.
  std::vector<std::pair<std::int32_t, std::int64_t>> constant_dims;
  /// (output, input) pairs that may be the same memory (same-index access only); all other outputs overlap nothing.
  std::vector<std::pair<std::int32_t, std::int32_t>> aliases;
  // micro_kernel only
  DType dtype = DType::float32;
  std::int32_t mr = 0, nr = 0;

  /// Canonical bytes: equal specs give equal bytes.
  std::string serialize() const;
  /// Inverse of serialize. Throws FileError on damaged input.
  static KernelSpec deserialize(std::string_view bytes);
  /// 128-bit hash of serialize() and kKernelAbiVersion, hex.
  std::string key() const;
  /// For people: the body as text, one node a line.
  std::string text() const;
};

}  // namespace kiln::runtime
