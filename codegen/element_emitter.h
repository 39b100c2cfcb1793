// ElementEmitter: "the value of this node of a kernel's body at this position, in each lane". Walks the body from the outputs to the
// inputs.
#pragma once
#include <functional>
#include <map>
#include <vector>

#include "codegen/builder.h"
#include "codegen/index.h"
#include "codegen/outlined_ops.h"
#include "runtime/kernel_spec.h"

namespace kiln::codegen {

/// How a function gets at its kernel's arguments. Each is asked for at most once, at the start of the function.
struct KernelArguments {
  std::function<Value(int i)> pointer;  ///< memory of input i, or of output i - num_inputs
  std::function<Value(int i)> dim;      ///< entry i of the kernel's table of lengths, an i64
  Value context;                        ///< a pointer to its KernelContext

  /// The CPU's: void** args, const int64_t* dims.
  static KernelArguments in_memory(Builder& b, Value args, Value dims, Value context);
};

/// Reads the lengths of a kernel at the start of a function, and gives the strides of its nodes.
class BodyShapes {
 public:
  BodyShapes(Builder& b, const runtime::KernelSpec& spec, const KernelArguments& arguments);

  /// Length `index` of the kernel's table.
  Value dim(std::int32_t index) const { return dims_[static_cast<std::size_t>(index)]; }
  /// Length of a node's axis; its distance between neighbours in elements; its number of elements.
  Value length(int node, int axis) const;
  Value stride(int node, int axis);
  Value count(int node);
  int rank(int node) const { return static_cast<int>(spec_.body[static_cast<std::size_t>(node)].shape.size()); }
  /// True if the length is known to be `value`.
  bool is_length(int node, int axis, std::int64_t value) const;
  /// True if the two axes are known to have one length.
  bool same_length(int a, int axis_a, int b, int axis_b) const;
  /// Known number of elements is 1.
  bool is_single(int node) const;

 private:
  void compute_strides();
  Builder& b_;
  const runtime::KernelSpec& spec_;
  std::vector<Value> dims_;
  std::map<std::vector<std::int32_t>, Value> products_;
};

/// Emits values of a body. One emitter serves one function.
class ElementEmitter {
 public:
  /// Ops that `outlined` contains are called; it may be null.
  ElementEmitter(Builder& b, const runtime::KernelSpec& spec, const KernelArguments& arguments, OutlinedOps* outlined = nullptr);

  /// The node's value: a scalar where it is the same in all lanes, else a vector.
  Value value(int node, const Position& at, const Mask& mask);
  /// Writes output `output` at the position.
  void store(int output, const Position& at, Value value, const Mask& mask);
  /// What value() answers for `node` from now on, wherever it is asked; an empty function takes that back.
  using Source = std::function<Value(const Position& at, const Mask& mask)>;
  void set_source(int node, Source source);

  Builder& builder() { return b_; }
  BodyShapes& shapes() { return shapes_; }
  Indexing& indexing() { return indexing_; }
  const runtime::KernelSpec& spec() const { return spec_; }
  const runtime::BodyNode& node(int n) const { return spec_.body[static_cast<std::size_t>(n)]; }

  /// The position by axes, or in row-major order.
  Position by_axes(int node, const Position& at);
  Index row_major(int node, const Position& at);
  /// The memory argument of an input (by node) or an output (by number).
  Value input_pointer(int node);
  Value output_pointer(int output);
  /// From now on output `output` is written there.
  void set_output_pointer(int output, Value pointer) { pointers_[spec_.num_inputs + output] = pointer; }
  /// Elements of `node`'s memory at pointer, as values.
  Value read(Value pointer, int node, const Position& at, const Mask& mask, bool invariant);
  /// Asks for an input's element at the position, which may lie outside, without waiting for it.
  void prefetch(int node, const Position& at);
  /// The combiner of a reduction kind ("add", "max", ...) applied to two values of dtype t.
  Value combine(const std::string& kind, DType t, Value a, Value b);
  /// The value that combine() of that kind ignores, bit for bit.
  Value identity(const std::string& kind, DType t);
  /// True if every node that `n` needs lies at the same row-major position as `n`, so that axes do not matter.
  bool is_linear(int n);
  /// Conversions between memory and values.
  Value from_memory(Value v, DType t);
  Value to_memory(Value v, DType t);
  Value convert(Value v, DType from, DType to);
  /// Tells the runtime of an error of that node if `bad` holds in a lane that counts.
  void report(int node, Value bad, Value payload, int error, const Mask& mask);
  /// v rounded to a half type; itself for any other type.
  Value round_half(Value v, DType t);

