// Matrix products, einsum, convolution and pooling.
#include <kiln/ops.h>

#include "frontend/access.h"
#include "frontend/composite.h"

namespace kiln {

using detail::Access;
using graph::Value;

namespace {

void require_one_dtype(std::string_view op, const Value& a, const Value& b) {
  KILN_REQUIRE(a.dtype() == b.dtype(), DTypeError, "{}: operands are {} and {}; convert one of them with cast()", op, a.type().str(),
               b.type().str());
}

ops::Pool2DAttrs pool_attrs(std::string_view op, nn::Size2 size, const PoolOptions& options) {
  nn::Size2 strides = options.strides.value_or(size);
  KILN_REQUIRE(size.height >= 1 && size.width >= 1 && strides.height >= 1 && strides.width >= 1, ValueError,
               "{}: window {}x{} and strides {}x{} must be at least 1", op, size.height, size.width, strides.height, strides.width);
  return {{size.height, size.width}, {strides.height, strides.width}, options.padding == nn::Same};
}

}  // namespace

Tensor matmul(const Arg& a, const Arg& b) {
  LocationScope scope(b.loc());
  Value x = graph::strong(Access::value(a)), y = graph::strong(Access::value(b));
  require_one_dtype("matmul", x, y);
  return Access::tensor(ops::matmul(x, y));
}

Tensor einsum(std::string_view equation, const Arg& a, const Arg& b) {
  LocationScope scope(b.loc());
  Value x = graph::strong(Access::value(a)), y = graph::strong(Access::value(b));
  require_one_dtype("einsum", x, y);
  return Access::tensor(ops::einsum(equation, x, y));
}

Tensor conv2d(const Arg& x, const Arg& filters, ConvOptions options) {
  LocationScope scope(filters.loc());
  KILN_REQUIRE(options.groups >= 1 && options.strides.height >= 1 && options.strides.width >= 1 && options.dilation.height >= 1 &&
                   options.dilation.width >= 1,
               ValueError, "conv2d: groups, strides and dilation must be at least 1");
  Value images = Access::value(x), taps = Access::value(filters);
  require_one_dtype("conv2d", images, taps);
  return Access::tensor(ops::conv2d(images, taps,
                                    {{options.strides.height, options.strides.width},
                                     options.padding == nn::Same,
                                     {options.dilation.height, options.dilation.width},
                                     options.groups}));
}

Tensor max_pool2d(const Arg& x, nn::Size2 size, PoolOptions options) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::max_pool2d(Access::value(x), pool_attrs("max_pool2d", size, options)));
}

Tensor avg_pool2d(const Arg& x, nn::Size2 size, PoolOptions options) {
  LocationScope scope(x.loc());
  return Access::tensor(ops::avg_pool2d(Access::value(x), pool_attrs("avg_pool2d", size, options)));
}

}  // namespace kiln
