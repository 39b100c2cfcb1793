// What the emitters of reductions share: which axes, in which order, and how the result reaches the outputs.
#pragma once
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "codegen/kernel_emitter.h"

namespace kiln::codegen {

/// A reduction of a kernel's body, taken apart: its root, or the node given.
struct Reduction {
  explicit Reduction(const runtime::KernelSpec& spec) : Reduction(spec, spec.root) {}
  Reduction(const runtime::KernelSpec& spec, int node);
  /// All reductions of a body, in order. Those of a reduce kernel have the same axes and operands of one shape, and none needs another's
  /// result.
  static std::vector<Reduction> all(const runtime::KernelSpec& spec);

  int root = 0;  ///< the reduce or arg_reduce
  int x = 0;     ///< its operand
  int rank = 0;  ///< of the operand
  DType dtype = DType::float32;
  std::string kind;
  bool arg = false;          ///< arg_reduce
  std::vector<int> reduced;  ///< axes of the operand
  std::vector<int> kept;
  bool innermost_reduced = false;
};

/// Emits values of one reduction within one function.
class ReductionEmitter {
 public:
  ReductionEmitter(KernelModule::Function& f, const Reduction& r) : f_(f), b_(f.b), e_(f.e), r_(r) {}

  /// Number of elements reduced into each result; number of results.
  Value length();
  Value results();
  /// The operand's element number i of the result at `kept` (one index a kept axis). i may run over lanes.
  Value element(llvm::ArrayRef<Index> kept, const Index& i, const Mask& mask);
  /// The indices of result number `n`, a scalar.
  llvm::SmallVector<Index, 4> kept_at(Value n);
  /// From now on the reduction has that value; an empty one takes that back.
  void set_result(Value result);
  /// Computes the outputs and writes them.
  void write_outputs(llvm::ArrayRef<Index> kept, const Mask& mask);

  Value combine(Value a, Value b) { return e_.combine(r_.kind, r_.dtype, a, b); }
  /// What an absent element holds; what reducing nothing gives.
  Value skip() { return e_.identity(r_.kind, r_.dtype); }
  Value empty();
  /// Type of an accumulator in memory; conversions.
  Type cell();
  Value to_cell(Value v);
  Value from_cell(Value v);
  /// Vectors of accumulators.
  Value load_cells(Value memory, Value first, int lanes);
  void store_cells(Value v, Value memory, Value first);
  /// Lane j combined with lane j + half, halving down to one.
  Value tree(Value v);

  KernelModule::Function& function() { return f_; }
  const Reduction& reduction() const { return r_; }

 private:
  Value element_at(llvm::ArrayRef<Index> kept, llvm::ArrayRef<Index> reduced, const Mask& mask);
  KernelModule::Function& f_;
  Builder& b_;
  ElementEmitter& e_;
  const Reduction& r_;
};

/// The emitters of a reduce kernel's reductions within one function.
class SiblingEmitters {
 public:
  SiblingEmitters(KernelModule::Function& f, std::span<const Reduction> reductions) {
    for (const Reduction& r : reductions) emitters_.emplace_back(f, r);
  }
  std::size_t size() const { return emitters_.size(); }
  ReductionEmitter& operator[](std::size_t i) { return emitters_[i]; }
  /// For what all have in common: axes and lengths.
  ReductionEmitter& first() { return emitters_.front(); }
  auto begin() { return emitters_.begin(); }
  auto end() { return emitters_.end(); }
  /// Computes the outputs where the reductions have those values, and writes them.
  void finish(llvm::ArrayRef<Index> kept, const Values& results, const Mask& mask);

 private:
  std::deque<ReductionEmitter> emitters_;
};

// By which axes are reduced.
void emit_row_reductions(KernelModule& m, std::span<const Reduction> reductions);
void emit_full_reductions(KernelModule& m, std::span<const Reduction> reductions);
void emit_column_reductions(KernelModule& m, std::span<const Reduction> reductions);
void emit_arg_reduction(KernelModule& m, const Reduction& r);

}  // namespace kiln::codegen
