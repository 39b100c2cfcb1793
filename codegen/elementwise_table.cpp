// The table from op name and dtype to emitter, built from the vocabulary.
#include "codegen/elementwise_table.h"

#include <array>
#include <unordered_map>

#include "base/require.h"
#include "codegen/emitter_value.h"
#include "ops/all_elementwise.h"

namespace kiln::codegen {
namespace {

using Emit = Value (*)(std::span<const Value> operands);
using Row = std::array<Emit, kDTypeCount>;

/// What an operand of dtype T is to scalar().
template <class T>
struct OperandOf {
  using type = Emitted<T>;
};
template <>
struct OperandOf<bool> {
  using type = EmittedMask;
};
template <>
struct OperandOf<float16> {
  using type = Emitted<float>;
};
template <>
struct OperandOf<bfloat16> {
  using type = Emitted<float>;
};

template <class Op, class T>
Value emit(std::span<const Value> operands) {
  using S = typename OperandOf<T>::type;
  return [&]<std::size_t... I>(std::index_sequence<I...>) -> Value {
    if constexpr (Op::types == ops::TypeRule::select)
      return Op::scalar(EmittedMask{operands[0]}, S{operands[1]}, S{operands[2]}).v;
    else
      return Op::scalar(S{operands[I]}...).v;
  }(std::make_index_sequence<static_cast<std::size_t>(ops::arity_of<Op>())>{});
}

template <class Op>
Row make_row() {
  Row row{};
  for (int i = 0; i < kDTypeCount; ++i) {
    visit_dtype(static_cast<DType>(i), [&]<class T>(std::type_identity<T>) {
      if constexpr (ops::accepts(Op::types, dtype_of<T>())) row[static_cast<std::size_t>(i)] = &emit<Op, T>;
    });
  }
  return row;
}

const std::unordered_map<std::string_view, Row>& table() {
  static const auto* rows = [] {
    auto* all = new std::unordered_map<std::string_view, Row>;
    ops::for_each_op(ops::AllElementwise{}, [&]<class Op>(std::type_identity<Op>) { all->emplace(Op::name, make_row<Op>()); });
    return all;
  }();
  return *rows;
}

}  // namespace

Value emit_elementwise(Builder& b, std::string_view op, DType dtype, std::span<const Value> operands) {
  const auto found = table().find(op);
  KILN_ASSERT(found != table().end(), "no emitter for op {}", op);
  const Emit emit = found->second[static_cast<std::size_t>(dtype)];
  KILN_ASSERT(emit != nullptr, "op {} does not take {}", op, name(dtype));
  const BuilderScope scope(b);
  return emit(operands);
}

}  // namespace kiln::codegen
