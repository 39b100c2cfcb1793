// merge-unrolled: what unrolled loops leave behind, many small products and long sums of small parts, becomes few large ops.
//
// Exact: products of the steps of a tensor with one operand are one product of the tensor,
//   contract(x[0], w), contract(x[1], w), ...      =>   y = contract(x, w); y[0], y[1], ...
// and so are products that are put together again.
//   concat(contract(a, w), contract(b, w), ...)    =>   contract(concat(a, b, ...), w)
// Rounding: sums of products are one product with a longer sum, sums of sums one sum, and sums of tensors padded with zeros a concat.
//   contract(a, p) + contract(b, q) + ...          =>   contract(stack(a, b, ...), stack(p, q, ...))
//   sum(p) + sum(q) + ...                          =>   sum(stack(p, q, ...)), where that stack is needed anyway
//   pad(a) + pad(b) + ...                          =>   concat(a, b, ...)
#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/DenseSet.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "ir/attributes.h"
#include "ir/build.h"
#include "ir/dialect.h"
#include "ir/types.h"
#include "ops/contract.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace kiln::passes {
namespace {

using Values = llvm::SmallVector<mlir::Value>;

/// Fewer are left alone.
constexpr std::size_t kFewest = 3;
/// Products with this many rows, or sums this long, are large enough by themselves.
constexpr std::int64_t kLong = 256;

Shape shape_of(mlir::Value value) { return ir::tensor_type(value).shape; }

Shape with_axis(const Shape& shape, int axis, Dim length) {
  Shape result;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i == axis) result.push_back(length);
    result.push_back(shape[i]);
  }
  if (axis == shape.rank()) result.push_back(length);
  return result;
}

mlir::Value reshape(mlir::OpBuilder& b, mlir::Location loc, mlir::Value x, const Shape& shape) {
  return ir::create(b, loc, "reshape", x, {{"shape", shape}});
}

/// The elements [begin, end) of an axis.
mlir::Value slice(mlir::OpBuilder& b, mlir::Location loc, mlir::Value x, int axis, std::int64_t begin, std::int64_t end) {
  const Shape shape = shape_of(x);
  Ints start(static_cast<std::size_t>(shape.rank()), 0), limit, step(static_cast<std::size_t>(shape.rank()), 1);
  for (Dim d : shape) limit.push_back(static_cast<std::int64_t>(d));
  start[static_cast<std::size_t>(axis)] = begin;
  limit[static_cast<std::size_t>(axis)] = end;
  return ir::create(b, loc, "slice", x, {{"start", start}, {"limit", limit}, {"step", step}});
}

/// x[:, index]: a value that is what a source holds at one place of an axis.
struct Step {
  mlir::Value source;
  int axis = 0;
  std::int64_t index = 0;
};

std::optional<Step> step_of(mlir::Value value) {
  auto reshape = value.getDefiningOp<ir::ReshapeOp>();
  auto slice = reshape ? reshape.getInput().getDefiningOp<ir::SliceOp>() : ir::SliceOp();
  if (!slice) return std::nullopt;
  const Shape from = shape_of(slice.getInput()), to = shape_of(slice);
  if (!from.is_static()) return std::nullopt;
  std::optional<Step> step;
  for (int axis = 0; axis < from.rank(); ++axis) {
    if (from[axis] == to[axis]) continue;
    if (step || to[axis] != 1) return std::nullopt;
    step = Step{slice.getInput(), axis, slice.getStart()[static_cast<std::size_t>(axis)]};
  }
  if (!step || with_axis(shape_of(value), step->axis, 1) != to) return std::nullopt;
  return step;
}

/// Values side by side along a new axis of one tensor.
struct Stack {
  mlir::Value value;
  int axis = 0;
};

/// A stack that exists already: the values are successive steps of one source.
std::optional<Stack> find_stack(mlir::OpBuilder& b, mlir::Location loc, llvm::ArrayRef<mlir::Value> values) {
  const std::optional<Step> first = step_of(values.front());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::optional<Step> step = step_of(values[i]);
    if (!step || step->source != first->source || step->axis != first->axis) return std::nullopt;
    if (step->index != first->index + static_cast<std::int64_t>(i)) return std::nullopt;
  }
  const auto count = static_cast<std::int64_t>(values.size());
  if (shape_of(first->source)[first->axis] == count) return Stack{first->source, first->axis};
  return Stack{slice(b, loc, first->source, first->axis, first->index, first->index + count), first->axis};
}

