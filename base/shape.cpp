// Shape and TensorType: construction, counting, text, NumPy's broadcasting.
#include <kiln/shape.h>

#include <algorithm>
#include <ostream>

#include "base/require.h"

namespace kiln {
namespace {

void check_rank(std::size_t rank) {
  KILN_REQUIRE(rank <= static_cast<std::size_t>(kMaxRank), ShapeError, "a tensor has at most {} axes, not {}", kMaxRank, rank);
}

}  // namespace

Shape::Shape(std::span<const Dim> dims) {
  check_rank(dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
  rank_ = static_cast<int>(dims.size());
}

Shape::Shape(std::span<const std::int64_t> dims) {
  check_rank(dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
  rank_ = static_cast<int>(dims.size());
}

void Shape::push_back(Dim d) {
  check_rank(size() + 1);
  dims_[size()] = d;
  ++rank_;
}

void Shape::fail_axis(std::int64_t axis) const {
  throw ShapeError(fmt::format("a shape of {} axes, {}, has no axis {}", rank_, str(), axis), user_location());
}

bool Shape::is_static() const {
  return std::all_of(begin(), end(), [](Dim d) { return d.is_constant(); });
}

Dim Shape::elements() const {
  Dim product = 1;
  for (Dim d : *this) product = product * d;
  return product;
}

std::int64_t Shape::count() const {
  std::int64_t product = 1;
  for (Dim d : *this) {
    std::int64_t length = d;
    bool overflows = __builtin_mul_overflow(product, length, &product);
    KILN_REQUIRE(!overflows, ShapeError, "a tensor of shape {} has more than 2^63 elements", str());
  }
  return product;
}

std::vector<std::int64_t> Shape::sizes() const { return {begin(), end()}; }

std::string Shape::str() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) {
    if (axis > 0) text += ", ";
    text += (*this)[axis].str();
  }
  return text + "]";
}

bool operator==(const Shape& a, const Shape& b) { return a.rank_ == b.rank_ && std::equal(a.begin(), a.end(), b.begin()); }

std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.str(); }

std::string TensorType::str() const { return std::string(name(dtype)) + shape.str(); }

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape result = longer;
  int offset = longer.rank() - shorter.rank();
  for (int axis = 0; axis < shorter.rank(); ++axis) {
    Dim& length = result[axis + offset];
    Dim other = shorter[axis];
    if (length == other || other == 1) continue;
    KILN_REQUIRE(length == 1, ShapeError, "shapes {} and {} do not broadcast: axis {} has lengths {} and {}", a.str(), b.str(),
                 axis + offset - longer.rank(), a[axis + a.rank() - shorter.rank()].str(), b[axis + b.rank() - shorter.rank()].str());
    length = other;
  }
  return result;
}

}  // namespace kiln