 private:
  using Key = std::vector<std::int64_t>;
  Key key_of(int node, const Position& at, const Mask& mask) const;
  Value compute(int node, const Position& at, const Mask& mask);
  /// is_linear(), of its operands' answers.
  bool keeps_place(int n) const;
  Value elementwise(int node, const Position& at, const Mask& mask);
  Value called_or_inline(const runtime::BodyNode& n, DType dtype, const Values& operands);

  /// x / divisor for a divisor that all lanes share, within 1.5 ulp: x times a reciprocal that is computed once.
  Value divide_by_scalar(Value x, Value divisor);
  /// Elements at address, address + step and so on, from loads of neighbours; null where that does not pay.
  Value read_strided(Value address, mlir::VectorType type, std::int64_t step, Value mask, bool invariant);
  /// Elements at address + lanes, by one load, if the lanes are known and close to each other; else null.
  Value read_close(Value address, mlir::VectorType type, Value lanes, Value mask, bool invariant);
  Value float_to_integer(Value v, DType to);
  Value round_int64_to_odd(Value v);
  Value lanes_mask(const Mask& mask);
  Mask guarded(const Mask& mask, Value condition);
  void check_divisor(int node, Value divisor, const Mask& mask);

  // One structural op each; element_structural.cpp, element_window.cpp, element_random.cpp.
  Value input(int node, const Position& at, const Mask& mask);
  Value broadcast(int node, const Position& at, const Mask& mask);
  Value transpose(int node, const Position& at, const Mask& mask);
  Value reshape(int node, const Position& at, const Mask& mask);
  Value slice(int node, const Position& at, const Mask& mask);
  Value pad(int node, const Position& at, const Mask& mask);
  Value concat(int node, const Position& at, const Mask& mask);
  Value gather(int node, const Position& at, const Mask& mask);
  Value cast(int node, const Position& at, const Mask& mask);
  Value iota(int node, const Position& at, const Mask& mask);
  Value constant(int node, const Position& at, const Mask& mask);
  Value random(int node, const Position& at, const Mask& mask);
  Value window_reduce(int node, const Position& at, const Mask& mask);
  /// True where the window of result position o lies in the padding.
  Value window_is_empty(int node, const Position& o);
  Value window_max_grad(int node, const Position& at, const Mask& mask);
  /// The windows along one axis that a position of x may lie in: `last` and those before it, of `count` windows; `tap` is its place in
  /// `last`.
  struct WindowsOver {
    Index last, tap;
    std::int64_t count;
  };
  /// The gradient at a position where x is `here`, from axis `axis` on with a piece of code for each place that it may have in the windows.
  Value sum_by_taps(int node, std::vector<WindowsOver>& windows, std::size_t axis, Value here, const Mask& mask);
  Value sum_over_windows(int node, const std::vector<WindowsOver>& windows, Value here, const Mask& mask);
  Value is_first_maximum(int node, const Ints& size, const Position& o, const Index& own_tap, Value here, const Mask& valid);
  using Emit = Value (ElementEmitter::*)(int node, const Position& at, const Mask& mask);
  static const std::map<std::string_view, Emit>& structural();

  Builder& b_;
  const runtime::KernelSpec& spec_;
  OutlinedOps* outlined_;
  Value context_;
  BodyShapes shapes_;
  Indexing indexing_;
  std::map<Key, Value> memo_;
  std::map<int, Source> sources_;
  std::vector<int> uses_;
  std::vector<bool> linear_;  ///< is_linear() of the first nodes
  std::map<int, Value> pointers_;
};

}  // namespace kiln::codegen
