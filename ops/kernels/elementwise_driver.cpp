// Dispatch of elementwise ops over shapes, dtypes and threads.
#include "ops/kernels/elementwise_driver.h"

#include <vector>

#include "base/half.h"

namespace kiln::ops {

namespace {

double load(const View& v, std::size_t i) {
  return visit_dtype(v.dtype, [&]<class T>(std::type_identity<T>) {
    T x = static_cast<const T*>(v.data)[i];
    if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>)
      return to_double(x);
    else
      return static_cast<double>(x);
  });
}

void store(const View& v, std::size_t i, double value) {
  visit_dtype(v.dtype, [&]<class T>(std::type_identity<T>) {
    T* p = static_cast<T*>(v.data) + i;
    if constexpr (std::same_as<T, float16>)
      *p = to_float16(value);
    else if constexpr (std::same_as<T, bfloat16>)
      *p = to_bfloat16(value);
    else
      *p = static_cast<T>(value);
  });
}

}  // namespace

void elementwise_kernel(const OpDef& op, std::span<const View> operands, const View& result, const Attrs& attrs) {
  std::vector<TensorType> types;
  std::vector<std::vector<double>> values;
  for (const View& v : operands) {
    types.push_back({v.dtype, v.shape});
    std::vector<double>& all = values.emplace_back(static_cast<std::size_t>(v.shape.count()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = load(v, i);
  }
  std::vector<double> out;
  op.reference(op, types, values, {result.dtype, result.shape}, out, attrs);
  for (std::size_t i = 0; i < out.size(); ++i) store(result, i, out[i]);
}

}  // namespace kiln::ops
