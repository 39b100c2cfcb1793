// Reduce kernels: the choice of emitter, and what they share.
#include "base/require.h"
#include "codegen/reduction.h"
#include "ops/numeric_order.h"

namespace kiln::codegen {

namespace arith = mlir::arith;

Reduction::Reduction(const runtime::KernelSpec& spec, int node) : root(node) {
  const runtime::BodyNode& n = spec.body[static_cast<std::size_t>(root)];
  x = n.operands[0];
  const runtime::BodyNode& operand = spec.body[static_cast<std::size_t>(x)];
  rank = static_cast<int>(operand.shape.size());
  dtype = operand.dtype;
  kind = n.attrs.get<std::string>("kind");
  arg = !n.attrs.has("axes");
  const Ints axes = arg ? Ints{n.attrs.get<std::int64_t>("axis")} : n.attrs.get<Ints>("axes");
  for (int axis = 0; axis < rank; ++axis) {
    const bool is_reduced = std::find(axes.begin(), axes.end(), axis) != axes.end();
    (is_reduced ? reduced : kept).push_back(axis);
  }
  innermost_reduced = !reduced.empty() && reduced.back() == rank - 1;
}

std::vector<Reduction> Reduction::all(const runtime::KernelSpec& spec) {
  std::vector<Reduction> result;
  for (std::size_t i = 0; i < spec.body.size(); ++i) {
    if (spec.body[i].op == "reduce") result.emplace_back(spec, static_cast<int>(i));
  }
  return result;
}

Value ReductionEmitter::length() {
  Value n = b_.integer(1);
  for (int axis : r_.reduced) n = b_.mul(n, e_.shapes().length(r_.x, axis));
  return n;
}

Value ReductionEmitter::results() {
  Value n = b_.integer(1);
  for (int axis : r_.kept) n = b_.mul(n, e_.shapes().length(r_.x, axis));
  return n;
}

Value ReductionEmitter::element_at(llvm::ArrayRef<Index> kept, llvm::ArrayRef<Index> reduced, const Mask& mask) {
  Position at;
  at.at.resize(static_cast<std::size_t>(r_.rank));
  for (std::size_t i = 0; i < r_.kept.size(); ++i) at.at[static_cast<std::size_t>(r_.kept[i])] = kept[i];
  for (std::size_t i = 0; i < r_.reduced.size(); ++i) at.at[static_cast<std::size_t>(r_.reduced[i])] = reduced[i];
  return e_.value(r_.x, at, mask);
}

Value ReductionEmitter::element(llvm::ArrayRef<Index> kept, const Index& i, const Mask& mask) {
  const auto split = [&](Index rest) {
    llvm::SmallVector<Index, 4> reduced(r_.reduced.size());
    for (std::size_t axis = r_.reduced.size(); axis-- > 1;) {
      auto [quotient, remainder] = e_.indexing().divide(rest, e_.shapes().length(r_.x, r_.reduced[axis]));
      reduced[axis] = remainder;
      rest = quotient;
    }
    if (!reduced.empty()) reduced[0] = rest;
    return reduced;
  };
  if (i.uniform() || r_.reduced.size() <= 1) return element_at(kept, split(i), mask);
  // Lanes within one run of the innermost reduced axis are neighbours; lanes across its end are gathered.
  llvm::SmallVector<Index, 4> first = split({i.base});
  Value last = b_.add(first.back().base, b_.integer(b_.lanes()));
  Value within = b_.compare(arith::CmpIPredicate::sle, last, e_.shapes().length(r_.x, r_.reduced.back()));
  const Type type = Builder::vector_of(b_.value_type(r_.dtype), b_.lanes());
  return b_.branch(
      within, type,
      [&] {
        first.back().step = 1;
        return Values{b_.splat(element_at(kept, first, mask))};
      },
      [&] { return Values{b_.splat(element_at(kept, split(i), mask))}; })[0];
}

llvm::SmallVector<Index, 4> ReductionEmitter::kept_at(Value n) {
  llvm::SmallVector<Index, 4> kept(r_.kept.size());
  Index rest{n};
  for (std::size_t axis = kept.size(); axis-- > 1;) {
    auto [quotient, remainder] = e_.indexing().divide(rest, e_.shapes().length(r_.x, r_.kept[axis]));
    kept[axis] = remainder;
    rest = quotient;
  }
  if (!kept.empty()) kept[0] = rest;
  return kept;
}

void ReductionEmitter::set_result(Value result) {
  if (!result) return e_.set_source(r_.root, {});
  Value rounded = e_.round_half(result, e_.node(r_.root).dtype);
  e_.set_source(r_.root, [rounded](const Position&, const Mask&) { return rounded; });
}

void ReductionEmitter::write_outputs(llvm::ArrayRef<Index> kept, const Mask& mask) {
  Position at;
  at.at.append(kept.begin(), kept.end());
  Values values;
  for (std::int32_t output : e_.spec().outputs) values.push_back(e_.value(output, at, mask));
  for (std::size_t i = 0; i < values.size(); ++i) e_.store(static_cast<int>(i), at, values[i], mask);
}

void SiblingEmitters::finish(llvm::ArrayRef<Index> kept, const Values& results, const Mask& mask) {
  for (std::size_t i = 0; i < size(); ++i) emitters_[i].set_result(results[i]);
  first().write_outputs(kept, mask);
  for (ReductionEmitter& e : emitters_) e.set_result({});
}

Value ReductionEmitter::empty() { return r_.kind == "add" ? b_.constant(b_.value_type(r_.dtype), 0) : skip(); }

Type ReductionEmitter::cell() { return r_.dtype == DType::boolean ? b_.i8() : b_.value_type(r_.dtype); }

Value ReductionEmitter::to_cell(Value v) { return r_.dtype == DType::boolean ? b_.integer_cast(v, b_.i8(), false) : v; }

Value ReductionEmitter::from_cell(Value v) {
  return r_.dtype == DType::boolean ? b_.compare(arith::CmpIPredicate::ne, v, b_.integer(b_.i8(), 0)) : v;
}

Value ReductionEmitter::load_cells(Value memory, Value first, int lanes) {
  Value address = b_.offset(memory, cell(), first);
  if (lanes == 1) return from_cell(b_.load_scalar(address, cell(), false));
  return from_cell(b_.hooks().load(b_, address, mlir::VectorType::get({lanes}, cell()), {}, false));
}

void ReductionEmitter::store_cells(Value v, Value memory, Value first) {
  Value address = b_.offset(memory, cell(), first);
  Value stored = to_cell(v);
  if (!Builder::is_vector(stored))
    b_.store_scalar(stored, address);
  else
    b_.hooks().store(b_, stored, address, {});
}

Value ReductionEmitter::tree(Value v) {
  for (int half = Builder::lanes_of(v) / 2; half > 0; half /= 2) v = combine(b_.slice(v, 0, half), b_.slice(v, half, half));
  return v;
}

void emit_reduce_kernel(KernelModule& m) {
  const Reduction root(m.spec());
  if (root.arg) return emit_arg_reduction(m, root);
  const std::vector<Reduction> reductions = Reduction::all(m.spec());
  for (const Reduction& r : reductions) {
    KILN_ASSERT(r.reduced == root.reduced && r.rank == root.rank, "a reduce kernel has reductions over different axes");
  }
  if (root.kept.empty()) return emit_full_reductions(m, reductions);
  if (root.innermost_reduced) return emit_row_reductions(m, reductions);
  return emit_column_reductions(m, reductions);
}

}  // namespace kiln::codegen
