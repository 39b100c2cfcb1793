// Eager kernel of cast.
#include "ops/kernels/cast.h"

#include "base/thread_pool.h"
#include "ops/structural.h"

namespace kiln::ops {

void Cast::kernel(std::span<const View> operands, const View& result, const Attrs&) {
  const View& x = operands[0];
  auto from_size = static_cast<std::int64_t>(size_of(x.dtype)), to_size = static_cast<std::int64_t>(size_of(result.dtype));
  auto convert = KILN_FOR_TARGET(cast_elements);
  parallel_for(result.shape.count(), 16 << 10, [&](std::int64_t begin, std::int64_t end) {
    convert(x.dtype, static_cast<const std::byte*>(x.data) + begin * from_size, result.dtype,
            static_cast<std::byte*>(result.data) + begin * to_size, end - begin);
  });
}

}  // namespace kiln::ops
