// Shape: the lengths of a tensor's axes.
#pragma once
#include <kiln/dim.h>
#include <kiln/dtype.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

namespace kiln {

/// Highest rank of a tensor, as in TensorFlow's kernels.
inline constexpr int kMaxRank = 8;

/// Lengths of the axes, outermost first. A value without heap memory; at most kMaxRank axes (ShapeError beyond).
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims) : Shape(std::span<const Dim>(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const Dim> dims);
  explicit Shape(std::span<const std::int64_t> dims);
  explicit Shape(const std::vector<std::int64_t>& dims) : Shape(std::span<const std::int64_t>(dims)) {}

  int rank() const { return rank_; }
  std::size_t size() const { return static_cast<std::size_t>(rank_); }
  bool empty() const { return rank_ == 0; }
  /// Length of an axis; negative ones count from the end. Throws ShapeError if there is no such axis.
  Dim operator[](std::integral auto axis) const { return dims_[place(static_cast<std::int64_t>(axis))]; }
  Dim& operator[](std::integral auto axis) { return dims_[place(static_cast<std::int64_t>(axis))]; }
  const Dim* begin() const { return dims_.data(); }
  const Dim* end() const { return dims_.data() + rank_; }
  Dim back() const { return (*this)[-1]; }
  void push_back(Dim d);

  /// True if no axis is symbolic.
  bool is_static() const;
  /// Product of the lengths; 1 for rank 0.
  Dim elements() const;
  /// The same as a number; throws TraceError if an axis is symbolic.
  std::int64_t count() const;
  /// The lengths as numbers; throws TraceError if an axis is symbolic.
  std::vector<std::int64_t> sizes() const;
  /// "[32, 28, 28, 1]".
  std::string str() const;

  friend bool operator==(const Shape& a, const Shape& b);

 private:
  std::size_t place(std::int64_t axis) const {
    const std::int64_t at = axis < 0 ? axis + rank_ : axis;
    if (at < 0 || at >= rank_) [[unlikely]]
      fail_axis(axis);
    return static_cast<std::size_t>(at);
  }
  [[noreturn]] void fail_axis(std::int64_t axis) const;

  std::array<Dim, kMaxRank> dims_ = {};
  int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& s);

/// Element type and shape of a tensor.
struct TensorType {
  DType dtype = DType::float32;
  Shape shape;
  friend bool operator==(const TensorType&, const TensorType&) = default;
  /// "float32[32, 784]".
  std::string str() const;
};

/// NumPy's rule: axes aligned at the end, 1 stretches. Throws ShapeError naming both shapes.
Shape broadcast_shapes(const Shape& a, const Shape& b);

}  // namespace kiln
