// What a vjp may ask of the tensors that it is instantiated with.
#pragma once

namespace kiln::ops {

/// Whether the gradient of that operand is used: where it costs something, a vjp returns V{} if not. A V that does not know uses all.
template <class V>
bool wants_gradient(int operand) {
  if constexpr (requires { V::needs_gradient(operand); }) {
    return V::needs_gradient(operand);
  } else {
    return true;
  }
}

}  // namespace kiln::ops
