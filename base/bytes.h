// Little-endian bytes in and out. The reader trusts nothing: every length is checked before it is used.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/require.h"

namespace kiln {

class ByteWriter {
 public:
  /// Any number or enum, at its own size.
  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes_.append(raw, sizeof(T));
  }
  void put_text(std::string_view text) {
    put(static_cast<std::uint64_t>(text.size()));
    bytes_.append(text);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads what ByteWriter wrote; `what` names the input in the FileError that any damage throws.
class ByteReader {
 public:
  ByteReader(std::string_view bytes, const char* what) : rest_(bytes), what_(what) {}

  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  T get() {
    std::string_view raw = take(sizeof(T));
    if constexpr (std::is_same_v<T, bool>) {
      return raw[0] != 0;
    } else {
      T value;
      std::memcpy(&value, raw.data(), sizeof(T));
      return value;
    }
  }
  /// An enum whose values are 0 ... last.
  template <class E>
  E get_enum(E last) {
    auto value = get<std::underlying_type_t<E>>();
    if (static_cast<std::uint64_t>(value) > static_cast<std::uint64_t>(last)) fail("an unknown enumerator");
    return static_cast<E>(value);
  }
  std::string_view get_text() { return take(get<std::uint64_t>()); }
  /// The number of entries of a list whose entries take at least `least` bytes each.
  std::size_t get_count(std::size_t least) {
    auto count = get<std::uint64_t>();
    if (count > rest_.size() / least) fail("cut short");
    return count;
  }
  void expect_end() const {
    if (!rest_.empty()) fail("trailing bytes");
  }
  [[noreturn]] void fail(std::string_view how) const { throw FileError(fmt::format("{} is damaged: {}", what_, how), user_location()); }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) fail("cut short");
    std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
  const char* what_;
};

}  // namespace kiln
