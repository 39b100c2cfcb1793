// Tensors line by line: arithmetic, slices, reductions, a gradient. Everything runs at once, as in NumPy.
#include <kiln/kiln.h>

#include <iostream>

using namespace kiln;

int main() {
  Tensor a = tensor({{1.f, 2.f}, {3.f, 4.f}});
  std::cout << "a =\n" << a << "\n\nmatmul(a, a) + 1 =\n" << matmul(a, a) + 1 << "\n\n";
  std::cout << "first row " << a[0] << ", last column " << a[{Slice{}, -1}] << ", sum of each row " << sum(a, 1) << "\n";
  a = a.set({0, 0}, 10);
  std::cout << "after a = a.set({0, 0}, 10): mean " << mean(a).item<float>() << "\n\n";

  Variable x{Tensor(2.0f)};
  GradientTape tape;
  Tensor y = exp(x) * x;
  std::cout << "y = x exp(x) at 2 is " << y << ", dy/dx is " << tape.gradient(y, x) << "\n\n";

  try {
    matmul(a, zeros({3, 2}));
  } catch (const ShapeError& error) {
    std::cout << "A mistake says what is wrong, and where:\n  " << error.what() << "\n";
  }
}
