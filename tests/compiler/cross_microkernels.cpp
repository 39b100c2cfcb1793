// The built-in micro-kernels on another machine, run under its emulator: every tile gives the bits of std::fma in order.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include "ops/kernels/microkernel.h"

using namespace kiln::ops;

namespace {

int failures = 0;

/// One tile of `rows` x `cols`, over two segments, against the terms in order.
template <class T>
void check(const MicroKernels& kernels, int rows, int vectors, int cols, bool accumulate) {
  constexpr std::int64_t depth = 37, first = 20;
  const std::int64_t width = vectors * kernels.lanes;
  std::mt19937 engine(static_cast<unsigned>(rows * 100 + cols));
  std::uniform_real_distribution<double> real(-2, 2);
  std::vector<T> left(static_cast<std::size_t>(rows * depth)), right(static_cast<std::size_t>(depth * width)),
      out(static_cast<std::size_t>(rows * cols));
  for (auto* values : {&left, &right, &out}) {
    for (T& x : *values) x = std::is_integral_v<T> ? static_cast<T>(engine() % 1000) : static_cast<T>(real(engine));
  }
  std::vector<std::int64_t> left_rows, out_rows;
  for (int i = 0; i < rows; ++i) left_rows.push_back(i * depth), out_rows.push_back(i * cols);
  const TileSegment segments[] = {{0, 0, first}, {first, first, depth - first}};
  std::vector<T> expected = out;
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      T sum = accumulate ? out[static_cast<std::size_t>(i * cols + j)] : T{};
      for (std::int64_t p = 0; p < depth; ++p) {
        const T a = left[static_cast<std::size_t>(i * depth + p)], b = right[static_cast<std::size_t>(p * width + j)];
        if constexpr (std::is_integral_v<T>)
          sum = a * b + sum;
        else
          sum = std::fma(a, b, sum);
      }
      expected[static_cast<std::size_t>(i * cols + j)] = sum;
    }
  }
  TileCall call{left.data(), right.data(), out.data(), left_rows.data(), out_rows.data(), segments, 2, 1, width, cols, accumulate};
  kernels.at(rows, vectors)(call);
  if (std::memcmp(expected.data(), out.data(), out.size() * sizeof(T)) == 0) return;
  ++failures;
  std::printf("a tile of %d x %d, %d vectors of %d elements of %d bytes, accumulate %d: other bits\n", rows, cols, vectors, kernels.lanes,
              static_cast<int>(sizeof(T)), accumulate);
}

template <class T>
int check_all(ComputeType type) {
  const MicroKernels& kernels = baseline::micro_kernels(type);
  int tiles = 0;
  for (int vectors = 1; vectors <= kernels.vectors; ++vectors) {
    for (int rows = 1; rows <= kernels.rows[vectors]; ++rows) {
      for (int cols = (vectors - 1) * kernels.lanes + 1; cols <= vectors * kernels.lanes; ++cols) {
        for (bool accumulate : {false, true}) check<T>(kernels, rows, vectors, cols, accumulate), ++tiles;
      }
    }
  }
  return tiles;
}

}  // namespace

int main() {
  const int tiles = check_all<float>(ComputeType::f32) + check_all<double>(ComputeType::f64) + check_all<std::uint32_t>(ComputeType::u32) +
                    check_all<std::uint64_t>(ComputeType::u64);
  std::printf("%d tiles, %d wrong\n", tiles, failures);
  return failures == 0 && tiles > 0 ? 0 : 1;
}
