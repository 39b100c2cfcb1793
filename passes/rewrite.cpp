// The walk of rewriting passes, splats, and the engine of the rules.
#include "passes/rewrite.h"

#include <llvm/ADT/StringMap.h>

#include <array>
#include <cmath>

#include "base/require.h"
#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/types.h"
#include "passes/visits.h"

namespace kiln::passes {

void erase_dead(llvm::SmallVector<mlir::Value> values) {
  while (!values.empty()) {
    mlir::Operation* op = values.pop_back_val().getDefiningOp();
    count_visits();
    if (op == nullptr || !op->use_empty()) continue;
    llvm::append_range(values, op->getOperands());
    // The same value may be listed again: it must not be looked at once its op is gone.
    const mlir::ResultRange results = op->getResults();
    llvm::erase_if(values, [&](mlir::Value value) { return llvm::is_contained(results, value); });
    op->erase();
  }
}

void rewrite_ops(mlir::func::FuncOp function, Rewrite rewrite) {
  mlir::Block& block = function.getBody().front();
  std::size_t budget = 64 + 16 * block.getOperations().size();
  mlir::OpBuilder builder(function.getContext());
  mlir::Operation* op = &block.front();
  while (op != nullptr && budget > 0) {
    count_visits();
    mlir::Operation* const previous = op->getPrevNode();
    mlir::Value replacement;
    if (op->getNumResults() == 1 && !op->use_empty()) {
      builder.setInsertionPoint(op);
      replacement = rewrite(op, builder);
    }
    if (!replacement) {
      op = op->getNextNode();
      continue;
    }
    --budget;
    KILN_ASSERT(replacement.getType() == op->getResult(0).getType(), "a rewrite of {} changed its type",
                std::string_view(op->getName().getStringRef()));
    const llvm::SmallVector<mlir::Value> operands(op->getOperands());
    op->getResult(0).replaceAllUsesWith(replacement);
    op->erase();
    op = previous != nullptr ? previous->getNextNode() : &block.front();
    erase_dead(operands);
  }
}

std::optional<Splat> find_splat(mlir::Value value) {
  mlir::Operation* op = value.getDefiningOp();
  while (llvm::isa_and_nonnull<ir::BroadcastOp, ir::ReshapeOp>(op)) op = op->getOperand(0).getDefiningOp();
  auto constant = llvm::dyn_cast_or_null<ir::ConstantOp>(op);
  if (!constant) return std::nullopt;
  const auto elements = llvm::dyn_cast<mlir::DenseElementsAttr>(constant.getValue());
  if (!elements || elements.getNumElements() == 0 || !elements.isSplat()) return std::nullopt;
  Splat splat;
  splat.dtype = *ir::find_dtype(elements.getElementType());
  splat.scalar = constant.getResult();
  if (is_floating(splat.dtype)) {
    llvm::APFloat number = elements.getSplatValue<llvm::APFloat>();
    bool loses = false;
    number.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &loses);
    splat.number = number.convertToDouble();
  } else {
    const llvm::APInt number = elements.getSplatValue<llvm::APInt>();
    const bool is_signed = splat.dtype != DType::uint8 && splat.dtype != DType::boolean;
    splat.integer = is_signed ? number.getSExtValue() : static_cast<std::int64_t>(number.getZExtValue());
    splat.number = static_cast<double>(splat.integer);
  }
  return splat;
}

bool is_elementwise(mlir::Operation* op) { return llvm::isa_and_nonnull<ir::MapOp, ir::CastOp>(op); }

mlir::Value broadcast_scalar(mlir::OpBuilder& builder, mlir::Location loc, mlir::Value scalar, mlir::RankedTensorType type) {
  if (scalar.getType() == type) return scalar;
  if (llvm::cast<mlir::RankedTensorType>(scalar.getType()).getRank() != 0) {
    scalar = ir::create(builder, loc, "reshape", scalar, {{"shape", Shape()}});
    if (scalar.getType() == type) return scalar;
  }
  return ir::create(builder, loc, "broadcast", scalar, {{"dims", Ints()}, {"shape", ir::tensor_type(type).shape}});
}

mlir::Value create_splat(mlir::OpBuilder& builder, mlir::Location loc, double number, mlir::RankedTensorType type) {
  const mlir::Type element = type.getElementType();
  const auto scalar = mlir::RankedTensorType::get({}, element);
  mlir::Attribute value;
  if (auto floating = llvm::dyn_cast<mlir::FloatType>(element)) {
    value = builder.getFloatAttr(floating, number);
  } else {
    value = builder.getIntegerAttr(element, static_cast<std::int64_t>(number));
  }
  const mlir::Value constant = ir::ConstantOp::create(builder, loc, scalar, mlir::DenseElementsAttr::get(scalar, value)).getResult();
  return broadcast_scalar(builder, loc, constant, type);
}

