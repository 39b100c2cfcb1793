// Executable: a plan with its kernels loaded, ready to run from any thread.
#pragma once
#include <kiln/loc.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/kernel_abi.h"
#include "runtime/buffer.h"
#include "runtime/plan.h"

namespace kiln::runtime {

struct KernelObject;

/// The blocked driver of contractions lives above this room; graph/ installs it at start-up.
/// micro_kernels may be empty (built-in ones); epilogue, if any, runs on each finished tile. `product` is the argument of the epilogue that
/// is `out`, if nobody else reads it (then the driver may keep it elsewhere), else -1.
struct ContractionCall {
  const Contraction* problem;
  const void* lhs;
  const void* rhs;
  void* out;
  std::span<const std::pair<const KernelSpec*, MicroKernelFn>> micro_kernels;
  TileFn epilogue;
  void** epilogue_args;
  const std::int64_t* epilogue_dims;
  int num_epilogue_args;
  int product;
  KernelContext* context;
};
using ContractionDriver = void (*)(const ContractionCall& call);
void set_contraction_driver(ContractionDriver driver);

/// Gives the user's line of a node of the graph that the plan was made from.
using NodeLocator = std::function<Loc(std::int32_t node)>;

/// Gives the name of an input, for messages; empty if it has none.
using InputNamer = std::function<std::string(std::int32_t input)>;

/// Told of each launch of a run: a profiler.
class LaunchObserver {
 public:
  virtual ~LaunchObserver() = default;
  virtual void before(std::size_t launch) = 0;
  virtual void after(std::size_t launch) = 0;
};

/// A tensor handed to or got from a run.
struct Argument {
  Buffer buffer;
  Shape shape;  ///< static
};

/// Immutable and re-entrant: each run takes an arena from a pool.
class Executable {
 public:
  /// Looks every kernel up in the process's kernel cache, then on disk, then in `objects` (which are stored on disk). Throws FileError if
  /// one is found nowhere.
  Executable(Plan plan, std::span<const KernelObject> objects);
  ~Executable();
  Executable(const Executable&) = delete;
  Executable& operator=(const Executable&) = delete;

  /// Runs the plan. inputs are in the order of Plan::inputs; a state input whose handle is unique is updated in place, and its handle moves
  /// to the output. outputs are the plan's: results, then new state values. Throws RuntimeError for an error that a kernel reports (the
  /// plan then has written no state), at the line that `locate` gives, ShapeError if the shapes are not what the plan is for or equal_dims
  /// differ; inputs then still hold all their handles. The observer, if any, is called around each launch.
  void run(std::span<Argument> inputs, std::span<Argument> outputs, const NodeLocator* locate = nullptr, const InputNamer* namer = nullptr,
           LaunchObserver* observer = nullptr) const;
  /// The same with vectors; after an exception `inputs` is as it was.
  std::vector<Argument> run(std::vector<Argument>&& inputs, const NodeLocator* locate = nullptr) const;

  const Plan& plan() const;
  /// Kernels of this plan that had to be loaded from disk or compiled, not found in memory.
  int kernels_loaded() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kiln::runtime