/// A label that the equation does not use; 0 if there is none.
char fresh_label(const ops::ContractView& view) {
  for (char c = 'a'; c <= 'z'; ++c) {
    if ((view.lhs + view.rhs + view.out).find(c) == std::string::npos) return c;
  }
  return 0;
}

std::int64_t extent(ir::ContractOp op, const ops::ContractView& view, ops::LabelRole role) {
  std::int64_t product = 1;
  for (const ops::ContractLabel& label : view.all()) {
    if (label.role != role) continue;
    const Dim length = label.lhs >= 0 ? shape_of(op.getLhs())[label.lhs] : shape_of(op.getRhs())[label.rhs];
    product *= length.value_or(kLong);
  }
  return product;
}

/// Room for one more axis in both operands and the result.
bool can_grow(const ops::ContractView& view) {
  return std::max({view.lhs.size(), view.rhs.size(), view.out.size()}) < static_cast<std::size_t>(kMaxRank) && fresh_label(view) != 0;
}

class Merger {
 public:
  explicit Merger(mlir::func::FuncOp function) : block_(function.getBody().front()), builder_(function.getContext()) {}

  void share_operands() {
    std::map<std::tuple<void*, void*, int, const void*>, llvm::SmallVector<std::pair<std::int64_t, ir::ContractOp>>> groups;
    llvm::SmallVector<decltype(groups)::key_type> in_order;
    for (mlir::Operation& op : block_) {
      auto contract = llvm::dyn_cast<ir::ContractOp>(op);
      const std::optional<Step> step = contract ? step_of(contract.getLhs()) : std::nullopt;
      if (!step) continue;
      const auto key = std::tuple(contract.getRhs().getAsOpaquePointer(), step->source.getAsOpaquePointer(), step->axis,
                                  ir::inherent_attributes(contract).getAsOpaquePointer());
      auto& group = groups[key];
      if (group.empty()) in_order.push_back(key);
      group.emplace_back(step->index, contract);
    }
    for (const auto& key : in_order) share(groups[key]);
  }

  void join_sums() {
    llvm::SmallVector<Sum> sums;
    for (mlir::Operation& op : block_) {
      if (is_root_of_sum(&op)) sums.push_back(Sum{&op, leaves(&op)});
    }
    llvm::erase_if(sums, [](const Sum& sum) { return sum.leaves.size() < kFewest; });
    for (Sum& sum : sums) join_products(sum);
    for (Sum& sum : sums) join_reductions(sum);
    for (Sum& sum : sums) join_pads(sum);
    for (Sum& sum : sums) finish(sum);
    for (const Sum& sum : sums) {
      if (sum.changed) erase_dead({sum.root->getResult(0)});
    }
  }

  void join_concats() {
    for (mlir::Operation& op : llvm::make_early_inc_range(block_)) {
      if (auto concat = llvm::dyn_cast<ir::ConcatOp>(op)) join_concat(concat);
    }
  }

 private:
  /// A tree of additions that nobody reads from inside.
  struct Sum {
    mlir::Operation* root;
    Values leaves;
    bool changed = false;
  };

  // ---- products of the steps of one tensor ----

