// arg_reduce: the index of the first extreme. The order does not matter, since ties go to the smaller index.
#include "codegen/reduction.h"

namespace kiln::codegen {

namespace arith = mlir::arith;

namespace {

using Function = KernelModule::Function;

/// Values and where they are.
struct Candidate {
  Value value, index;
};

class ArgEmitter {
 public:
  ArgEmitter(ReductionEmitter& e) : e_(e), b_(e.function().b) {}

  /// a is more extreme than b; NaN is the extreme.
  Value beats(Value x, Value y) {
    using F = arith::CmpFPredicate;
    using I = arith::CmpIPredicate;
    const bool max = e_.reduction().kind == "max";
    const DType t = e_.reduction().dtype;
    if (is_floating(t)) {
      Value only = b_.bit_and(b_.compare(F::UNO, x, x), b_.compare(F::ORD, y, y));
      return b_.bit_or(b_.compare(max ? F::OGT : F::OLT, x, y), only);
    }
    const bool is_unsigned = t == DType::uint8 || t == DType::boolean;
    if (is_unsigned) return b_.compare(max ? I::ugt : I::ult, x, y);
    return b_.compare(max ? I::sgt : I::slt, x, y);
  }

  /// The better of the two; the smaller index among equals.
  Candidate better(const Candidate& a, const Candidate& b) {
    Value ties = b_.bit_and(b_.bit_not(beats(a.value, b.value)), b_.less(b.index, a.index));
    Value second = b_.bit_or(beats(b.value, a.value), ties);
    return {b_.select(second, b.value, a.value), b_.select(second, b.index, a.index)};
  }

  /// What every element beats or ties with.
  Value worst() {
    const DType t = e_.reduction().dtype;
    if (t == DType::boolean) return b_.boolean(e_.reduction().kind == "min");
    return e_.function().e.identity(e_.reduction().kind, t);
  }

  /// Lanes to one.
  Value first(Candidate c) {
    for (int half = Builder::lanes_of(c.value) / 2; half > 0; half /= 2) {
      const auto part = [&](int at) { return Candidate{b_.slice(c.value, at, half), b_.slice(c.index, at, half)}; };
      c = better(part(0), part(half));
    }
    return c.index;
  }

 private:
  ReductionEmitter& e_;
  Builder& b_;
};

void finish(ReductionEmitter& e, llvm::ArrayRef<Index> kept, Value result, const Mask& mask) {
  e.set_result(result);
  e.write_outputs(kept, mask);
  e.set_result({});
}

/// Along the innermost axis: lanes take every W-th element.
void emit_row(KernelModule& m, ReductionEmitter& e, Value row) {
  Builder& b = e.function().b;
  ArgEmitter arg(e);
  const int lanes = m.vector_lanes();
  b.set_lanes(lanes);
  const llvm::SmallVector<Index, 4> kept = e.kept_at(row);
  Value n = e.length();
  const auto step = [&](Value i, mlir::ValueRange carried, const Mask& mask) {
    Value v = b.splat(e.element(kept, {i, lanes > 1 ? 1 : 0, {}}, mask));
    Value index = e.function().e.indexing().vector({i, lanes > 1 ? 1 : 0, {}});
    Value wins = arg.beats(v, carried[0]);
    if (mask.lanes) wins = b.bit_and(wins, mask.lanes);
    return Values{b.select(wins, v, carried[0]), b.select(wins, index, carried[1])};
  };
  const Values start = {b.splat(arg.worst(), lanes), b.iota(b.i64(), lanes)};
  Value whole = b.sub(n, b.bit_and(n, b.integer(lanes - 1)));
  Values best =
      b.loop(b.integer(0), whole, b.integer(lanes), start, [&](Value i, mlir::ValueRange carried) { return step(i, carried, {}); });
  const Type types[] = {best[0].getType(), best[1].getType()};
  best = b.branch(
      b.less(whole, n), types, [&] { return step(whole, best, {b.first_lanes(b.sub(n, whole), lanes), {}, {}}); }, [&] { return best; });
  Value index = arg.first({best[0], best[1]});
  b.set_lanes(1);
  finish(e, kept, index, {});
  b.set_lanes(lanes);
}

/// Along another axis: each lane has its own result.
void emit_columns(KernelModule& m, ReductionEmitter& e, Value outer_row) {
  Builder& b = e.function().b;
  ArgEmitter arg(e);
  const Reduction& r = e.reduction();
  ElementEmitter& elements = e.function().e;
  Index rest{outer_row};
  llvm::SmallVector<Index, 4> outer(r.kept.size() - 1);
  for (std::size_t axis = outer.size(); axis-- > 1;) {
    auto [quotient, remainder] = elements.indexing().divide(rest, elements.shapes().length(r.x, r.kept[axis]));
    outer[axis] = remainder;
    rest = quotient;
  }
  if (!outer.empty()) outer[0] = rest;
  Value width = elements.shapes().length(r.x, r.rank - 1);
  vector_loop(b, b.integer(0), width, m.vector_lanes(), [&](Value c, const Mask& mask) {
    llvm::SmallVector<Index, 4> kept = outer;
    kept.push_back({c, b.lanes() > 1 ? 1 : 0, {}});
    const Values start = {b.splat(arg.worst()), b.splat(b.integer(0))};
    Values best = b.loop(b.integer(0), e.length(), b.integer(1), start, [&](Value i, mlir::ValueRange carried) {
      Value v = b.splat(e.element(kept, {i}, mask));
      Value wins = arg.beats(v, carried[0]);
      return Values{b.select(wins, v, carried[0]), b.select(wins, b.splat(i), carried[1])};
    });
    finish(e, kept, best[1], mask);
  });
}

}  // namespace

void emit_arg_reduction(KernelModule& m, const Reduction& r) {
  const auto units = [&](Function& f, ReductionEmitter& e) {
    if (r.innermost_reduced) return e.results();
    Value n = f.b.integer(1);
    for (std::size_t i = 0; i + 1 < r.kept.size(); ++i) n = f.b.mul(n, f.e.shapes().length(r.x, r.kept[i]));
    return n;
  };
  m.add_function("range", 2, false, [&](Function& f) {
    ReductionEmitter e(f, r);
    f.b.loop(f.extra[0], f.extra[1], f.b.integer(1), [&](Value unit) {
      if (r.innermost_reduced)
        emit_row(m, e, unit);
      else
        emit_columns(m, e, unit);
    });
  });
  m.add_parallel_entry("range", [&](Function& f) {
    ReductionEmitter e(f, r);
    Value per_unit = f.e.shapes().length(r.x, r.rank - 1);
    return m.extent(f.b, units(f, e), per_unit);
  });
}

}  // namespace kiln::codegen
