// Contract to PlanContraction.
#include "passes/build_plan_contraction.h"

#include <algorithm>

#include "ops/contract.h"

namespace kiln::passes {
namespace {

using runtime::PlanContraction;

struct Loop {
  Dim extent, lhs = 0, rhs = 0, out = 0;
  int window = -1;  ///< index into the windows that it belongs to
};

class Lowering {
 public:
  Lowering(const graph::Graph& graph, const graph::Node& n)
      : view_(ops::ContractView::parse(n.attrs)),
        lhs_(graph.node(n.operands[0]).type.shape),
        rhs_(graph.node(n.operands[1]).type.shape),
        out_(n.type.shape),
        dtype_(graph.node(n.operands[0]).type.dtype) {}

  PlanContraction run(DimProgram& dims) {
    add_loops();
    PlanContraction result;
    result.dtype = dtype_;
    finish(batch_, result.batch, dims);
    finish(row_, result.row, dims);
    finish(col_, result.col, dims);
    finish(depth_, result.depth, dims);
    add_windows(result, dims);
    return result;
  }

 private:
  static Dim stride(const Shape& shape, int axis) {
    if (axis < 0) return 0;
    Dim s = 1;
    for (int i = shape.rank() - 1; i > axis; --i) s = shape[i] * s;
    return s;
  }

  void add_loops() {
    for (char name : view_.out) {
      const ops::ContractLabel& l = view_.label(name);
      const bool slides = l.role == ops::LabelRole::window;
      Loop loop{out_[l.out], slides ? Dim(0) : stride(lhs_, l.lhs), slides ? Dim(0) : stride(rhs_, l.rhs), stride(out_, l.out), l.window};
      (l.role == ops::LabelRole::batch ? batch_ : l.role == ops::LabelRole::col ? col_ : row_).push_back(loop);
    }
    for (char name : view_.order) {
      const ops::ContractLabel& l = view_.label(name);
      const bool slides = l.role == ops::LabelRole::window;
      depth_.push_back({rhs_[l.rhs], slides ? Dim(0) : stride(lhs_, l.lhs), stride(rhs_, l.rhs), 0, l.window});
    }
  }

  /// True if one loop can do what `outer` around `inner` does.
  static bool merge(const Loop& outer, const Loop& inner) {
    if (outer.window >= 0 || inner.window >= 0) return false;
    return outer.lhs == inner.lhs * inner.extent && outer.rhs == inner.rhs * inner.extent && outer.out == inner.out * inner.extent;
  }

  static void finish(std::vector<Loop>& loops, std::vector<PlanContraction::Loop>& result, DimProgram& dims) {
    std::vector<Loop> merged;
    for (const Loop& loop : loops) {
      if (loop.extent == 1 && loop.window < 0) continue;
      if (!merged.empty() && merge(merged.back(), loop)) {
        const Dim outer = merged.back().extent;
        merged.back() = loop;
        merged.back().extent = outer * loop.extent;
      } else {
        merged.push_back(loop);
      }
    }
    loops = merged;
    for (const Loop& l : loops) result.push_back({dims.id(l.extent), dims.id(l.lhs), dims.id(l.rhs), dims.id(l.out)});
  }

  void add_windows(PlanContraction& result, DimProgram& dims) const {
    for (std::size_t i = 0; i < view_.window.size(); ++i) {
      const ops::ContractLabel& l = view_.label(view_.window[i]);
      const ops::ContractWindow& w = view_.windows[i];
      const auto place = [&](const std::vector<Loop>& loops) {
        const auto found = std::find_if(loops.begin(), loops.end(), [&](const Loop& loop) { return loop.window == static_cast<int>(i); });
        return static_cast<std::int32_t>(found - loops.begin());
      };
      result.windows.push_back({.row = place(row_),
                                .depth = place(depth_),
                                .extent = dims.id(lhs_[l.lhs]),
                                .lhs_stride = dims.id(stride(lhs_, l.lhs)),
                                .stride = w.stride,
                                .rhs_dilation = w.rhs_dilation,
                                .lhs_dilation = w.lhs_dilation,
                                .padding_low = w.padding_low,
                                .reverse = w.reverse});
    }
  }

  ops::ContractView view_;
  Shape lhs_, rhs_, out_;
  DType dtype_;
  std::vector<Loop> batch_, row_, col_, depth_;
};

}  // namespace

PlanContraction plan_contraction(const graph::Graph& graph, const graph::Node& contract, DimProgram& dims) {
  return Lowering(graph, contract).run(dims);
}

}  // namespace kiln::passes
