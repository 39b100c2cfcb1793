// Row kernels: several reductions over the last axis, with what they read and what reads them, a row at a time while it is in cache.
#include <deque>
#include <span>

#include "base/require.h"
#include "codegen/loop_nest.h"
#include "codegen/row_plan.h"
#include "codegen/row_reducer.h"

namespace kiln::codegen {

namespace {

using Function = KernelModule::Function;

/// Bytes of stack that a row may leave values in.
constexpr std::int64_t kScratchBytes = 192 * 1024;
/// Passes up to this cost are written out once for each vector of the 64 lanes.
constexpr int kUnrolledPass = 100;
/// Vectors of the outputs computed side by side.
constexpr int kInterleaved = 2;

/// Length of the rows, which is always known.
std::int64_t row_length(const runtime::KernelSpec& spec) {
  const runtime::BodyNode& root = spec.body[static_cast<std::size_t>(spec.root)];
  const std::int32_t dim = spec.body[static_cast<std::size_t>(root.operands[0])].shape.back();
  for (const auto& [index, length] : spec.constant_dims) {
    if (index == dim) return length;
  }
  throw CompileError("code generation: a row kernel needs the length of its rows", {});
}

std::vector<Reduction> reductions_of(const runtime::KernelSpec& spec, const RowPlan& plan) {
  std::vector<Reduction> all;
  for (const RowPass& pass : plan.passes) {
    if (pass.reduction >= 0) all.emplace_back(spec, pass.reduction);
  }
  return all;
}

/// Elements of one node for a whole row, in memory of this thread.
class SavedRow {
 public:
  SavedRow(ElementEmitter& e, int node, std::int64_t length)
      : e_(e), b_(e.builder()), node_(node), type_(cell_type()), memory_(b_.stack(type_, (length + 63) / 64 * 64)) {}

  /// Stores the node's elements at the position, whole vectors: there is room behind the row.
  void save(const Position& at, const Mask& mask) {
    Value v = b_.splat(e_.value(node_, at, mask));
    if (type_ == b_.i8()) v = b_.integer_cast(v, type_, false);
    Value address = b_.offset(memory_, type_, at.at.back().base);
    if (Builder::is_vector(v))
      b_.hooks().store(b_, v, address, {});
    else
      b_.store_scalar(v, address);
  }
  /// From now on the node's value is what was saved.
  void use() {
    e_.set_source(node_, [this](const Position& at, const Mask&) {
      const Index& i = at.at.back();
      Value address = b_.offset(memory_, type_, i.base);
      Value v = i.uniform() ? b_.load_scalar(address, type_, false)
                            : b_.hooks().load(b_, address, mlir::VectorType::get({b_.lanes()}, type_), {}, false);
      return type_ == b_.i8() && e_.node(node_).dtype == DType::boolean
                 ? b_.compare(mlir::arith::CmpIPredicate::ne, v, b_.integer(type_, 0))
                 : v;
    });
  }

 private:
  Type cell_type() {
    const DType t = e_.node(node_).dtype;
    return t == DType::boolean ? b_.i8() : b_.value_type(t);
  }
  ElementEmitter& e_;
  Builder& b_;
  int node_;
  Type type_;
  Value memory_;
};

class RowEmitter {
 public:
  RowEmitter(KernelModule& m, Function& f, const RowPlan& plan, std::span<const Reduction> reductions)
      : m_(m), f_(f), b_(f.b), e_(f.e), plan_(plan), lanes_(m.vector_lanes()), length_(row_length(m.spec())) {
    for (const Reduction& r : reductions) emitters_.emplace_back(f, r);
    for (std::size_t i = 0; i < emitters_.size(); ++i) {
      reducers_.emplace_back(emitters_[i], lanes_, plan.passes[i].cost <= kUnrolledPass, block_limit(emitters_[i]));
    }
    for (const RowPass& pass : plan.passes) {
      std::vector<SavedRow>& saved = saved_.emplace_back();
      for (int n : pass.saved) saved.emplace_back(e_, n, length_);
    }
  }

  void row(Value number) {
    kept_ = emitters_[0].kept_at(number);
    for (std::size_t i = 0; i < emitters_.size(); ++i) reduce(i);
    write_full();
    b_.set_lanes(1);
    for (std::size_t o = 0; o < m_.spec().outputs.size(); ++o) {
      const int node = m_.spec().outputs[o];
      if (plan_.is_full(e_.node(node))) continue;
      Position at;
      at.at.append(kept_.begin(), kept_.end());
      e_.store(static_cast<int>(o), at, e_.value(node, at, {}), {});
    }
  }

 private:
  Position position(const Index& i) const {
    Position at;
    at.at.append(kept_.begin(), kept_.end());
    at.at.push_back(i);
    return at;
  }

  void reduce(std::size_t pass) {
    const int node = plan_.passes[pass].reduction;
    Value result = reduce_row(emitters_[pass], reducers_[pass], [&](const Index& i, const Mask& mask) {
      const Position at = position(i);
      Value v = e_.value(e_.node(node).operands[0], at, mask);
      for (SavedRow& s : saved_[pass]) s.save(at, mask);
      return v;
    });
    Value rounded = e_.round_half(result, e_.node(node).dtype);
    e_.set_source(node, [rounded](const Position&, const Mask&) { return rounded; });
    for (SavedRow& s : saved_[pass]) s.use();
  }

  void write_full() {
    llvm::SmallVector<std::size_t> outputs;
    for (std::size_t o = 0; o < m_.spec().outputs.size(); ++o) {
      if (plan_.is_full(e_.node(m_.spec().outputs[o]))) outputs.push_back(o);
    }
    if (outputs.empty()) return;
    vector_loop(b_, b_.integer(0), b_.integer(length_), lanes_, kInterleaved, [&](llvm::ArrayRef<Value> firsts, const Mask& mask) {
      llvm::SmallVector<Position, kInterleaved> at;
      for (Value i : firsts) at.push_back(position({i, b_.lanes() > 1 ? 1 : 0, {}}));
      emit_outputs(e_, outputs, at, mask);
    });
  }

  KernelModule& m_;
  Function& f_;
  Builder& b_;
  ElementEmitter& e_;
  const RowPlan& plan_;
  int lanes_;
  std::int64_t length_;
  std::deque<ReductionEmitter> emitters_;
  std::deque<BlockReducer> reducers_;
  std::deque<std::vector<SavedRow>> saved_;  ///< by pass
  llvm::SmallVector<Index, 4> kept_;
};

}  // namespace

void emit_row_kernel(KernelModule& m) {
  const std::int64_t length = row_length(m.spec());
  const RowPlan plan = plan_rows(m.spec(), static_cast<int>(kScratchBytes / (8 * length)));
  const std::vector<Reduction> reductions = reductions_of(m.spec(), plan);
  if (length > ops::kReduceBlock) {
    for (const Reduction& r : reductions) add_cell_reducer(m, r);
  }
  m.add_function("range", 2, false, [&](Function& f) {
    RowEmitter rows(m, f, plan, reductions);
    f.b.loop(f.extra[0], f.extra[1], f.b.integer(1), [&](Value row) { rows.row(row); });
  });
  m.add_parallel_entry("range", [&](Function& f) {
    ReductionEmitter e(f, reductions[0]);
    return KernelModule::Extent{e.results(), f.b.integer(std::max<std::int64_t>(1, m.grain_elements() / length))};
  });
}

}  // namespace kiln::codegen
