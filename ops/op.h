// OpDef: everything the rest of Kiln knows about an op. Filled once, from the op's own struct; nothing outside ops/ lists op names.
#pragma once
#include <kiln/shape.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/attrs.h"

namespace kiln::ops {

enum class OpKind : std::uint8_t { elementwise, structural };

/// Which element types an elementwise op takes and gives.
enum class TypeRule : std::uint8_t {
  numeric,    ///< any type but bool, all operands alike -> the same
  floating,   ///< float16 ... float64, all alike -> the same
  integral,   ///< integers, all alike -> the same
  boolean,    ///< bools -> bool
  bitwise,    ///< integers or bools, all alike -> the same
  compare,    ///< any type, all alike -> bool
  predicate,  ///< floating -> bool (isnan ...)
  select,     ///< (bool, T, T) -> T
  any,        ///< all alike -> the same
};

/// Algebraic facts that passes use instead of op names.
struct Traits {
  bool commutative = false;
  bool associative = false;  ///< usable as a combiner of reduce
  bool idempotent = false;   ///< f(f(x)) = f(x) for unary, f(x, x) = x for binary
  bool involution = false;   ///< f(f(x)) = x
  bool exact = false;        ///< never rounds: neg, abs, max, comparisons, select
  bool fallible = false;     ///< may report an error at run time (integer division)
  double identity = 0;       ///< of an associative combiner (use has_identity)
  bool has_identity = false;
  bool view = false;    ///< the result is the first operand's bytes under another type (reshape)
  bool random = false;  ///< never merged, never folded
  int cost = 1;         ///< rough cycles for one vector, for fusion and grain
};

/// A worked example: shown in the docs, run as a test.
struct Example {
  std::array<double, 3> in;
  double out;
};

/// What docs/ops.md says of a structural or composite op besides its doc. The example is a C++ expression on public functions; a test
/// prints it.
struct Notes {
  std::string_view takes;       ///< "floating-point x"
  std::string_view attributes;  ///< "axis: int", or empty
  std::string_view example;     ///< empty: no public function is this op alone
  std::string_view result;      ///< what the example prints
  bool gradient = true;         ///< of a composite: gradients pass through its parts
};

/// A contiguous row-major tensor in memory; for an elementwise kernel an operand may have any shape that broadcasts to the result's.
struct View {
  void* data = nullptr;
  DType dtype = DType::float32;
  Shape shape;
};

struct OpDef {
  std::string_view name;
  std::string_view doc;
  OpKind kind = OpKind::elementwise;
  int arity = 1;  ///< -1: any number
  TypeRule types = TypeRule::any;
  Traits traits;
  std::span<const Example> examples;
  bool differentiable = false;

  /// Result type from operand types (elementwise: equal shapes or shapes that broadcast). Throws ShapeError, DTypeError or ValueError
  /// naming the op.
  TensorType (*infer)(const OpDef& op, std::span<const TensorType> operands, const Attrs& attrs) = nullptr;
  /// Computes the result eagerly, in the order of numeric_order.h. Operands and result do not overlap, except that an elementwise result
  /// may be one of its operands.
  void (*kernel)(const OpDef& op, std::span<const View> operands, const View& result, const Attrs& attrs) = nullptr;
  /// The same in double precision on libm: the independent reference of the tests. Values are row-major doubles (integers exact below
  /// 2^53).
  void (*reference)(const OpDef& op, std::span<const TensorType> types, std::span<const std::vector<double>> operands,
                    const TensorType& type, std::vector<double>& result, const Attrs& attrs) = nullptr;

  std::string_view symbol = {};  ///< the C++ operator that spells the op ("+"), or empty
};

/// The op of that name; ValueError if there is none.
const OpDef& op(std::string_view name);
/// nullptr if there is none.
const OpDef* find_op(std::string_view name);
/// Every op, elementwise first, each group in the order of its files.
std::span<const OpDef* const> all_ops();

}  // namespace kiln::ops
