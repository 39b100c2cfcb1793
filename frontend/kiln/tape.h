// GradientTape: reverse-mode differentiation of what ran while it watched.
#pragma once
#include <kiln/tensor.h>
#include <kiln/variable.h>

#include <concepts>
#include <memory>
#include <vector>

namespace kiln {

struct TapeOptions {
  bool persistent = false;  ///< gradient() may be called more than once
};

/// Records ops from its construction. Trainable variables are watched by themselves, tensors by watch().
class [[nodiscard]] GradientTape {
 public:
  [[nodiscard]] explicit GradientTape(TapeOptions options = {});
  GradientTape(const GradientTape&) = delete;
  GradientTape& operator=(const GradientTape&) = delete;
  ~GradientTape();

  void watch(const Arg& x);
  /// d(sum of target) / d(source) for each source; an undefined Tensor where the target does not depend on it.
  /// Stops a tape that is not persistent; StateError if it was stopped before.
  std::vector<Tensor> gradient(const Arg& target, const Variables& sources);
  Tensor gradient(const Arg& target, const Variable& source);
  /// The same for watched tensors.
  template <std::same_as<Tensor> T>
  Tensor gradient(const Arg& target, const T& source) {
    return of_tensors(target, {&source, 1}).front();
  }
  template <std::same_as<Tensor> T>
  std::vector<Tensor> gradient(const Arg& target, const std::vector<T>& sources) {
    return of_tensors(target, sources);
  }

 private:
  std::vector<Tensor> of_tensors(const Arg& target, std::span<const Tensor> sources);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// x, through which no gradient flows.
Tensor stop_gradient(const Arg& x);

}  // namespace kiln
