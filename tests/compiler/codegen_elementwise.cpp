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
      s.output(s.op("sqrt", {sum})).output(sum);
      check_against_eager(s);
    }
  }
}
