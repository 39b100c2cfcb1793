// TargetHooks: what the element emitter asks of a target. The base class is the CPU; a GPU overrides what differs.
#pragma once
#include <mlir/IR/Builders.h>
#include <mlir/IR/Value.h>

#include <cstdint>

#include "base/target.h"

namespace kiln::codegen {

class Builder;

/// How vectors of memory elements are moved and which instructions exist.
class TargetHooks {
 public:
  explicit TargetHooks(Target target) : target_(std::move(target)) {}
  virtual ~TargetHooks() = default;

  const Target& target() const { return target_; }
  virtual bool has_fma() const { return target_.has_fma(); }
  /// Bytes of a vector register.
  virtual int vector_bytes() const { return target_.float_lanes() * 4; }
  /// Address space of the arguments' memory.
  virtual unsigned address_space() const { return 0; }
  /// True where conversions between float16 and float32 are instructions.
  virtual bool has_half_conversion() const { return target_.isa != Isa::baseline; }
  /// True where rounding to an integral float is an instruction.
  virtual bool has_round() const { return target_.isa != Isa::baseline; }

  /// True where vectors of any length are passed to functions in registers.
  virtual bool can_pass_vectors() const { return !target_.is_aarch64(); }

  /// `type` (a vector of memory elements) from consecutive elements; masked-off lanes are not touched and read as zero. mask may be null.
  virtual mlir::Value load(Builder& b, mlir::Value pointer, mlir::VectorType type, mlir::Value mask, bool invariant) const;
  virtual void store(Builder& b, mlir::Value vector, mlir::Value pointer, mlir::Value mask) const;
  /// True if stores can go past the caches.
  virtual bool can_stream() const { return !target_.is_aarch64(); }
  /// A whole register to aligned memory, past the caches; fence() makes such stores visible to other threads.
  virtual void stream(Builder& b, mlir::Value vector, mlir::Value pointer) const;
  virtual void fence(Builder& b) const;
  /// Elements at pointer + offsets (a vector of i64, counted in elements).
  virtual mlir::Value gather(Builder& b, mlir::Value pointer, mlir::Value offsets, mlir::VectorType type, mlir::Value mask) const;
  /// Correctly rounded square root.
  virtual mlir::Value sqrt(Builder& b, mlir::Value x) const;
  /// p * 2^n for a whole n (floats), rounded once; null where that is no instruction.
  virtual mlir::Value scale(Builder& b, mlir::Value p, mlir::Value n) const;
  /// vmath's join_maximum of int32 vectors; null where that is no instruction.
  virtual mlir::Value join_maximum(Builder& b, mlir::Value x, mlir::Value y) const;
  /// `result` with what a logarithm of 0, infinity, NaN or a negative x is; null where that is no instruction.
  virtual mlir::Value log_specials(Builder& b, mlir::Value x, mlir::Value result) const;
  /// Tells the runtime that op `ordinal` failed (i32: a KernelError, the ordinal; i64: the payload).
  virtual void report(Builder& b, mlir::Value context, mlir::Value error, mlir::Value ordinal, mlir::Value payload) const;

 private:
  bool fills_registers(mlir::Value v) const;
  Target target_;
};

}  // namespace kiln::codegen
