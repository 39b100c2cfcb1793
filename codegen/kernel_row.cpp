// Row kernels: several reductions over the last axis, with what they read and what reads them, a few rows at a time while they are in
// cache.
#include <deque>
#include <functional>
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
/// Bytes of the rows, and of what is left of them, that go through each pass together, and the most rows. While the lanes of one row are
/// added up, the next row is on its way.
constexpr std::int64_t kGroupBytes = 32 * 1024;
constexpr std::int64_t kGroupRows = 8;
/// Passes up to this cost are written out once for each vector of the 64 lanes.
constexpr int kUnrolledPass = 100;

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

/// Rows that go through each pass together.
std::int64_t rows_of_group(const RowPlan& plan, std::int64_t length) {
  std::int64_t kept = 1;
  for (const RowPass& pass : plan.passes) kept += static_cast<std::int64_t>(pass.saved.size());
  return std::clamp<std::int64_t>(kGroupBytes / (static_cast<std::int64_t>(sizeof(float)) * length * kept), 1, kGroupRows);
}

/// Elements of one node for the rows of a group, in memory of this thread.
class SavedRows {
 public:
  /// `row`: number of the row in its group.
  SavedRows(ElementEmitter& e, int node, std::int64_t length, std::int64_t rows, const Value& row)
      : e_(e),
        b_(e.builder()),
        node_(node),
        row_(row),
        length_((length + 63) / 64 * 64),
        type_(cell_type()),
        memory_(b_.stack(type_, rows * length_)) {}

  /// Stores the node's elements at the position, whole vectors: there is room behind the row.
  void save(const Position& at, const Mask& mask) {
    Value v = b_.splat(e_.value(node_, at, mask));
    if (type_ == b_.i8()) v = b_.integer_cast(v, type_, false);
    if (Builder::is_vector(v))
      b_.hooks().store(b_, v, address(at), {});
    else
      b_.store_scalar(v, address(at));
  }
  /// From now on the node's value is what was saved.
  void use() {
    e_.set_source(node_, [this](const Position& at, const Mask&) {
      Value v = at.at.back().uniform() ? b_.load_scalar(address(at), type_, false)
                                       : b_.hooks().load(b_, address(at), mlir::VectorType::get({b_.lanes()}, type_), {}, false);
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
  Value address(const Position& at) { return b_.offset(memory_, type_, b_.add(b_.mul(row_, b_.integer(length_)), at.at.back().base)); }

  ElementEmitter& e_;
  Builder& b_;
  int node_;
  const Value& row_;
  std::int64_t length_;
  Type type_;
  Value memory_;
};

class RowEmitter {
 public:
  RowEmitter(KernelModule& m, Function& f, const RowPlan& plan, std::span<const Reduction> reductions)
      : m_(m),
        f_(f),
        b_(f.b),
        e_(f.e),
        plan_(plan),
        lanes_(m.vector_lanes()),
        length_(row_length(m.spec())),
        rows_(rows_of_group(plan, length_)) {
    for (const Reduction& r : reductions) emitters_.emplace_back(f, r);
    for (std::size_t i = 0; i < emitters_.size(); ++i) {
      reducers_.emplace_back(emitters_[i], m.wide_lanes(), plan.passes[i].cost <= kUnrolledPass, block_limit(emitters_[i]));
      results_.push_back(b_.stack(emitters_[i].cell(), rows_));
    }
    for (const RowPass& pass : plan.passes) {
      std::vector<SavedRows>& saved = saved_.emplace_back();
      for (int n : pass.saved) saved.emplace_back(e_, n, length_, rows_, row_);
    }
  }

  /// Rows [begin, end).
  void rows(Value begin, Value end) {
    b_.loop(begin, end, b_.integer(rows_), [&](Value first) { group(first, b_.min_signed(b_.add(first, b_.integer(rows_)), end)); });
  }

 private:
  void group(Value first, Value end) {
    const auto row = [&](Value number, std::size_t passes, const std::function<void()>& f) {
      row_ = b_.sub(number, first);
      kept_ = emitters_[0].kept_at(number);
      for (std::size_t i = 0; i < passes; ++i) read_result(i);
      f();
    };
    const auto each_row = [&](std::size_t passes, const std::function<void()>& f) {
      if (rows_ == 1) return row(first, passes, f);
      b_.loop(first, end, b_.integer(1), [&](Value number) { row(number, passes, f); });
    };
    for (std::size_t i = 0; i < emitters_.size(); ++i) {
      each_row(i, [&] { reduce(i); });
      for (SavedRows& s : saved_[i]) s.use();
    }
    each_row(emitters_.size(), [&] { write(); });
  }

  void write() {
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
      for (SavedRows& s : saved_[pass]) s.save(at, mask);
      return v;
    });
    emitters_[pass].store_cells(e_.round_half(result, e_.node(node).dtype), results_[pass], row_);
  }

  /// From now on the pass's reduction is what was stored for this row.
  void read_result(std::size_t pass) {
    Value result = emitters_[pass].load_cells(results_[pass], row_, 1);
    e_.set_source(plan_.passes[pass].reduction, [result](const Position&, const Mask&) { return result; });
  }

  void write_full() {
    llvm::SmallVector<std::size_t> outputs;
    for (std::size_t o = 0; o < m_.spec().outputs.size(); ++o) {
      if (plan_.is_full(e_.node(m_.spec().outputs[o]))) outputs.push_back(o);
    }
    if (outputs.empty()) return;
    element_loop(m_, b_, b_.integer(0), b_.integer(length_), m_.wide_lanes(),
                 [&](Value i, const Mask& mask) { emit_outputs(e_, outputs, {position({i, lanes_ > 1 ? 1 : 0, {}, lanes_ >= 4})}, mask); });
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
  std::int64_t rows_;                         ///< of a group
  Value row_;                                 ///< number in its group
  Values results_;                            ///< of the reductions, in memory, by pass
  std::deque<std::vector<SavedRows>> saved_;  ///< by pass
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
    rows.rows(f.extra[0], f.extra[1]);
  });
  m.add_parallel_entry("range", [&](Function& f) {
    ReductionEmitter e(f, reductions[0]);
    return KernelModule::Extent{e.results(), f.b.integer(std::max<std::int64_t>(1, m.grain_elements() / length))};
  });
}

}  // namespace kiln::codegen
