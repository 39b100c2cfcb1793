// What Kiln throws: one class for each kind of mistake.
#pragma once
#include <kiln/loc.h>

#include <exception>
#include <string>

namespace kiln {

/// Base of everything Kiln throws. what() names the op, the shapes, the user's file:line, and what to do.
class Error : public std::exception {
 public:
  Error(std::string message, Loc where);
  const char* what() const noexcept override { return text_.c_str(); }
  /// The message without the place.
  const std::string& message() const { return message_; }
  /// The user's line, if one is known.
  Loc where() const { return where_; }

 private:
  std::string message_;
  std::string text_;
  Loc where_;
};

/// Shapes, axes or indices that do not fit.
class ShapeError : public Error {
  using Error::Error;
};
/// Element types that do not fit.
class DTypeError : public Error {
  using Error::Error;
};
/// Any other argument out of its domain.
class ValueError : public Error {
  using Error::Error;
};
/// A symbolic value where a number is needed, a leaked symbolic tensor, a variable made at a second trace.
class TraceError : public Error {
  using Error::Error;
};
/// An object used before it is ready: weights before the first call, a tape after it was stopped.
class StateError : public Error {
  using Error::Error;
};
/// A file that is missing, damaged, or not what it claims to be.
class FileError : public Error {
  using Error::Error;
};
/// The compiler library is missing, or compiling failed.
class CompileError : public Error {
  using Error::Error;
};
/// An error found while a kernel ran: index out of range, integer division by zero.
class RuntimeError : public Error {
  using Error::Error;
};
/// A bug in Kiln, not in the user's program.
class InternalError : public Error {
  using Error::Error;
};

}  // namespace kiln
