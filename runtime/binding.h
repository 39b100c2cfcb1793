// Binding: a plan with every length known. Made once for each combination of input shapes, then only read.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/contraction.h"
#include "runtime/executable.h"

namespace kiln::runtime {

/// Where the pointers of a run stand in its table: inputs, outputs, constants, arena slots.
struct SlotLayout {
  std::int32_t outputs = 0, constants = 0, arena = 0, views = 0, count = 0;
  explicit SlotLayout(const Plan& plan);
  std::int32_t slot(const ArgRef& ref) const;
};

/// A launch with its lengths; `slots` say which pointers are its arguments.
struct BoundLaunch {
  void* entry = nullptr;  ///< KernelFn; of a contraction the epilogue's TileFn or nullptr
  std::vector<std::int32_t> slots;
  std::vector<std::int64_t> dims;
  std::int32_t first_ordinal = 0;
  std::unique_ptr<const Contraction> contraction;
  std::int32_t lhs = 0, rhs = 0, out = 0;  ///< slots of a contraction
  std::int32_t product = -1;               ///< the argument of the epilogue that is `out`, if only the epilogue reads that memory
  std::span<const std::pair<const KernelSpec*, MicroKernelFn>> micro_kernels;
};

struct Binding {
  struct Output {
    Shape shape;
    std::size_t bytes = 0;
  };
  std::vector<Shape> inputs;
  std::vector<Output> outputs;
  std::vector<BoundLaunch> launches;
  std::vector<std::int64_t> arena_offsets;
  std::size_t arena_bytes = 0;
  struct View {
    std::int32_t slot;
    std::int64_t offset;  ///< bytes
  };
  std::vector<View> views;

  bool fits(std::span<const Argument> arguments) const {
    if (arguments.size() != inputs.size()) return false;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (arguments[i].shape != inputs[i]) return false;
    }
    return true;
  }
};

/// The loaded kernels of a plan.
struct PlanCode {
  std::vector<void*> entries;  ///< by index into Plan::kernels
  /// By launch: the micro-kernels that it names.
  std::vector<std::vector<std::pair<const KernelSpec*, MicroKernelFn>>> micro_kernels;
};

/// Evaluates all lengths. Throws ShapeError if the shapes are not what the plan was made for, or equal_dims differ.
std::unique_ptr<const Binding> make_binding(const Plan& plan, const PlanCode& code, std::span<const Shape> inputs,
                                            const InputNamer* namer = nullptr);

/// The values of Plan::dims for these input shapes.
std::vector<std::int64_t> evaluate_dims(const Plan& plan, std::span<const Shape> inputs);

}  // namespace kiln::runtime
