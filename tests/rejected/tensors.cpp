// Misuse of tensors and variables that must not compile. Each block is one test: see CMakeLists.txt.
#include <kiln/kiln.h>

using namespace kiln;

//! ASSIGN_ELEMENT: deleted
#ifdef ASSIGN_ELEMENT
void use(Tensor a) { a[0] = 5; }
#endif

//! ADD_TO_ELEMENT:
#ifdef ADD_TO_ELEMENT
void use(Tensor a) { a[0] += 5; }
#endif

//! IGNORED_SET: nodiscard
#ifdef IGNORED_SET
void use(Tensor a) { a.set({0}, 5); }
#endif

//! IGNORED_TAPE: nodiscard
#ifdef IGNORED_TAPE
void use() { GradientTape{}; }
#endif

//! COPIED_VARIABLE:
#ifdef COPIED_VARIABLE
void use(Variable& w) { auto v = w; }
#endif

//! COPIED_IN_LOOP:
#ifdef COPIED_IN_LOOP
void use(std::vector<Variable>& all) {
  for (auto v : all) v.assign(1);
}
#endif

//! IMPLICIT_BOOL:
#ifdef IMPLICIT_BOOL
bool use(Tensor n) {
  bool positive = n > 0;
  return positive;
}
#endif

//! SWITCH:
#ifdef SWITCH
void use(Tensor n) {
  switch (n) {}
}
#endif

//! TO_FLOAT:
#ifdef TO_FLOAT
float use(Tensor n) { return n; }
#endif

//! FROM_STRING:
#ifdef FROM_STRING
Tensor use(Tensor n) { return n + "abc"; }
#endif

//! MIXED_LITERALS:
#ifdef MIXED_LITERALS
Tensor use() { return tensor({1, 2.5}); }
#endif

//! WRONG_SPAN: kiln: no dtype stores this C++ type
#ifdef WRONG_SPAN
void use(Tensor n) { n.span<short>(); }
#endif
