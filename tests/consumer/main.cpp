// Ten lines that use Kiln from outside its tree.
#include <kiln/kiln.h>
#include <kiln/version.h>

#include <iostream>

KILN_FUNCTION(kiln::Tensor, plus_one, (kiln::Tensor x)) { return x + 1; }

int main() { std::cout << KILN_VERSION << " " << plus_one(kiln::tensor({1.f, 2.f})) << "\n"; }
