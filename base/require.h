// The user's mistake (KILN_REQUIRE) and ours (KILN_ASSERT), told apart; and the line of the user's program that is running.
#pragma once
#include <fmt/format.h>
#include <kiln/error.h>

#include <string>

namespace kiln {

/// The line of the user's program on whose behalf this thread works; unknown outside any op.
Loc user_location();

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

/// Names the part of the user's program that is running, "Dense 'fc1'": errors thrown meanwhile end with " (in Dense 'fc1')".
/// The innermost counts; one without a name says nothing. Both texts must outlive the scope.
class ErrorContext {
 public:
  ErrorContext(const char* kind, const std::string& name);
  ~ErrorContext();
  ErrorContext(const ErrorContext&) = delete;
  ErrorContext& operator=(const ErrorContext&) = delete;

 private:
  const char* saved_kind_;
  const std::string* saved_name_;
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
