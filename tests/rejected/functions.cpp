// Misuse of traced functions that must not compile, with the text of the static_assert that says why. Each block is one test: see
// CMakeLists.txt.
#include <kiln/kiln.h>
#include <kiln/nn.h>

#include <map>

using namespace kiln;

struct Tied : nn::Model<Tied> {
  nn::Dense e{4};
  Tensor call(Tensor x) { return e(e(x)); }
};
struct Opaque {
  explicit Opaque(int n) : size(n) {}
  int size;
};

//! POINTER: kiln: a pointer cannot be a parameter of a compiled function; pass a reference to the object
#ifdef POINTER
KILN_FUNCTION(Tensor, f, (Tied * m, Tensor x)) { return (*m)(x); }
Tensor use() {
  Tied t;
  return f(&t, 1);
}
#endif

//! MODEL_BY_VALUE: kiln: pass models, layers, optimizers and variables by reference; by value they are copied and traced at each call
#ifdef MODEL_BY_VALUE
KILN_FUNCTION(Tensor, f, (Tied m, Tensor x)) { return m(x); }
Tensor use() {
  Tied t;
  return f(t, 1);
}
#endif

//! TENSOR_REFERENCE: kiln: Tensor& parameter: return the new value instead, or use a Variable&
#ifdef TENSOR_REFERENCE
KILN_FUNCTION(Tensor, f, (Tensor & x)) { return x + 1; }
Tensor use() {
  Tensor t = 1;
  return f(t);
}
#endif

//! RETURNS_REFERENCE: kiln: a compiled function returns values, not references
#ifdef RETURNS_REFERENCE
Tensor global;
KILN_FUNCTION(Tensor&, f, (Tensor x)) {
  global = x;
  return global;
}
void use() { f(1); }
#endif

//! NOT_HASHABLE: kiln: this type has a constructor, a private or a virtual member, or is not hashable; write KILN_MEMBERS(a, b, ...) in it
#ifdef NOT_HASHABLE
KILN_FUNCTION(Tensor, f, (const Opaque& o, Tensor x)) { return x + o.size; }
Tensor use() { return f(Opaque(1), 1); }
#endif

//! NOT_HASHABLE_METHOD: write KILN_MEMBERS(a, b, ...) in it
#ifdef NOT_HASHABLE_METHOD
struct Trainer {
  explicit Trainer(int n) : size(n) {}
  int size;
  KILN_METHOD(Tensor, step, (Tensor x)) { return x + size; }
};
Tensor use() {
  Trainer t(1);
  return t.step(1);
}
#endif

//! POINTER_MEMBER: kiln: a raw pointer cannot be part of a signature; hold the object, or leave the pointer out with KILN_MEMBERS(...)
#ifdef POINTER_MEMBER
struct Options {
  const Opaque* shared = nullptr;
  int depth = 1;
};
KILN_FUNCTION(Tensor, f, (const Options& o, Tensor x)) { return x + o.depth; }
Tensor use() { return f(Options{}, 1); }
#endif

//! DERIVED_MODEL: kiln: derive from nn::Model<this class>, not from another model; its own members would not be found
#ifdef DERIVED_MODEL
struct Extended : Tied {
  nn::Dense more{5};
};
KILN_FUNCTION(Tensor, f, (Extended & m, Tensor x)) { return m(x); }
Tensor use() {
  Extended m;
  return f(m, 1);
}
#endif

//! REFERENCE_MEMBER: kiln
#ifdef REFERENCE_MEMBER
struct Holder : nn::Model<Holder> {
  nn::Dense& shared;
  nn::Dense own{7};
  Tensor call(Tensor x) { return own(shared(x)); }
};
std::size_t use() {
  nn::Dense d{1};
  Holder h{{}, d};
  return h.trainable_variables().size();
}
#endif

//! CONSTRUCTOR: write KILN_MEMBERS(a, b, ...) in it
#ifdef CONSTRUCTOR
struct Built : nn::Model<Built> {
  nn::Dense a{1};
  Built() {}
  Tensor call(Tensor x) { return a(x); }
};
std::size_t use() {
  Built b;
  return b.trainable_variables().size();
}
#endif

//! NO_PARENTHESES:
#ifdef NO_PARENTHESES
KILN_FUNCTION(std::tuple<Tensor, Tensor>, f, (Tensor x)) { return {x, x}; }
#endif
