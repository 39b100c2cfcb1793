// The message of the error that a call throws.
#pragma once
#include <kiln/error.h>

#include <string>

namespace kiln::testing {

/// Without the place; "no error" if nothing is thrown.
template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

}  // namespace kiln::testing
