// The user's mistake (KILN_REQUIRE) and ours (KILN_ASSERT), told apart; and the line of the user's program that is running.
#pragma once
#include <fmt/format.h>
#include <kiln/error.h>

#include <string>

namespace kiln {

/// The line of the user's program on whose behalf this thread works; unknown outside any op.
Loc user_location();

/// Sets the user's line for this thread until destroyed. Only the outermost scope counts: what ops call inside inherits it.
class LocationScope {
 public:
  explicit LocationScope(Loc where);
  ~LocationScope();
  LocationScope(const LocationScope&) = delete;
  LocationScope& operator=(const LocationScope&) = delete;

 private:
  bool outermost_;
};

/// Replaces the user's line even inside another scope (the differentiator emits a gradient op under its forward op's line).
class LocationOverride {
 public:
  explicit LocationOverride(Loc where);
  ~LocationOverride();
  LocationOverride(const LocationOverride&) = delete;
  LocationOverride& operator=(const LocationOverride&) = delete;

 private:
  Loc saved_;
};

/// A copy of `text` that lives as long as the process; equal texts give the same pointer.
const char* intern(std::string_view text);

[[noreturn]] void internal_error(const char* condition, const char* file, int line, const std::string& message);

}  // namespace kiln

/// KILN_REQUIRE(k == n, ShapeError, "matmul: ... {} ...", k): throws that error at the user's line unless the condition holds.
#define KILN_REQUIRE(condition, Kind, ...)                                     \
  do {                                                                         \
    if (!(condition)) [[unlikely]]                                             \
      throw ::kiln::Kind(::fmt::format(__VA_ARGS__), ::kiln::user_location()); \
  } while (false)

/// An invariant of Kiln; throws InternalError.
#define KILN_ASSERT(condition, ...)                                                       \
  do {                                                                                    \
    if (!(condition)) [[unlikely]]                                                        \
      ::kiln::internal_error(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
