// Exact texts of the errors that users of tensors and traced functions meet, with the line of their own program.
#include <kiln/kiln.h>
#include <kiln/nn.h>

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
std::string at(int line, const std::string& message) { return at(line) + ": " + message; }

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
constexpr int kAssignsMember = __LINE__ - 1;
KILN_FUNCTION(Tensor, fixed, (Tensor x), .input_signature = {{DType::float32, {-1, 3}}}) { return x + 1; }
KILN_FUNCTION(Tensor, paired, (Tensor x, Tensor y), .input_signature = {{DType::float32, {Dim::symbol("n")}}, {DType::float32, {Dim::symbol("n")}}}) { return x + y; }

TEST_CASE("shapes, dtypes and axes") {
  Tensor a = tensor({{1.f, 2.f, 3.f}}), b = tensor({1.f, 2.f}), i = tensor({1, 2});
  CHECK(error_of<ShapeError>([&] { a + b; }) == at(__LINE__, "add: shapes do not broadcast: float32[1, 3] and float32[2]; lengths must be equal or 1, counted from the last axis"));
  CHECK(error_of<DTypeError>([&] { b + i; }) == at(__LINE__, "add: operands must have one dtype, got float32[2] and int32[2]; convert one with cast()"));
  CHECK(error_of<DTypeError>([&] { i * 2.5; }) == at(__LINE__, "the number 2.5 does not mix with a tensor of dtype int32; convert one of them with cast()"));
  CHECK(error_of<ShapeError>([&] { sum(a, 2); }) == at(__LINE__, "sum: axis 2 is out of range for a tensor of rank 2; use -2 to 1"));
  CHECK(error_of<ShapeError>([&] { sum(a, {0, 0}); }) == at(__LINE__, "sum: axis 0 is given twice"));
  CHECK(error_of<ShapeError>([&] { matmul(a, b); }) == at(__LINE__, "matmul: inner dimensions differ: [1, 3] x [2] (3 and 2); transpose or reshape an operand"));
  CHECK(error_of<ShapeError>([&] { reshape(a, {2, 2}); }) == at(__LINE__, "reshape: 3 elements of shape [1, 3] do not fit into [2, 2]"));
  CHECK(error_of<ShapeError>([&] { reshape(a, {-1, 2}); }) == at(__LINE__, "reshape: 3 elements of shape [1, 3] do not fit into [-1, 2]"));
  CHECK(error_of<ShapeError>([&] { a[{0, 3}]; }) == at(__LINE__, "index: 3 is out of range for axis 1 of length 3"));
  CHECK(error_of<ShapeError>([&] { a[{0, 0, 0}]; }) == at(__LINE__, "index: 3 indices for a tensor of rank 2"));
  CHECK(error_of<ShapeError>([&] { a.item<float>(); }) == at(__LINE__, "item(): the tensor has 3 elements (shape [1, 3]), not one; index it or reduce it first"));
  CHECK(error_of<DTypeError>([&] { a.span<int>(); }) == at(__LINE__, "span<int32>(): the tensor's dtype is float32; convert it with astype() first"));
  CHECK(error_of<ShapeError>([&] { tensor({{1, 2}, {3}}); }) == at(__LINE__, "tensor: the inner braces differ in length"));
  CHECK(error_of<ShapeError>([&] { tensor(std::vector<float>{1, 2, 3}, {2, 2}); }) == at(__LINE__, "tensor: 3 elements do not fill shape [2, 2]"));
  CHECK(error_of<ShapeError>([&] { transpose(a, {0, 0}); }) == at(__LINE__, "transpose: [0, 0] is no permutation of the 2 axes of shape [1, 3]"));
  CHECK(error_of<ShapeError>([&] { concat({a, b}, 0); }) == at(__LINE__, "concat: shapes [1, 3] and [2] differ elsewhere than along axis 0"));
  CHECK(error_of<StateError>([&] { Tensor() + a; }) == at(__LINE__, "an undefined Tensor was used; assign it a value first, and test with defined()"));
  CHECK(error_of<StateError>([&] { Variable v; a * v; }) == at(__LINE__, "an undefined Variable was used; give it an initial value first, and test with defined()"));
}

TEST_CASE("variables keep their type") {
  Variable w{tensor({1.f, 2.f}), {.name = "w"}};
  CHECK(error_of<ShapeError>([&] { w.assign(tensor({1.f})); }) == at(__LINE__, "assign to variable \"w\": it holds float32[2], not float32[1]"));
  CHECK(error_of<DTypeError>([&] { w.assign(tensor({1, 2})); }) == at(__LINE__, "assign to variable \"w\": it holds float32[2], not int32[2]; convert the value with cast()"));
}

TEST_CASE("a tape is used once unless persistent") {
  Variable w{tensor({1.f})};
  GradientTape tape;
  Tensor y = w * w;
  tape.gradient(y, w);
  CHECK(error_of<StateError>([&] { tape.gradient(y, w); }) == at(__LINE__, "gradient: this tape was used already and is not persistent; make it GradientTape tape{{.persistent = true}}"));
}

