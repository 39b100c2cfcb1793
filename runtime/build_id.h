// Build ids: which bytes of libkiln and of the compiler library are at work.
#pragma once
#include <string>

namespace kiln::runtime {

/// Hex build id of the library that holds this code, from its ELF note; its path, size and time if it was linked without one.
std::string own_build_id();
/// Path of that library, or of the program if it is linked in.
std::string own_path();
/// Hex build id of an ELF file, read without mapping it; its size and time if it has no note; empty if it cannot be read.
std::string file_build_id(const std::string& path);

}  // namespace kiln::runtime
