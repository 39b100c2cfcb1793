// Every elementwise op on every element type: compiled code gives the eager kernel's bits, at any length.
#include "codegen_support.h"
#include "ops/elementwise.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

std::vector<TensorType> operand_types(const ops::OpDef& op, DType t, std::int64_t n) {
  std::vector<TensorType> types(static_cast<std::size_t>(op.arity), TensorType{t, Shape{n}});
  if (op.types == ops::TypeRule::select) types[0].dtype = DType::boolean;
  return types;
}

void avoid_zero_divisors(const ops::OpDef& op, DType t, std::vector<Bytes>& inputs) {
  if (!op.traits.fallible || !is_integer(t)) return;
  const std::size_t size = size_of(t);
  Bytes& divisors = inputs.back();
  for (std::size_t i = 0; i < divisors.size(); i += size) {
    const Bytes zero(size);
    if (std::memcmp(divisors.data() + i, zero.data(), size) == 0) divisors[i] = std::byte{3};
  }
}

}  // namespace

TEST_CASE("every elementwise op on every dtype equals its eager kernel") {
  for (const ops::OpDef& op : ops::elementwise_ops()) {
    for (int i = 0; i < kDTypeCount; ++i) {
      const auto t = static_cast<DType>(i);
      if (!ops::accepts(op.types, t)) continue;
      CAPTURE(op.name, name(t));
      SpecBuilder s;
      std::vector<int> operands;
      for (const TensorType& type : operand_types(op, t, 4133)) operands.push_back(s.input(type.dtype, type.shape.sizes()));
      s.output(s.op(std::string(op.name).c_str(), operands));
      check_against_eager(s, 7, true, [&](std::vector<Bytes>& inputs) { avoid_zero_divisors(op, t, inputs); });
    }
  }
}

TEST_CASE("lengths around the vector and the chunk") {
  for (const std::int64_t n : {0, 1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 4095, 4096, 4097, 8193}) {
    for (const bool constant : {false, true}) {
      CAPTURE(n, constant);
      SpecBuilder s(KernelKind::loop, constant);
      const int x = s.input(DType::float32, {n}), y = s.input(DType::float32, {n});
      const int sum = s.op("add", {x, y});
      s.output(s.op("tanh", {sum})).output(sum);
      check_against_eager(s);
    }
  }
}

TEST_CASE("a product and a sum of two ops are one fma in standard numerics, two roundings in strict") {
  for (const DType t : {DType::float32, DType::float64}) {
    for (const bool subtract : {false, true}) {
      CAPTURE(name(t), subtract);
      const auto result = [&](Numerics numerics, std::vector<Bytes>& inputs) {
        SpecBuilder s;
        const int a = s.input(t, {1003}), b = s.input(t, {1003}), c = s.input(t, {1003});
        s.output(s.op(subtract ? "sub" : "add", {s.op("mul", {a, b}), c})).numerics(numerics);
        inputs.clear();
        for (int i = 0; i < 3; ++i) inputs.push_back(random_bytes(s.type(i), 20 + static_cast<unsigned>(i), false));
        TestContext context;
        return run_kernel(s, LoadedKernel(codegen::compile_kernel(s.spec(), current_target())), inputs, Partition::whole, true, context)[0];
      };
      std::vector<Bytes> inputs;
      const Bytes strict = result(Numerics::strict, inputs), standard = result(Numerics::standard, inputs);
      int differing = 0;
      visit_dtype(t, [&]<class T>(std::type_identity<T>) {
        if constexpr (std::is_floating_point_v<T>) {
          const auto at = [](const Bytes& bytes, std::size_t i) {
            T v;
            std::memcpy(&v, bytes.data() + i * sizeof(T), sizeof(T));
            return v;
          };
          for (std::size_t i = 0; i < 1003; ++i) {
            const T a = at(inputs[0], i), b = at(inputs[1], i), c = subtract ? -at(inputs[2], i) : at(inputs[2], i);
            const T rounded_product = a * b;
            CHECK(at(strict, i) == rounded_product + c);
            CHECK(at(standard, i) == (current_target().has_fma() ? std::fma(a, b, c) : rounded_product + c));
            differing += at(strict, i) != at(standard, i) ? 1 : 0;
          }
        }
      });
      CHECK((differing > 0) == current_target().has_fma());
    }
  }
}

TEST_CASE("a product that others read too is rounded for all") {
  SpecBuilder s;
  const int a = s.input(DType::float32, {1003}), b = s.input(DType::float32, {1003}), c = s.input(DType::float32, {1003});
  const int product = s.op("mul", {a, b});
  s.output(s.op("add", {product, c})).output(product).numerics(Numerics::standard);
  check_against_eager(s);
}

TEST_CASE("remainders of operands with any bits") {
  for (const DType t : {DType::float32, DType::float64}) {
    for (const char* op : {"rem", "mod"}) {
      CAPTURE(name(t), op);
      SpecBuilder s;
      const int a = s.input(t, {20011}), b = s.input(t, {20011});
      s.output(s.op(op, {a, b}));
      check_against_eager(s, 3, true, [](std::vector<Bytes>& inputs) {
        std::mt19937 engine(9);
        for (Bytes& bytes : inputs) {
          for (std::byte& byte : bytes) byte = static_cast<std::byte>(engine());
        }
      });
    }
  }
}

TEST_CASE("a choice between a value and what an op makes of its bits") {
  for (const ops::OpDef& op : ops::elementwise_ops()) {
    if (op.arity != 1 || !ops::accepts(op.types, DType::bfloat16)) continue;
    for (const DType t : {DType::bfloat16, DType::float16, DType::float32}) {
      CAPTURE(op.name, name(t));
      SpecBuilder s;
      const int a = s.input(t, {531}), b = s.input(t, {531});
      const int made = s.op(std::string(op.name).c_str(), {a});
      if (s.type(made).dtype != t) continue;
      s.output(s.op("where", {s.op("less", {b, a}), a, made})).output(s.op("where", {s.op("less", {b, a}), made, a}));
      check_against_eager(s);
    }
  }
  SpecBuilder s;
  const int c = s.input(DType::boolean, {531}), x = s.input(DType::int32, {531}), y = s.input(DType::int32, {531}),
            m = s.input(DType::int32, {531});
  const int mixed = s.op("bit_or", {s.op("bit_and", {x, m}), s.op("bit_and", {y, s.op("bit_xor", {m, s.op("sub", {m, m})})})});
  for (const int arm : {x, y, m}) s.output(s.op("where", {c, arm, mixed})).output(s.op("where", {c, mixed, arm}));
  check_against_eager(s);
}
