// Blocks of random numbers (ops/random.h), built per ISA level.
#pragma once
#include <kiln/dtype.h>

#include <cstdint>

#include "ops/kernels/dispatch.h"

namespace kiln::ops {

enum class RandomKind : std::uint8_t { uniform, normal, bits };

/// Elements [begin, end) of a stream, stored from `to` on.
using RandomFn = void (*)(RandomKind kind, DType dtype, std::uint64_t seed, std::uint64_t stream, std::int64_t begin, std::int64_t end,
                          void* to);

KILN_DECLARE_PER_ISA(void random_elements(RandomKind kind, DType dtype, std::uint64_t seed, std::uint64_t stream, std::int64_t begin,
                                          std::int64_t end, void* to))

}  // namespace kiln::ops
