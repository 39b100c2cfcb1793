// Eager kernel of random.
#include "ops/kernels/random.h"

#include "base/thread_pool.h"
#include "ops/structural.h"

namespace kiln::ops {

void Random::kernel(std::span<const View> operands, const View& result, const Attrs& attrs) {
  const auto* key = static_cast<const std::int64_t*>(operands[0].data);
  auto seed = static_cast<std::uint64_t>(key[0]);
  std::uint64_t stream = static_cast<std::uint64_t>(key[1]) + static_cast<std::uint64_t>(attrs.get<std::int64_t>("stream"));
  const auto& name = attrs.get<std::string>("kind");
  RandomKind kind = name == "uniform" ? RandomKind::uniform : name == "normal" ? RandomKind::normal : RandomKind::bits;
  auto size = static_cast<std::int64_t>(size_of(result.dtype));
  auto run = KILN_FOR_TARGET(random_elements);
  parallel_for(result.shape.count(), 4 << 10, [&](std::int64_t begin, std::int64_t end) {
    run(kind, result.dtype, seed, stream, begin, end, static_cast<std::byte*>(result.data) + begin * size);
  });
}

}  // namespace kiln::ops
