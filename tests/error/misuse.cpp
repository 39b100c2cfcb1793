// Exact texts of the errors that users of tensors and traced functions meet, with the line of their own program.
#include <kiln/kiln.h>

#include <stdexcept>
#include <string>

#include "tests/catch.h"

using namespace kiln;

namespace {

Tensor kept;
int traced = 0;

/// The text of the error that f() throws; "..." stands for this file's name.
template <class Kind, class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Kind& e) {
    std::string text = e.what();
    const std::string file = __FILE__;
    for (std::size_t at; (at = text.find(file)) != std::string::npos;) text.replace(at, file.size(), "...");
    return text;
  } catch (const std::exception& e) {
    return std::string("another kind: ") + e.what();
  }
  return "no error";
}

std::string at(int line) { return "...:" + std::to_string(line); }

}  // namespace

// One line each, so that __LINE__ names it for every compiler.
// clang-format off
KILN_FUNCTION(Tensor, reads_item, (Tensor x)) { return x * x.item<float>(); }
constexpr int kReadsItem = __LINE__ - 1;
KILN_FUNCTION(Tensor, branches, (Tensor x)) { if (x > 0) { return x; } return -x; }
constexpr int kBranches = __LINE__ - 1;
KILN_FUNCTION(Tensor, leaks, (Tensor x)) { kept = x + 1; return x; }
constexpr int kLeaks = __LINE__ - 1;
KILN_FUNCTION(Tensor, makes_variable, (Tensor x)) { ++traced; Variable v{tensor({1.f}), {.name = "local"}}; return x * v; }
constexpr int kMakesVariable = __LINE__ - 1;
KILN_FUNCTION(Tensor, symbolic_initial, (Tensor x)) { Variable v{x + 1}; return v; }
constexpr int kSymbolicInitial = __LINE__ - 1;
struct Settings { int steps = 1; Variable w; };
KILN_FUNCTION(Tensor, changes_member, (Settings& s, Tensor x)) { s.steps += 1; return x; }
constexpr int kChangesMember = __LINE__ - 1;
struct Holder { Tensor cache; Variable w; };
KILN_FUNCTION(Tensor, assigns_member, (Holder& h, Tensor x)) { h.cache = x; return x; }
KILN_FUNCTION(Tensor, fixed, (Tensor x), .input_signature = {{DType::float32, {-1, 3}}}) { return x + 1; }
KILN_FUNCTION(Tensor, paired, (Tensor x, Tensor y), .input_signature = {{DType::float32, {Dim::symbol("n")}}, {DType::float32, {Dim::symbol("n")}}}) { return x + y; }

TEST_CASE("shapes, dtypes and axes") {
  Tensor a = tensor({{1.f, 2.f, 3.f}}), b = tensor({1.f, 2.f}), i = tensor({1, 2});
  CHECK(error_of<ShapeError>([&] { a + b; }) == "add: shapes [1, 3] and [2] do not broadcast at " + at(__LINE__));
  CHECK(error_of<DTypeError>([&] { b + i; }) == "add: float32[2] and int32[2] differ in dtype; convert one of them with cast() at " + at(__LINE__));
  CHECK(error_of<DTypeError>([&] { i * 2.5; }) == "the number 2.5 does not mix with a tensor of dtype int32; convert one of them with cast() at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { sum(a, 2); }) == "sum: axis 2 is out of range for rank 2 at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { sum(a, {0, 0}); }) == "sum: axis 0 is given twice at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { matmul(a, b); }) == "matmul: shapes [1, 3] and [2] do not fit at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { reshape(a, {2, 2}); }) == "reshape: 3 elements of shape [1, 3] do not fit into [2, 2] at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { reshape(a, {-1, 2}); }) == "reshape: 3 elements of shape [1, 3] do not fit into [-1, 2] at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { a[{0, 3}]; }) == "index: 3 is out of range for axis 1 of length 3 at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { a[{0, 0, 0}]; }) == "index: 3 indices for a tensor of rank 2 at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { a.item<float>(); }) == "item(): the tensor has 3 elements (shape [1, 3]), not one; index it or reduce it first at " + at(__LINE__));
  CHECK(error_of<DTypeError>([&] { a.span<int>(); }) == "span<int32>(): the tensor's dtype is float32; convert it with astype() first at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { tensor({{1, 2}, {3}}); }) == "tensor: the inner braces differ in length at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { tensor(std::vector<float>{1, 2, 3}, {2, 2}); }) == "tensor: 3 elements do not fill shape [2, 2] at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { transpose(a, {0, 0}); }) == "transpose: [0, 0] is no permutation of the 2 axes of shape [1, 3] at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { concat({a, b}, 0); }).find("concat") == 0);
  CHECK(error_of<StateError>([&] { Tensor() + a; }) == "an undefined Tensor was used; assign it a value first, and test with defined() at " + at(__LINE__));
  CHECK(error_of<StateError>([&] { Variable v; a * v; }).find("an undefined Variable was used; give it an initial value first, and test with defined()") == 0);
}

