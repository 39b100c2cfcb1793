// A place in the user's source: where an op was written.
#pragma once

namespace kiln {

/// File and line of a statement of the user's program. `file` must outlive the process's use of it: a literal or an interned string.
struct Loc {
  const char* file = "";
  int line = 0;

  /// The place of the call in whose default argument this stands.
  static constexpr Loc here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
  constexpr bool known() const { return line > 0; }
};

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

}  // namespace kiln
