// Kernel emitters: a KernelSpec becomes a module with the function kiln_kernel. One emitter a kind; all ask the element emitter for values.
#pragma once
#include <mlir/IR/BuiltinOps.h>
#include <mlir/IR/OwningOpRef.h>

#include "codegen/element_emitter.h"
#include "runtime/kernel_spec.h"

namespace kiln::codegen {

/// The module of that kernel, in the scf, arith, vector and llvm dialects. Throws CompileError for a spec that no emitter takes.
mlir::OwningOpRef<mlir::ModuleOp> emit_kernel(mlir::MLIRContext& context, const runtime::KernelSpec& spec, const TargetHooks& hooks);

/// What the emitters of one module share.
class KernelModule {
 public:
  KernelModule(mlir::MLIRContext& context, const runtime::KernelSpec& spec, const TargetHooks& hooks);

  const runtime::KernelSpec& spec() const { return spec_; }
  const TargetHooks& hooks() const { return hooks_; }
  mlir::OwningOpRef<mlir::ModuleOp> take() { return std::move(module_); }

  /// A function under construction: void(void** args, const int64_t* dims, KernelContext*, int64_t...).
  struct Function {
    Builder& b;
    ElementEmitter& e;
    Value args, dims, context;
    llvm::ArrayRef<Value> extra;  ///< the int64 arguments
  };
  using Body = std::function<void(Function& f)>;
  /// Adds a function with that many int64 arguments; `exported` makes it the kernel's entry.
  void add_function(const char* name, int extra, bool exported, const Body& body);

  /// Adds the entry: it calls `range` (a function added before, or to come, with begin and end) over [0, count) in parallel, chunks of at
  /// least grain.
  struct Extent {
    Value count, grain;
  };
  void add_parallel_entry(const char* range, const std::function<Extent(Function& f)>& extent);
  /// From within an entry: the same for further ranges. `args` replaces the kernel's own.
  void call_parallel(Function& f, const char* range, Value args, Extent extent);

  /// Lanes for values of the widest type that matters in this body.
  int vector_lanes() const;
  /// Rough cycles to compute the body once for vector_lanes() elements.
  int body_cost() const;
  /// Masks cost little beside the body, and compiling it twice much.
  bool is_long() const;
  /// Few values of the body are needed at a time.
  bool is_narrow() const;
  /// The lanes of several registers where chains of dependent operations are long, else vector_lanes(). The backend splits wide vectors
  /// operation by operation, so that chains alternate and more of them fit into the processor's window. Long bodies get them if they
  /// are narrow.
  int wide_lanes() const;
  /// `count` units of `elements` elements each, of which a thread gets as many as are worth it.
  Extent extent(Builder& b, Value count, Value elements) const;
  /// Elements that are worth a thread of their own.
  std::int64_t grain_elements() const;

 private:
  const runtime::KernelSpec& spec_;
  const TargetHooks& hooks_;
  mlir::OpBuilder builder_;
  mlir::OwningOpRef<mlir::ModuleOp> module_;
  OutlinedOps outlined_;
};

/// Elements [begin, end) in steps of `lanes`; the last step is masked. f gets the first index and the mask.
void vector_loop(Builder& b, Value begin, Value end, int lanes, const std::function<void(Value first, const Mask& mask)>& f);

/// The same for elements that have nothing to do with each other; all steps are masked where the body is too long to be there twice.
void element_loop(const KernelModule& m, Builder& b, Value begin, Value end, int lanes,
                  const std::function<void(Value first, const Mask& mask)>& f);

// The emitters.
void emit_loop_kernel(KernelModule& m);
void emit_tile_kernel(KernelModule& m);
void emit_reduce_kernel(KernelModule& m);
void emit_row_kernel(KernelModule& m);
void emit_scatter_kernel(KernelModule& m);

}  // namespace kiln::codegen
