// The floating-point environment that all kernels run under.
#pragma once
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace kiln {

/// While alive, this thread rounds to nearest, keeps subnormals and masks exceptions, whatever the caller had set.
class DefaultFloatEnvironment {
 public:
#if defined(__SSE2__)
  DefaultFloatEnvironment() : saved_(_mm_getcsr()) {
    if ((saved_ & kControl) != kDefault) [[unlikely]]
      _mm_setcsr(kDefault);
  }
  ~DefaultFloatEnvironment() {
    if ((saved_ & kControl) != kDefault) [[unlikely]]
      _mm_setcsr(saved_);
  }

 private:
  static constexpr unsigned kDefault = 0x1f80;
  static constexpr unsigned kControl = 0xffc0;  // all but the six sticky flags
  unsigned saved_;
#else
  DefaultFloatEnvironment() {}
  ~DefaultFloatEnvironment() {}
#endif

 public:
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;
};

}  // namespace kiln
