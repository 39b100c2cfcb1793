// Rows: the tensors behind from_tensors, from which batches are gathered without making a Tensor for each example. Internal to
// frontend/data.
#pragma once
#include <kiln/data.h>

#include <span>
#include <vector>

#include "runtime/buffer.h"

namespace kiln::data::detail {

/// One tensor of rows. `unit` rows are stored as uint8 and come out as float32, divided by 255.
struct Column {
  TensorType stored;
  runtime::Buffer buffer;
  bool unit = false;

  std::int64_t rows() const { return stored.shape[0]; }
  std::int64_t row_elements() const { return rows() == 0 ? 0 : stored.shape.count() / rows(); }
  DType dtype() const { return unit ? DType::float32 : stored.dtype; }
};

struct Rows {
  std::vector<Column> columns;
  std::int64_t count = 0;

  /// The given rows stacked: of shape [indices, ...].
  void gather(std::span<const std::int64_t> indices, Element& element) const;
  /// One row, without the first axis.
  void row(std::int64_t index, Element& element) const;
};

SourcePtr from_rows(Rows rows);

}  // namespace kiln::data::detail