namespace {

/// What the names of a rule stand for while it is matched.
struct Bindings {
  std::array<mlir::Value, kRuleVariables> variables;
  std::array<mlir::Value, kRuleConstants> constants;
  std::array<Splat, kRuleConstants> numbers;
};

bool match(const Term& term, mlir::Value value, Bindings& bindings);

bool match_operands(const Term& term, mlir::Operation* op, bool swapped, Bindings& bindings) {
  for (std::size_t i = 0; i < term.operands.size(); ++i) {
    const unsigned operand = static_cast<unsigned>(swapped ? 1 - i : i);
    if (!match(term.operands[i], op->getOperand(operand), bindings)) return false;
  }
  return true;
}

bool match_apply(const Term& term, mlir::Value value, Bindings& bindings) {
  mlir::Operation* op = value.getDefiningOp();
  if (!ir::is_map(op, term.op->name) || op->getNumOperands() != term.operands.size()) return false;
  const Bindings saved = bindings;
  if (match_operands(term, op, false, bindings)) return true;
  bindings = saved;
  return term.op->traits.commutative && term.operands.size() == 2 && match_operands(term, op, true, bindings);
}

bool match_number(const Term& term, mlir::Value value) {
  const std::optional<Splat> splat = find_splat(value);
  if (!splat) return false;
  if (term.kind == Term::Kind::boolean) return splat->dtype == DType::boolean && splat->integer == static_cast<std::int64_t>(term.number);
  if (splat->dtype == DType::boolean || splat->number != term.number) return false;
  return !is_floating(splat->dtype) || std::signbit(splat->number) == std::signbit(term.number);
}

bool match(const Term& term, mlir::Value value, Bindings& bindings) {
  switch (term.kind) {
    case Term::Kind::variable: {
      mlir::Value& bound = bindings.variables[static_cast<std::size_t>(term.index)];
      if (!bound) bound = value;
      return bound == value;
    }
    case Term::Kind::constant: {
      const std::optional<Splat> splat = find_splat(value);
      if (!splat) return false;
      const auto index = static_cast<std::size_t>(term.index);
      mlir::Value& bound = bindings.constants[index];
      if (!bound) bound = value;
      bindings.numbers[index] = *splat;
      return bound == value;
    }
    case Term::Kind::number:
    case Term::Kind::boolean:
      return match_number(term, value);
    case Term::Kind::apply:
      break;
  }
  return match_apply(term, value, bindings);
}

/// Builds the replacement; `number_type` is the type of its numbers.
mlir::Value build(const Term& term, mlir::OpBuilder& builder, mlir::Location loc, const Bindings& bindings,
                  mlir::RankedTensorType number_type) {
  switch (term.kind) {
    case Term::Kind::variable:
      return bindings.variables[static_cast<std::size_t>(term.index)];
    case Term::Kind::constant:
      return bindings.constants[static_cast<std::size_t>(term.index)];
    case Term::Kind::number:
      return create_splat(builder, loc, term.number, number_type);
    case Term::Kind::boolean:
      return create_splat(builder, loc, term.number, number_type.clone(builder.getI1Type()));
    case Term::Kind::apply:
      break;
  }
  llvm::SmallVector<mlir::Value, 3> operands;
  for (const Term& operand : term.operands) operands.push_back(build(operand, builder, loc, bindings, number_type));
  return ir::create(builder, loc, *term.op, operands);
}

bool condition_holds(const Rule& rule, const Bindings& bindings, mlir::Type type) {
  const DType dtype = *ir::find_dtype(mlir::getElementTypeOrSelf(type));
  if (!allows(rule.types, dtype)) return false;
  return rule.condition == RuleCondition::none || holds(rule.condition, bindings.numbers[0].number, bindings.numbers[0].dtype);
}

/// Rules by the function of their root.
const llvm::StringMap<std::vector<const ParsedRule*>>& rules_by_root() {
  static const auto* const index = [] {
    auto* map = new llvm::StringMap<std::vector<const ParsedRule*>>();
    for (const ParsedRule& rule : parsed_rules()) (*map)[llvm::StringRef(rule.pattern.op->name)].push_back(&rule);
    return map;
  }();
  return *index;
}

/// f(f(x)) and f(x, x), told by the op's traits.
mlir::Value apply_traits(ir::MapOp op, const ops::OpDef& def) {
  const mlir::Value first = op->getOperand(0);
  if (def.arity == 2 && def.traits.idempotent && first == op->getOperand(1)) return first;
  if (def.arity != 1 || !ir::is_map(first.getDefiningOp(), def.name)) return {};
  if (def.traits.involution) return first.getDefiningOp()->getOperand(0);
  return def.traits.idempotent ? first : mlir::Value();
}

}  // namespace

mlir::Value apply_rules(mlir::Operation* op, mlir::OpBuilder& builder, RuleTag most_permissive) {
  auto map = llvm::dyn_cast<ir::MapOp>(op);
  if (!map) return {};
  const ops::OpDef* def = ir::op_def(op);
  if (mlir::Value result = apply_traits(map, *def)) return result;
  const auto found = rules_by_root().find(map.getFunction());
  if (found == rules_by_root().end()) return {};
  for (const ParsedRule* rule : found->second) {
    if (rule->rule->tag > most_permissive) continue;
    Bindings bindings;
    if (!match(rule->pattern, op->getResult(0), bindings)) continue;
    // The rule's types are those of x; a rule without x is about its result.
    const mlir::Value subject = bindings.variables[0] ? bindings.variables[0] : op->getResult(0);
    const auto type = llvm::cast<mlir::RankedTensorType>(subject.getType());
    if (condition_holds(*rule->rule, bindings, type)) return build(rule->replacement, builder, op->getLoc(), bindings, type);
  }
  return {};
}

}  // namespace kiln::passes
