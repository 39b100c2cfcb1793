// Catch2 version 2 or 3, whichever the system has.
#pragma once
#if KILN_CATCH2_MAJOR >= 3
#include <catch2/catch_all.hpp>
using Catch::Approx;
/// Matches texts that contain `part`.
inline auto contains_text(const std::string& part) { return Catch::Matchers::ContainsSubstring(part); }
#else
#include <catch2/catch.hpp>
inline auto contains_text(const std::string& part) { return Catch::Matchers::Contains(part); }
#endif