  void share(llvm::SmallVector<std::pair<std::int64_t, ir::ContractOp>>& group) {
    const auto [low, high] =
        std::minmax_element(group.begin(), group.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    const std::int64_t begin = low->first, end = high->first + 1;
    ir::ContractOp first = group.front().second;
    ops::ContractView view = ops::ContractView::parse(ir::attrs_of(first));
    if (group.size() < kFewest || end - begin > 2 * static_cast<std::int64_t>(group.size()) || !can_grow(view)) return;
    if (extent(first, view, ops::LabelRole::row) >= kLong || !shape_of(first).is_static()) return;
    const Step step = *step_of(first.getLhs());
    builder_.setInsertionPoint(first);
    const mlir::Location loc = first.getLoc();
    const bool whole = shape_of(step.source)[step.axis] == end - begin;
    const mlir::Value lhs = whole ? step.source : slice(builder_, loc, step.source, step.axis, begin, end);
    const char label = fresh_label(view);
    view.lhs.insert(static_cast<std::size_t>(step.axis), 1, label);
    view.out.insert(0, 1, label);
    const mlir::Value all = ir::create(builder_, loc, "contract", {lhs, first.getRhs()}, view.attrs());
    Values parts;
    for (auto& [index, contract] : group) {
      const mlir::Value part = slice(builder_, contract.getLoc(), all, 0, index - begin, index - begin + 1);
      parts.push_back(reshape(builder_, contract.getLoc(), part, shape_of(contract)));
    }
    for (auto [member, part] : llvm::zip_equal(group, parts)) replace(member.second, part);
  }

  // ---- sums ----

  static bool is_add(mlir::Operation* op) { return ir::is_map(op, "add"); }

  static bool is_root_of_sum(mlir::Operation* op) { return is_add(op) && !(op->hasOneUse() && is_add(*op->user_begin())); }

  static Values leaves(mlir::Operation* root) {
    Values result, open{root->getResult(0)};
    while (!open.empty()) {
      const mlir::Value value = open.pop_back_val();
      mlir::Operation* op = value.getDefiningOp();
      if (op == root || (is_add(op) && op->hasOneUse())) {
        open.push_back(op->getOperand(1));
        open.push_back(op->getOperand(0));
      } else {
        result.push_back(value);
      }
    }
    return result;
  }

  /// The leaves by key, in the order of their first ones; those with a null key left out.
  template <class K>
  static std::vector<Values> grouped(const Sum& sum, K key) {
    llvm::DenseMap<const void*, std::size_t> index;
    std::vector<Values> groups;
    for (const mlir::Value leaf : sum.leaves) {
      const void* k = key(leaf);
      if (k == nullptr) continue;
      const auto [entry, fresh] = index.try_emplace(k, groups.size());
      if (fresh) groups.emplace_back();
      groups[entry->second].push_back(leaf);
    }
    return groups;
  }

  static void take(Sum& sum, const Values& joined, mlir::Value by) {
    llvm::SmallDenseSet<mlir::Value, 16> gone(joined.begin(), joined.end());
    llvm::erase_if(sum.leaves, [&](mlir::Value leaf) { return gone.contains(leaf); });
    sum.leaves.push_back(by);
    sum.changed = true;
  }

  void finish(Sum& sum) {
    if (!sum.changed) return;
    builder_.setInsertionPoint(sum.root);
    mlir::Value total;
    for (mlir::Value leaf : sum.leaves) {
      if (const auto newer = replaced_.find(leaf); newer != replaced_.end()) leaf = newer->second;
      total = total ? ir::create(builder_, sum.root->getLoc(), "add", {total, leaf}, {}) : leaf;
    }
    // The root stays until all sums are done: others may list it.
    sum.root->getResult(0).replaceAllUsesWith(total);
    replaced_[sum.root->getResult(0)] = total;
  }

  /// What two ops that differ only in their operands have in common.
  const void* family(mlir::Operation* op) {
    llvm::SmallVector<mlir::Attribute> parts{ir::inherent_attributes(op)};
    for (const mlir::Type type : op->getOperandTypes()) parts.push_back(mlir::TypeAttr::get(type));
    return mlir::ArrayAttr::get(builder_.getContext(), parts).getAsOpaquePointer();
  }

  /// True if a is made before b: arguments first, then ops in their order.
  static bool is_before(mlir::Value a, mlir::Value b) {
    mlir::Operation *x = a.getDefiningOp(), *y = b.getDefiningOp();
    return x == nullptr ? y != nullptr : y != nullptr && x->isBeforeInBlock(y);
  }

  /// The values along a new axis, put together where the last of them is made.
  Stack stack(mlir::Location loc, llvm::ArrayRef<mlir::Value> values) {
    mlir::OpBuilder::InsertionGuard guard(builder_);
    const mlir::Value last = *std::max_element(values.begin(), values.end(), is_before);
    if (mlir::Operation* op = last.getDefiningOp())
      builder_.setInsertionPointAfter(op);
    else
      builder_.setInsertionPointToStart(&block_);
    if (const std::optional<Stack> found = find_stack(builder_, loc, values)) return *found;
    const Shape row = with_axis(shape_of(values.front()), 0, 1);
    Values rows;
    for (const mlir::Value value : values) rows.push_back(reshape(builder_, loc, value, row));
    return {ir::create(builder_, loc, "concat", rows, {{"axis", std::int64_t{0}}}), 0};
  }

  void join_products(Sum& sum) {
    builder_.setInsertionPoint(sum.root);
    const auto groups = grouped(sum, [&](mlir::Value leaf) -> const void* {
      auto contract = leaf.getDefiningOp<ir::ContractOp>();
      return contract && contract->hasOneUse() ? family(contract) : nullptr;
    });
    for (const Values& products : groups) {
      if (products.size() >= kFewest) join_products(sum, products);
    }
  }

  void join_products(Sum& sum, Values products) {
    auto first = products.front().getDefiningOp<ir::ContractOp>();
    ops::ContractView view = ops::ContractView::parse(ir::attrs_of(first));
    if (!can_grow(view) || view.order.empty() || !shape_of(first).is_static() || !is_shorter_than_wide(first, view)) return;
    const auto steps_of = [&](unsigned operand) {
      return llvm::all_of(products, [&](mlir::Value p) { return step_of(p.getDefiningOp()->getOperand(operand)).has_value(); });
    };
    const unsigned sorted_by = !steps_of(0) && steps_of(1) ? 1 : 0;
    const bool steps = steps_of(sorted_by);
    llvm::stable_sort(products, [&](mlir::Value a, mlir::Value b) {
      const mlir::Value x = a.getDefiningOp()->getOperand(sorted_by), y = b.getDefiningOp()->getOperand(sorted_by);
      return steps ? step_of(x)->index < step_of(y)->index : is_before(x, y);
    });
    Values lhs, rhs;
    for (const mlir::Value product : products) {
      lhs.push_back(product.getDefiningOp()->getOperand(0));
      rhs.push_back(product.getDefiningOp()->getOperand(1));
    }
    const mlir::Location loc = first.getLoc();
    const Stack left = stack(loc, lhs), right = stack(loc, rhs);
    stacked_.try_emplace(as_set(lhs), lhs);
    stacked_.try_emplace(as_set(rhs), rhs);
    const char label = fresh_label(view);
    view.lhs.insert(static_cast<std::size_t>(left.axis), 1, label);
    view.rhs.insert(static_cast<std::size_t>(right.axis), 1, label);
    view.order.insert(0, 1, label);
    take(sum, products, ir::create(builder_, loc, "contract", {left.value, right.value}, view.attrs()));
  }

  /// True if reading and writing the sum costs more than putting the operands together does.
  static bool is_shorter_than_wide(ir::ContractOp op, const ops::ContractView& view) {
    const std::int64_t depth = extent(op, view, ops::LabelRole::depth), rows = extent(op, view, ops::LabelRole::row),
                       columns = extent(op, view, ops::LabelRole::col);
    return view.window.empty() && depth < kLong && depth * (rows + columns) <= rows * columns;
  }

  static std::vector<const void*> as_set(const Values& values) {
    std::vector<const void*> result;
    for (const mlir::Value value : values) result.push_back(value.getAsOpaquePointer());
    std::sort(result.begin(), result.end());
    return result;
  }

  void join_reductions(Sum& sum) {
    builder_.setInsertionPoint(sum.root);
    const auto groups = grouped(sum, [&](mlir::Value leaf) -> const void* {
      auto reduce = leaf.getDefiningOp<ir::ReduceOp>();
      return reduce && reduce->hasOneUse() && reduce.getKind() == "add" ? family(reduce) : nullptr;
    });
    for (const Values& reductions : groups) {
      Values operands;
      for (const mlir::Value reduction : reductions) operands.push_back(reduction.getDefiningOp()->getOperand(0));
      const auto known = stacked_.find(as_set(operands));
      if (operands.size() < kFewest || known == stacked_.end()) continue;
      auto first = reductions.front().getDefiningOp<ir::ReduceOp>();
      const Stack all = stack(first.getLoc(), known->second);
      Ints axes{all.axis};
      for (const std::int64_t axis : first.getAxes()) axes.push_back(axis < all.axis ? axis : axis + 1);
      std::sort(axes.begin(), axes.end());
      take(sum, reductions, ir::create(builder_, first.getLoc(), "reduce", all.value, {{"kind", std::string("add")}, {"axes", axes}}));
    }
  }

  /// A tensor with zeros before and after it along one axis.
  struct Padded {
    mlir::Value leaf, input;
    int axis = -1;
    std::int64_t begin = 0, end = 0;
  };

  static std::optional<Padded> padded(mlir::Value leaf) {
    auto pad = leaf.getDefiningOp<ir::PadOp>();
    if (!pad || !pad->hasOneUse() || !shape_of(pad).is_static()) return std::nullopt;
    const std::optional<Splat> zero = find_splat(pad.getValue());
    if (!zero || zero->number != 0 || llvm::any_of(pad.getInterior(), [](std::int64_t n) { return n != 0; })) return std::nullopt;
    Padded result{leaf, pad.getInput(), -1, 0, 0};
    for (int axis = 0; axis < shape_of(pad).rank(); ++axis) {
      const std::int64_t low = pad.getLow()[static_cast<std::size_t>(axis)], high = pad.getHigh()[static_cast<std::size_t>(axis)];
      if (low == 0 && high == 0) continue;
      if (low < 0 || high < 0 || result.axis >= 0) return std::nullopt;
      result.axis = axis;
      result.begin = low;
      result.end = low + static_cast<std::int64_t>(shape_of(pad.getInput())[axis]);
    }
    if (result.axis < 0) return std::nullopt;
    return result;
  }

  void join_pads(Sum& sum) {
    builder_.setInsertionPoint(sum.root);
    std::map<int, std::vector<Padded>> by_axis;
    for (const mlir::Value leaf : sum.leaves) {
      if (const std::optional<Padded> p = padded(leaf)) by_axis[p->axis].push_back(*p);
    }
    for (auto& [axis, all] : by_axis) {
      std::stable_sort(all.begin(), all.end(), [](const Padded& a, const Padded& b) { return a.begin < b.begin; });
      std::vector<Padded> apart;
      for (const Padded& p : all) {
        if (apart.empty() || p.begin >= apart.back().end) apart.push_back(p);
      }
      if (apart.size() >= 2) join_pads(sum, axis, apart);
    }
  }

  void join_pads(Sum& sum, int axis, const std::vector<Padded>& parts) {
    const auto type = llvm::cast<mlir::RankedTensorType>(sum.root->getResult(0).getType());
    const mlir::Location loc = parts.front().leaf.getLoc();
    Values operands, leaves;
    std::int64_t at = 0;
    const auto fill_to = [&](std::int64_t end) {
      if (end == at) return;
      Shape gap = ir::tensor_type(type).shape;
      gap[axis] = end - at;
      operands.push_back(create_splat(builder_, loc, 0, ir::tensor_type(builder_.getContext(), {ir::tensor_type(type).dtype, gap})));
    };
    for (const Padded& part : parts) {
      fill_to(part.begin);
      operands.push_back(part.input);
      leaves.push_back(part.leaf);
      at = part.end;
    }
    fill_to(static_cast<std::int64_t>(ir::tensor_type(type).shape[axis]));
    take(sum, leaves, ir::create(builder_, loc, "concat", operands, {{"axis", std::int64_t{axis}}}));
  }

  // ---- products put together ----

  /// The contraction of a concat's operand, with the axis of the concat dropped.
  static ir::ContractOp product_of(mlir::Value operand, int axis) {
    auto reshape = operand.getDefiningOp<ir::ReshapeOp>();
    if (!reshape || !reshape->hasOneUse()) return {};
    auto contract = reshape.getInput().getDefiningOp<ir::ContractOp>();
    if (!contract || !contract->hasOneUse() || with_axis(shape_of(contract), axis, 1) != shape_of(reshape)) return {};
    return contract;
  }

  void join_concat(ir::ConcatOp concat) {
    if (concat.getInputs().size() < kFewest) return;
    const auto axis = static_cast<int>(concat.getAxis());
    ir::ContractOp first = product_of(concat.getInputs().front(), axis);
    if (!first) return;
    Values operands;
    for (const mlir::Value input : concat.getInputs()) {
      ir::ContractOp product = product_of(input, axis);
      const bool same = product && product.getRhs() == first.getRhs() && product.getLhs().getType() == first.getLhs().getType() &&
                        ir::inherent_attributes(product) == ir::inherent_attributes(first);
      if (!same) return;
      operands.push_back(product.getLhs());
    }
    ops::ContractView view = ops::ContractView::parse(ir::attrs_of(first));
    if (!can_grow(view) || !shape_of(first).is_static() || extent(first, view, ops::LabelRole::row) >= kLong) return;
    builder_.setInsertionPoint(concat);
    const Stack all = stack(first.getLoc(), operands);
    const char label = fresh_label(view);
    view.lhs.insert(static_cast<std::size_t>(all.axis), 1, label);
    view.out.insert(static_cast<std::size_t>(axis), 1, label);
    replace(concat, ir::create(builder_, first.getLoc(), "contract", {all.value, first.getRhs()}, view.attrs()));
  }

  void replace(mlir::Operation* op, mlir::Value by) {
    const Values operands(op->getOperands());
    op->getResult(0).replaceAllUsesWith(by);
    op->erase();
    erase_dead(operands);
  }

  mlir::Block& block_;
  mlir::OpBuilder builder_;
  llvm::DenseMap<mlir::Value, mlir::Value> replaced_;   ///< sums that others may list as leaves
  std::map<std::vector<const void*>, Values> stacked_;  ///< what some product takes stacked, in its order
};

}  // namespace

void merge_unrolled(mlir::func::FuncOp function, const PassOptions& options) {
  Merger merger(function);
  merger.share_operands();
  if (allowed_tag(options.numerics) >= RuleTag::rounding) merger.join_sums();
  merger.join_concats();
}

}  // namespace kiln::passes
