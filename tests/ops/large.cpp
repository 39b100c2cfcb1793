// Offsets beyond 2^31 elements, on mappings of which only the touched pages exist.
#include <sys/mman.h>

#include "ops/kernels/contraction.h"
#include "ops/op.h"
#include "tests/catch.h"

using namespace kiln;

namespace {

constexpr std::int64_t kFar = (std::int64_t{1} << 31) + 3;

/// Zeros; memory is taken for touched pages only.
template <class T>
class SparseMemory {
 public:
  explicit SparseMemory(std::int64_t count) : bytes_(static_cast<std::size_t>(count) * sizeof(T)) {
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ != MAP_FAILED) madvise(data_, bytes_, MADV_NOHUGEPAGE);
  }
  SparseMemory(const SparseMemory&) = delete;
  ~SparseMemory() { munmap(data_, bytes_); }
  bool exists() const { return data_ != MAP_FAILED; }
  T* data() const { return static_cast<T*>(data_); }

 private:
  std::size_t bytes_;
  void* data_;
};

}  // namespace

TEST_CASE("a contraction's rows, columns and depth may lie 2^31 elements apart") {
  // Strides of (row, depth) of lhs, (depth, column) of rhs, (row, column) of out, in turn far and near.
  for (int far = 0; far < 6; ++far) {
    auto stride = [&](int place, std::int64_t near) { return place == far ? kFar : near; };
    SparseMemory<float> lhs(4 * kFar), rhs(4 * kFar), out(4 * kFar);
    if (!lhs.exists() || !rhs.exists() || !out.exists()) return;
    Contraction c;
    c.num_row = c.num_col = c.num_depth = 1;
    c.row[0] = {.extent = 3, .lhs_stride = stride(0, 3), .out_stride = stride(4, 2)};
    c.depth[0] = {.extent = 3, .lhs_stride = stride(1, 1), .rhs_stride = stride(2, 2)};
    c.col[0] = {.extent = 2, .rhs_stride = stride(3, 1), .out_stride = stride(5, 1)};
    if (far == 1) c.row[0].lhs_stride = 1;
    if (far == 3) c.depth[0].rhs_stride = 1;
    if (far == 5) c.row[0].out_stride = 1;
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t k = 0; k < 3; ++k) lhs.data()[i * c.row[0].lhs_stride + k * c.depth[0].lhs_stride] = static_cast<float>(i + 10 * k);
    }
    for (std::int64_t k = 0; k < 3; ++k) {
      for (std::int64_t j = 0; j < 2; ++j) rhs.data()[k * c.depth[0].rhs_stride + j * c.col[0].rhs_stride] = static_cast<float>(k - 5 * j);
    }
    ops::run_contraction({.problem = &c, .lhs = lhs.data(), .rhs = rhs.data(), .out = out.data()});
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t j = 0; j < 2; ++j) {
        float expected = 0;
        for (std::int64_t k = 0; k < 3; ++k) expected += static_cast<float>((i + 10 * k) * (k - 5 * j));
        INFO("far stride " << far << ", element " << i << ", " << j);
        CHECK(out.data()[i * c.row[0].out_stride + j * c.col[0].out_stride] == expected);
      }
    }
  }
}

TEST_CASE("gather and slice reach elements beyond 2^31") {
  SparseMemory<std::int8_t> x(4 * kFar);
  if (!x.exists()) return;
  x.data()[4 * (kFar - 1) + 1] = 7;
  x.data()[4 * (kFar - 2) + 1] = 5;
  ops::View operand{x.data(), DType::int8, Shape{kFar, 4}};
  std::int64_t indices[] = {kFar - 1, 0, kFar - 2};
  std::int8_t rows[12] = {};
  Attrs attrs;
  attrs.set("axis", std::int64_t{0});
  const ops::OpDef& gather = ops::op("gather");
  std::vector<ops::View> operands{operand, {indices, DType::int64, Shape{3}}};
  gather.kernel(gather, operands, {rows, DType::int8, Shape{3, 4}}, attrs);
  CHECK(rows[1] == 7);
  CHECK(rows[5] == 0);
  CHECK(rows[9] == 5);
  const ops::OpDef& slice = ops::op("slice");
  Attrs range;
  range.set("start", Ints{kFar - 1, 1});
  range.set("limit", Ints{kFar - 3, 2});
  range.set("step", Ints{-1, 1});
  std::int8_t column[2] = {};
  slice.kernel(slice, {&operand, 1}, {column, DType::int8, Shape{2, 1}}, range);
  CHECK(column[0] == 7);
  CHECK(column[1] == 5);
}