TEST_CASE("reading a symbolic tensor") {
  Tensor x = tensor({1.f});
  CHECK(error_of<TraceError>([&] { reads_item.concrete(x); }) == at(kReadsItem, "item() inside \"reads_item\" is not possible: while the function is traced, the tensor made at " + at(kReadsItem) + " has a type but no elements. Compute with it, return it, or read it outside the function"));
  CHECK(error_of<TraceError>([&] { branches.concrete(x); }) == at(kBranches, "bool of a tensor (as in if or while) inside \"branches\" is not possible: while the function is traced, the tensor made at " + at(kBranches) + " has a type but no elements. Compute with it, return it, or read it outside the function"));
}

TEST_CASE("a symbolic tensor that leaked") {
  leaks.concrete(tensor({1.f}));
  CHECK(error_of<TraceError>([&] { kept + 1; }) == at(__LINE__, "add: the tensor made at " + at(kLeaks) + " while tracing \"leaks\" was used after the trace ended, when it has no value; return it from the function, or keep it in a Variable"));
  CHECK(error_of<TraceError>([&] { leaks(kept); }) == at(__LINE__, "leaks: the tensor made at " + at(kLeaks) + " while tracing \"leaks\" was used after the trace ended, when it has no value; return it from the function, or keep it in a Variable"));
  kept = Tensor();
}

TEST_CASE("a Variable made at the second trace") {
  makes_variable.concrete(tensor({1.f}));
  CHECK(traced == 1);
  CHECK(error_of<TraceError>([&] { makes_variable.concrete(tensor({{1.f}})); }) == at(kMakesVariable, "Variable \"local\" was made while \"makes_variable\" was traced for the second time, so each trace would have one of its own; make it once, outside the function or as a member of a model"));
  CHECK(error_of<TraceError>([&] { symbolic_initial.concrete(tensor({1.f})); }) == at(kSymbolicInitial, "Variable: its initial value depends on an argument or a variable of the traced function, and has no elements yet; make the variable outside, or from constants and random numbers"));
}

TEST_CASE("bodies that change their arguments") {
  Settings s;
  s.w = Variable(tensor({1.f}));
  CHECK(error_of<TraceError>([&] { changes_member.concrete(s, tensor({1.f})); }) == at(kChangesMember, "changes_member: the body changes s/steps from 1 to 2, a plain value that is part of the call's signature; make it a Variable, or change it outside the function"));
  Holder h;
  h.cache = tensor({4.f});
  h.w = Variable(tensor({1.f}));
  CHECK(error_of<TraceError>([&] { assigns_member.concrete(h, tensor({1.f})); }) == at(kAssignsMember, "assigns_member: the body assigns the tensor h/cache of its argument, which would happen only while tracing; return the new value, or make it a Variable"));
  CHECK(h.cache.str() == "[4.]");
}

TEST_CASE("calls that do not fit an input signature") {
  CHECK(error_of<ShapeError>([&] { fixed(tensor({1.f})); }) == at(__LINE__, "fixed: tensor 0 is float32[1], the input_signature wants float32[d0_0, 3]"));
  CHECK(error_of<ShapeError>([&] { fixed(tensor({{1.f}})); }) == at(__LINE__, "fixed: tensor 0 is float32[1, 1], the input_signature wants float32[d0_0, 3]"));
  CHECK(error_of<DTypeError>([&] { fixed(tensor({{1, 2, 3}})); }) == at(__LINE__, "fixed: tensor 0 is int32[1, 3], the input_signature wants float32[d0_0, 3]"));
  CHECK(error_of<ShapeError>([&] { paired(tensor({1.f}), tensor({1.f, 2.f})); }) == at(__LINE__, "paired: tensor 1 is float32[2], the input_signature wants float32[n]"));
}

struct Unbuilt : nn::Model<Unbuilt> {
  nn::Dense fc{2};
  Tensor call(Tensor x) { return fc(x); }
};

TEST_CASE("weights asked for before the model is built") {
  Unbuilt net;
  nn::Dense layer{2};
  CHECK(error_of<StateError>([&] { net.trainable_variables(); }) == at(__LINE__, "Dense 'fc' has no weights yet: they are made at the model's first call. Call the model once before asking for its variables"));
  CHECK(error_of<StateError>([&] { net.variables(); }) == at(__LINE__, "Dense 'fc' has no weights yet: they are made at the model's first call. Call the model once before asking for its variables"));
  CHECK(error_of<StateError>([&] { layer.weights(); }) == at(__LINE__, "Dense has no weights yet: they are made at the first call. Call the layer once before asking for them"));
}

TEST_CASE("an exception from the body of a traced step leaves model and optimizer unbuilt") {
  Unbuilt net;
  optim::Adam adam;
  bool fail = true;
  auto step = kiln::function([&fail](Unbuilt& net, optim::Adam& adam, Tensor x) {
    GradientTape tape;
    Tensor loss = sum(net(x));
    Variables weights = net.trainable_variables();
    adam.apply_gradients(tape.gradient(loss, weights), weights);
    if (fail) throw std::runtime_error("not today");
    return loss;
  });
  CHECK_THROWS_WITH(step.concrete(net, adam, ones({1, 3})), "not today");
  CHECK_FALSE(net.fc.built());
  CHECK(adam.iterations.value().item<float>() == 0);
  fail = false;
  CHECK_NOTHROW(step.concrete(net, adam, ones({1, 5})));
  CHECK(net.fc.weights()[0].shape() == Shape{5, 2});
  CHECK(adam.iterations.value().item<float>() == 0);  // traced, not run
}
// clang-format on
