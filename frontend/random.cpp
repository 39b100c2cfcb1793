// Random tensors and the process's sequence.
#include <kiln/math.h>
#include <kiln/ops.h>

#include "frontend/access.h"
#include "graph/random.h"
#include "ops/build.h"

namespace kiln::random {

using graph::Value;
using kiln::detail::Access;

namespace {

Tensor draw(std::string_view kind, const Shape& shape, DType dtype, const std::optional<Key>& key) {
  KILN_REQUIRE(is_floating(dtype), DTypeError, "random: {} is not a floating-point dtype", name(dtype));
  if (key) return Access::tensor(ops::random(graph::key_value({key->seed, key->stream}), kind, shape, dtype, 0));
  auto [state, ordinal] = graph::random_stream();
  return Access::tensor(ops::random(state, kind, shape, dtype, ordinal));
}

}  // namespace

Tensor uniform(const Shape& shape, UniformOptions options, Loc where) {
  LocationScope scope(where);
  Tensor x = draw("uniform", shape, options.dtype, options.key);
  if (options.low == 0 && options.high == 1) return x;
  return kiln::fma(x, options.high - options.low, options.low);
}

Tensor normal(const Shape& shape, NormalOptions options, Loc where) {
  LocationScope scope(where);
  Tensor x = draw("normal", shape, options.dtype, options.key);
  if (options.mean == 0 && options.stddev == 1) return x;
  return kiln::fma(x, options.stddev, options.mean);
}

void set_seed(std::uint64_t seed) { graph::set_seed(static_cast<std::int64_t>(seed)); }

std::uint64_t seed() { return static_cast<std::uint64_t>(graph::reserve_streams(0).seed); }

}  // namespace kiln::random
