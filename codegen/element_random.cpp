// Random numbers in the element emitter: ops/random.h's Philox, lane by lane.
#include "codegen/element_emitter.h"
#include "codegen/emitter_value.h"
#include "codegen/half.h"
#include "ops/random.h"

namespace kiln::codegen {

namespace philox = ops::philox;
namespace arith = mlir::arith;

namespace {

/// Philox on lanes: 32-bit words held in i64, upper halves zero.
class PhiloxLanes {
 public:
  explicit PhiloxLanes(Builder& b) : b_(b) {}

  std::array<Value, 4> block(Value seed, Value stream, Value index) {
    std::array<Value, 4> c = {low(index), high(index), low(stream), high(stream)};
    Value k0 = low(seed);
    Value k1 = high(seed);
    for (int round = 0; round < philox::kRounds; ++round) {
      Value p0 = b_.mul(c[0], word(philox::kMultiplier0));
      Value p1 = b_.mul(c[2], word(philox::kMultiplier1));
      c = {b_.bit_xor(b_.bit_xor(high(p1), c[1]), k0), low(p1), b_.bit_xor(b_.bit_xor(high(p0), c[3]), k1), low(p0)};
      k0 = low(b_.add(k0, word(philox::kWeyl0)));
      k1 = low(b_.add(k1, word(philox::kWeyl1)));
    }
    return c;
  }

 private:
  Value word(std::uint32_t w) { return b_.integer(static_cast<std::int64_t>(w)); }
  Value low(Value v) { return b_.bit_and(v, b_.integer(0xffffffff)); }
  Value high(Value v) { return b_.binary<arith::ShRUIOp>(v, b_.integer(32)); }
  Builder& b_;
};

/// Of each element's pair in its block, the words (i32), and which of them is its own.
struct PhiloxWords {
  Value even, odd, is_odd;
};

Value is_set(Builder& b, Value v, std::int64_t bit) {
  return b.compare(arith::CmpIPredicate::ne, b.bit_and(v, b.integer(bit)), b.integer(0));
}

/// A block a lane, for any elements.
PhiloxWords words_by_lane(Builder& b, Value seed, Value stream, Value element) {
  const std::array<Value, 4> words = PhiloxLanes(b).block(seed, stream, b.binary<arith::ShRUIOp>(element, b.integer(2)));
  Value upper = is_set(b, element, 2);
  const auto either = [&](int first) { return b.integer_cast(b.select(upper, words[first + 2], words[first]), b.i32(), false); };
  return {either(0), either(1), is_set(b, element, 1)};
}

/// For consecutive elements from a multiple of 4 on, at least 8: four lanes share a block.
PhiloxWords words_of_blocks(Builder& b, Value seed, Value stream, Value first) {
  const int lanes = b.lanes(), blocks = lanes / 4;
  Value block = b.binary<arith::ShRUIOp>(first, b.integer(2));
  block = b.add(b.splat(block, blocks), b.iota(b.i64(), blocks));
  Values words;
  for (Value word : PhiloxLanes(b).block(seed, stream, block)) {
    Value narrow = b.integer_cast(word, b.i32(), false);
    words.push_back(narrow);
  }
  Value all = b.concat(words);
  const auto pick = [&](int offset) {
    llvm::SmallVector<std::int64_t> from;
    for (int i = 0; i < lanes; ++i) from.push_back((i % 4 / 2 * 2 + offset) * blocks + i / 4);
    return b.shuffle(all, all, from);
  };
  return {pick(0), pick(1), is_set(b, b.iota(b.i64(), lanes), 1)};
}

template <class T>
Value distribute(Builder& b, const std::string& kind, DType dtype, Value word, const PhiloxWords& words) {
  using S = Emitted<T>;
  using W = Emitted<std::int32_t>;
  const BuilderScope scope(b);
  if (kind == "normal") return philox::normal<S>(W{words.even}, W{words.odd}, EmittedMask{words.is_odd}).v;
  int bits = philox::kUniformBits<T>;
  if (dtype == DType::float16) bits = philox::kUniformBitsFloat16;
  if (dtype == DType::bfloat16) bits = philox::kUniformBitsBfloat16;
  return philox::uniform<S>(W{word}, bits).v;
}

}  // namespace

Value ElementEmitter::random(int node, const Position& at, const Mask& mask) {
  const runtime::BodyNode& n = this->node(node);
  const auto& kind = n.attrs.get<std::string>("kind");
  const Index index = shapes_.rank(node) == 0 ? indexing_.constant(0) : row_major(node, at);
  Value seed = value(n.operands[0], {{indexing_.constant(0)}}, mask);
  Value base = value(n.operands[0], {{indexing_.constant(1)}}, mask);
  Value stream = b_.add(base, b_.integer(n.attrs.get<std::int64_t>("stream")));
  const PhiloxWords words = index.contiguous() && index.by_fours && b_.lanes() >= 8
                                ? words_of_blocks(b_, seed, stream, index.base)
                                : words_by_lane(b_, seed, stream, index.uniform() ? index.base : indexing_.vector(index));
  Value word = b_.select(words.is_odd, words.odd, words.even);
  if (kind == "bits") return word;
  if (n.dtype == DType::float64) return distribute<double>(b_, kind, n.dtype, word, words);
  return round_half(distribute<float>(b_, kind, n.dtype, word, words), n.dtype);
}

}  // namespace kiln::codegen
