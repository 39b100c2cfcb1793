// NVVM: the element emitter's second target. Thread and block numbers, and what an NVIDIA GPU does otherwise than a CPU.
#pragma once
#include "codegen/target_hooks.h"

namespace kiln::codegen {

/// A GPU that code is made for.
struct NvvmTarget {
  std::string chip = "sm_90";
  std::string features = "+ptx80";
};

/// Values live in scalars or short vectors of one thread; memory is global.
class NvvmHooks : public TargetHooks {
 public:
  NvvmHooks();

  bool has_fma() const override { return true; }
  /// The widest access of one thread.
  int vector_bytes() const override { return 16; }
  unsigned address_space() const override;
  bool has_half_conversion() const override { return true; }
  bool has_round() const override { return true; }

  /// Vectors are consecutive elements at a multiple of their own size, without a mask: kernels give whole vectors only.
  mlir::Value load(Builder& b, mlir::Value pointer, mlir::VectorType type, mlir::Value mask, bool invariant) const override;
  void store(Builder& b, mlir::Value vector, mlir::Value pointer, mlir::Value mask) const override;
  mlir::Value gather(Builder& b, mlir::Value pointer, mlir::Value offsets, mlir::VectorType type, mlir::Value mask) const override;
  mlir::Value sqrt(Builder& b, mlir::Value x) const override;
  /// Writes error, ordinal and payload into the context if no thread did before.
  void report(Builder& b, mlir::Value context, mlir::Value error, mlir::Value ordinal, mlir::Value payload) const override;

  /// Number of this thread in the grid's first dimension, and the number of threads there: i64.
  mlir::Value thread(Builder& b) const;
  mlir::Value threads(Builder& b) const;
};

}  // namespace kiln::codegen
