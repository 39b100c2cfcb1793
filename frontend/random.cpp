// Random tensors and the process's sequence.
#include <kiln/ops.h>

#include <utility>
#include <vector>

#include "frontend/access.h"
#include "graph/random.h"
#include "ops/build.h"

namespace kiln::random {

using graph::Value;
using kiln::detail::Access;

namespace {

Value draw(std::string_view kind, const Shape& shape, DType dtype, const std::optional<Key>& key) {
  KILN_REQUIRE(is_floating(dtype), DTypeError, "random: {} is not a floating-point dtype", name(dtype));
  if (key) return ops::random(graph::key_value({key->seed, key->stream}), kind, shape, dtype, 0);
  auto [state, ordinal] = graph::random_stream();
  return ops::random(state, kind, shape, dtype, ordinal);
}

/// x * scale + offset, in x's memory.
Tensor scaled(Value x, double scale, double offset) {
  std::vector<Value> operands;
  operands.push_back(std::move(x));
  operands.emplace_back(scale);
  operands.emplace_back(offset);
  return Access::tensor(graph::apply_consuming(ops::op("fma"), std::move(operands), {}));
}

}  // namespace

Tensor uniform(const Shape& shape, UniformOptions options, Loc where) {
  LocationScope scope(where);
  Value x = draw("uniform", shape, options.dtype, options.key);
  if (options.low == 0 && options.high == 1) return Access::tensor(x);
  return scaled(std::move(x), options.high - options.low, options.low);
}

Tensor normal(const Shape& shape, NormalOptions options, Loc where) {
  LocationScope scope(where);
  Value x = draw("normal", shape, options.dtype, options.key);
  if (options.mean == 0 && options.stddev == 1) return Access::tensor(x);
  return scaled(std::move(x), options.stddev, options.mean);
}

void set_seed(std::uint64_t seed) { graph::set_seed(static_cast<std::int64_t>(seed)); }

std::uint64_t seed() { return static_cast<std::uint64_t>(graph::reserve_streams(0).seed); }

}  // namespace kiln::random