TEST_CASE("variables keep their type") {
  Variable w{tensor({1.f, 2.f}), {.name = "w"}};
  CHECK(error_of<ShapeError>([&] { w.assign(tensor({1.f})); }) == "assign to variable \"w\": it holds float32[2], not float32[1] at " + at(__LINE__));
  CHECK(error_of<DTypeError>([&] { w.assign(tensor({1, 2})); }) == "assign to variable \"w\": it holds float32[2], not int32[2]; convert the value with cast() at " + at(__LINE__));
}

TEST_CASE("a tape is used once unless persistent") {
  Variable w{tensor({1.f})};
  GradientTape tape;
  Tensor y = w * w;
  tape.gradient(y, w);
  CHECK(error_of<StateError>([&] { tape.gradient(y, w); }) == "gradient: this tape was used already and is not persistent; make it GradientTape tape{{.persistent = true}} at " + at(__LINE__));
}

TEST_CASE("reading a symbolic tensor") {
  Tensor x = tensor({1.f});
  CHECK(error_of<TraceError>([&] { reads_item.concrete(x); }) ==
        "item() inside \"reads_item\" is not possible: while the function is traced, the tensor made at " + at(kReadsItem) + " has a type but no elements. Compute with it, return it, or read it outside the function at " + at(kReadsItem));
  CHECK(error_of<TraceError>([&] { branches.concrete(x); }) ==
        "bool of a tensor (as in if or while) inside \"branches\" is not possible: while the function is traced, the tensor made at " + at(kBranches) + " has a type but no elements. Compute with it, return it, or read it outside the function at " + at(kBranches));
}

TEST_CASE("a symbolic tensor that leaked") {
  leaks.concrete(tensor({1.f}));
  CHECK(error_of<TraceError>([&] { kept + 1; }) ==
        "add: the tensor made at " + at(kLeaks) + " while tracing \"leaks\" was used after the trace ended, when it has no value; return it from the function, or keep it in a Variable at " + at(__LINE__));
  CHECK(error_of<TraceError>([&] { leaks.concrete(kept); }).find("leaks: an argument was made while another function was traced, and has no value now") == 0);
  kept = Tensor();
}

TEST_CASE("a Variable made at the second trace") {
  makes_variable.concrete(tensor({1.f}));
  CHECK(traced == 1);
  CHECK(error_of<TraceError>([&] { makes_variable.concrete(tensor({{1.f}})); }) ==
        "Variable \"local\" was made while \"makes_variable\" was traced for the second time, so each trace would have one of its own; make it once, outside the function or as a member of a model at " + at(kMakesVariable));
  CHECK(error_of<TraceError>([&] { symbolic_initial.concrete(tensor({1.f})); }) ==
        "Variable: its initial value is computed inside the traced function; make the variable outside, or in a model's build() at " + at(kSymbolicInitial));
}

TEST_CASE("bodies that change their arguments") {
  Settings s;
  s.w = Variable(tensor({1.f}));
  CHECK(error_of<TraceError>([&] { changes_member.concrete(s, tensor({1.f})); }) ==
        "changes_member: the body changes s/steps from 1 to 2, a plain value that is part of the call's signature; make it a Variable, or change it outside the function at " + at(kChangesMember));
  Holder h;
  h.cache = tensor({4.f});
  h.w = Variable(tensor({1.f}));
  CHECK(error_of<TraceError>([&] { assigns_member.concrete(h, tensor({1.f})); }).find("assigns_member: the body assigns the tensor h/cache of its argument, which would happen only while tracing; return the new value, or make it a Variable") == 0);
  CHECK(h.cache.str() == "[4.]");
}

TEST_CASE("calls that do not fit an input signature") {
  CHECK(error_of<ShapeError>([&] { fixed(tensor({1.f})); }) == "fixed: tensor 0 is float32[1], the input_signature wants float32[d0_0, 3] at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { fixed(tensor({{1.f}})); }) == "fixed: tensor 0 is float32[1, 1], the input_signature wants float32[d0_0, 3] at " + at(__LINE__));
  CHECK(error_of<DTypeError>([&] { fixed(tensor({{1, 2, 3}})); }) == "fixed: tensor 0 is int32[1, 3], the input_signature wants float32[d0_0, 3] at " + at(__LINE__));
  CHECK(error_of<ShapeError>([&] { paired(tensor({1.f}), tensor({1.f, 2.f})); }) == "paired: tensor 1 is float32[2], the input_signature wants float32[n] at " + at(__LINE__));
}
// clang-format on
