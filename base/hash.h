// A 128-bit hash for cache keys and checksums. Stable across processes and machines; not cryptographic.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace kiln {

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
  /// 32 hexadecimal digits.
  std::string hex() const;
};

/// MurmurHash3's x64 128-bit function (Appleby).
Hash128 hash128(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace kiln
