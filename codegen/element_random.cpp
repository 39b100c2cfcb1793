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

template <class T>
Value distribute(Builder& b, const std::string& kind, DType dtype, Value word, Value even, Value odd, Value is_odd) {
  using S = Emitted<T>;
  using W = Emitted<std::int32_t>;
  const BuilderScope scope(b);
  if (kind == "normal") return philox::normal<S>(W{even}, W{odd}, EmittedMask{is_odd}).v;
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
  Value element = index.uniform() ? index.base : indexing_.vector(index);
  Value block_index = b_.binary<arith::ShRUIOp>(element, b_.integer(2));
  const std::array<Value, 4> words = PhiloxLanes(b_).block(seed, stream, block_index);
  const auto as_int = [&](Value w) { return b_.integer_cast(w, b_.i32(), false); };
  const auto bit = [&](int n) { return b_.compare(arith::CmpIPredicate::ne, b_.bit_and(element, b_.integer(n)), b_.integer(0)); };
  Value is_odd = bit(1);
  Value upper = bit(2);
  Value even = as_int(b_.select(upper, words[2], words[0]));
  Value odd = as_int(b_.select(upper, words[3], words[1]));
  Value word = b_.select(is_odd, odd, even);
  if (kind == "bits") return word;
  if (n.dtype == DType::float64) return distribute<double>(b_, kind, n.dtype, word, even, odd, is_odd);
  return round_half(distribute<float>(b_, kind, n.dtype, word, even, odd, is_odd), n.dtype);
}

}  // namespace kiln::codegen
