// What fusion believes about costs, in rough cycles for one vector of results.
//
// The rules, in the order in which divide() asks:
//  1. Views cost nothing: broadcasts, iotas, reshapes, casts of them and scalar constants are computed wherever they are read.
//  2. A value read once is computed where it is read, unless a contraction can write it instead of a result that nobody else reads.
//  3. A cheap value (a few arithmetic ops on at most two tensors) is computed again in each kernel that reads it.
//  4. A scalar is cheap up to ten plain ops: a kernel computes it once, before its loop.
//  5. What follows a reduction or a contraction at the same index is computed with it, once: that costs no pass over memory.
//  6. Anything else that several kernels read (an exp, a gathered row), or that a broadcast or an overlapping window would recompute, is
//     written to memory once, unless it is so small that a launch costs more.
//  7. Kernels over the same elements that share a tensor become one kernel with several outputs, as far as its arguments and body stay
//  small.
//  8. Reductions over rows of at most kMaxRow elements, what they read and what reads them become one kernel that takes a row at a time.
//  9. Side by side elements of a tensor that is in memory anyway are read where they are: such a slice is a view. So is a large concat if
//  each of its operands can be written into its memory.
// 10. A contraction takes elementwise consumers while a tile is in cache, as long as they stream few tensors: an SGD update yes, an Adam
//  update no.
// 11. Reductions over the same axes that share a tensor become one kernel that reads it once, if none needs another's result.
// 12. A kernel of kMaxBody ops ends there. A shorter one, from kLongBody on, may end where the expression that it computes begins again, so
//  that the same kernel, compiled once, runs again for what is left; if that costs little beside the kernel, or the end is near.
// 13. Several rows of two to kShortRow elements share a vector, whose code knows their length, if what they read is read in place or is the
//  same for all rows. Gathering an input lane by lane costs a cycle an element, a row at a time some six cycles: with one such input that
//  ends at kShortGatheredRow elements, with two at half of it. Small tensors share one kernel for all lengths.
// 14. A reduction that leaves at most kFewColumns columns takes several rows of them at a time, by code that knows their number.
#pragma once
#include <cstdint>

#include "graph/graph.h"

namespace kiln::passes::cost {

inline constexpr double kCheap = 8;                   ///< an expression up to this cost may be computed again (rule 3)
inline constexpr int kCheapTensors = 2;               ///< ... if it reads at most this many tensors of its own size
inline constexpr int kScalarOps = 10;                 ///< rule 4
inline constexpr double kScalarCost = 40;             ///< ... up to this cost: a power is worth a launch
inline constexpr int kMaxBody = 160;                  ///< ops of one kernel
inline constexpr int kLongBody = 60;                  ///< ops from which on a kernel may end early (rule 12)
inline constexpr int kVeryLongBody = 120;             ///< ... whatever the end costs
inline constexpr double kCutsWorth = 15;              ///< how much more the kernel must cost than its end
inline constexpr int kMaxArguments = 24;              ///< tensors that one kernel reads and writes
inline constexpr int kMaxEpilogueStreams = 5;         ///< tensors of the result's size that an epilogue reads and writes (rule 10)
inline constexpr std::int64_t kShortRow = 16;         ///< elements of a row of which a vector holds several (rule 13)
inline constexpr std::int64_t kShortGatheredRow = 6;  ///< ... where one input is gathered
inline constexpr std::int64_t kFewColumns = 8;        ///< rule 14
inline constexpr std::int64_t kMaxRow = 16384;        ///< elements of a row that stays in cache between passes over it (rule 8)
inline constexpr int kMaxSiblings = 4;                ///< reductions that one kernel does side by side (rule 11)
inline constexpr std::int64_t kSmall = 2048;          ///< elements up to which a launch costs more than its work
inline constexpr double kSmallCost = 20;              ///< cost up to which an expression on so few elements may be computed again

/// Cost of the op alone, its operands at hand.
double op_cost(const graph::Node& node);

/// Cost of ending a kernel here: the value is written and read again, and a launch more.
double cut_cost(const TensorType& type);

/// True for ops that only say where a value comes from (rule 1).
bool is_view(const graph::Node& node);

/// How often a kernel that computes `consumer` asks for each element of its operand number `operand`: 1 elementwise, the number of copies
/// of a broadcast, the overlap of a window.
double reads_per_element(const graph::Graph& graph, const graph::Node& consumer, int operand);

/// True if each element of the result needs only the same element of the operand: elementwise ops and casts.
bool same_index(const graph::Node& consumer);
/// The same, or a reshape that only adds or drops axes of length 1.
bool keeps_index(const graph::Graph& graph, const graph::Node& consumer);
/// The shape without its axes of length 1.
Shape squeezed(const Shape& shape);

/// Elements of a tensor; a symbolic length counts as 64.
double elements(const Shape& shape);

}  // namespace kiln::passes::cost
