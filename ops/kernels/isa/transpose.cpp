// Transposition by the size of elements.
#include "ops/kernels/isa/transpose.h"

#include "ops/kernels/copy.h"

namespace kiln::ops::KILN_ISA {
namespace {

template <class T>
void transpose_as(const void* from, std::int64_t from_row, void* to, std::int64_t to_row, std::int64_t rows, std::int64_t cols) {
  transpose_matrix(static_cast<const T*>(from), from_row, static_cast<T*>(to), to_row, rows, cols);
}

}  // namespace

void transpose(std::size_t element, const void* from, std::int64_t from_row, void* to, std::int64_t to_row, std::int64_t rows,
               std::int64_t cols) {
  switch (element) {
    case 1:
      return transpose_as<std::uint8_t>(from, from_row, to, to_row, rows, cols);
    case 2:
      return transpose_as<std::uint16_t>(from, from_row, to, to_row, rows, cols);
    case 4:
      return transpose_as<std::uint32_t>(from, from_row, to, to_row, rows, cols);
    default:
      return transpose_as<std::uint64_t>(from, from_row, to, to_row, rows, cols);
  }
}

}  // namespace kiln::ops::KILN_ISA
