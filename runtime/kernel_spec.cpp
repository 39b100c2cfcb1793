// KernelSpec as canonical bytes, as a key, and as text.
#include "runtime/kernel_spec.h"

#include "base/hash.h"
#include "base/kernel_abi.h"
#include "runtime/serialize.h"

namespace kiln::runtime {
namespace {

constexpr std::uint32_t kVersion = 1;

void write_node(ByteWriter& out, const BodyNode& node) {
  out.put_text(node.op);
  out.put(node.dtype);
  write_numbers(out, node.shape);
  write_numbers(out, node.operands);
  write_attrs(out, node.attrs);
  out.put(node.ordinal);
}

BodyNode read_node(ByteReader& in) {
  BodyNode node;
  node.op = in.get_text();
  node.dtype = in.get_enum(DType::float64);
  node.shape = read_numbers<std::int32_t>(in);
  node.operands = read_numbers<std::int32_t>(in);
  node.attrs = read_attrs(in);
  node.ordinal = in.get<std::int32_t>();
  return node;
}

bool within(std::int64_t index, std::int64_t size) { return index >= 0 && index < size; }

/// Every index of a spec that came from outside, against what it indexes.
void check(const KernelSpec& spec, const ByteReader& in) {
  auto nodes = static_cast<std::int64_t>(spec.body.size());
  auto outputs = static_cast<std::int64_t>(spec.outputs.size());
  if (spec.num_inputs < 0 || spec.num_inputs > nodes || spec.num_dims < 0) in.fail("a count out of range");
  for (std::int64_t i = 0; i < nodes; ++i) {
    const BodyNode& node = spec.body[static_cast<std::size_t>(i)];
    if (node.op.empty() != (i < spec.num_inputs)) in.fail("an input out of place");
    if (node.shape.size() > static_cast<std::size_t>(kMaxRank)) in.fail("too many axes");
    for (std::int32_t d : node.shape) {
      if (!within(d, spec.num_dims)) in.fail("a length out of range");
    }
    for (std::int32_t operand : node.operands) {
      if (!within(operand, i)) in.fail("an operand out of range");
    }
  }
  for (std::int32_t output : spec.outputs) {
    if (!within(output, nodes)) in.fail("an output out of range");
  }
  bool rooted = spec.kind == KernelKind::reduce || spec.kind == KernelKind::row || spec.kind == KernelKind::scatter;
  if (rooted ? !within(spec.root, nodes) : spec.root != -1) in.fail("a root out of range");
  for (auto [dim, value] : spec.constant_dims) {
    if (!within(dim, spec.num_dims) || value < 0) in.fail("a constant length out of range");
  }
  for (auto [output, input] : spec.aliases) {
    if (!within(output, outputs) || !within(input, spec.num_inputs)) in.fail("an alias out of range");
  }
}

template <class A, class B>
void write_pairs(ByteWriter& out, const std::vector<std::pair<A, B>>& pairs) {
  write_list(out, pairs, [](ByteWriter& o, const std::pair<A, B>& p) {
    o.put(p.first);
    o.put(p.second);
  });
}

template <class A, class B>
std::vector<std::pair<A, B>> read_pairs(ByteReader& in) {
  return read_list<std::pair<A, B>>(in, [](ByteReader& i) {
    A first = i.get<A>();
    B second = i.get<B>();
    return std::pair<A, B>(first, second);
  });
}

struct ValueText {
  std::string operator()(std::int64_t v) const { return std::to_string(v); }
  std::string operator()(double v) const { return fmt::format("{}", v); }
  std::string operator()(const std::string& v) const { return "\"" + v + "\""; }
  std::string operator()(const Ints& v) const { return fmt::format("[{}]", fmt::join(v, ", ")); }
  std::string operator()(DType v) const { return std::string(name(v)); }
  std::string operator()(const Shape& v) const { return v.str(); }
  std::string operator()(const Literal& v) const { return literal(v); }

  static std::string literal(const Literal& v) {
    constexpr std::size_t kShown = 8;
    if (v.bytes->size() != size_of(v.type.dtype)) return fmt::format("<{} bytes of {}>", v.bytes->size(), v.type.str());
    std::uint64_t bits = 0;
    std::memcpy(&bits, v.bytes->data(), std::min(kShown, v.bytes->size()));
    if (v.type.dtype == DType::float32) return fmt::format("{}", std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    if (v.type.dtype == DType::float64) return fmt::format("{}", std::bit_cast<double>(bits));
    return fmt::format("0x{:x}", bits);
  }
};

std::string node_text(std::size_t index, const BodyNode& node) {
  std::vector<std::string> lengths;
  for (std::int32_t d : node.shape) lengths.push_back("d" + std::to_string(d));
  std::string type = fmt::format("{}[{}]", name(node.dtype), fmt::join(lengths, ", "));
  if (node.op.empty()) return fmt::format("  %{} = input : {}\n", index, type);
  std::vector<std::string> operands;
  for (std::int32_t o : node.operands) operands.push_back("%" + std::to_string(o));
  std::vector<std::string> attrs;
  for (const auto& [attr_name, value] : node.attrs) attrs.push_back(fmt::format("{} = {}", attr_name, std::visit(ValueText(), value)));
  std::string dictionary = attrs.empty() ? "" : fmt::format(" {{{}}}", fmt::join(attrs, ", "));
  return fmt::format("  %{} = {} {}{} : {}\n", index, node.op, fmt::join(operands, ", "), dictionary, type);
}

}  // namespace

std::string KernelSpec::serialize() const {
  ByteWriter out;
  out.put(kVersion);
  out.put(kind);
  out.put(numerics);
  write_list(out, body, write_node);
  out.put(num_inputs);
  write_numbers(out, outputs);
  out.put(root);
  out.put(num_dims);
  write_pairs(out, constant_dims);
  write_pairs(out, aliases);
  out.put(dtype);
  out.put(mr);
  out.put(nr);
  return out.take();
}

KernelSpec KernelSpec::deserialize(std::string_view bytes) {
  ByteReader in(bytes, "a cached kernel");
  if (in.get<std::uint32_t>() != kVersion) in.fail("another version");
  KernelSpec spec;
  spec.kind = in.get_enum(KernelKind::micro_kernel);
  spec.numerics = in.get_enum(Numerics::fast);
  spec.body = read_list<BodyNode>(in, read_node);
  spec.num_inputs = in.get<std::int32_t>();
  spec.outputs = read_numbers<std::int32_t>(in);
  spec.root = in.get<std::int32_t>();
  spec.num_dims = in.get<std::int32_t>();
  spec.constant_dims = read_pairs<std::int32_t, std::int64_t>(in);
  spec.aliases = read_pairs<std::int32_t, std::int32_t>(in);
  spec.dtype = in.get_enum(DType::float64);
  spec.mr = in.get<std::int32_t>();
  spec.nr = in.get<std::int32_t>();
  in.expect_end();
  check(spec, in);
  return spec;
}

std::string KernelSpec::key() const { return hash128(serialize(), kKernelAbiVersion).hex(); }

std::string KernelSpec::text() const {
  constexpr std::string_view kinds[] = {"loop", "tile", "reduce", "row", "scatter", "micro_kernel"};
  constexpr std::string_view modes[] = {"strict", "standard", "fast"};
  std::string heading = fmt::format("kernel {} {} {}", key(), kinds[static_cast<int>(kind)], modes[static_cast<int>(numerics)]);
  if (kind == KernelKind::micro_kernel) return fmt::format("{} {} {}x{}\n", heading, name(dtype), mr, nr);
  for (auto [dim, value] : constant_dims) heading += fmt::format(" d{}={}", dim, value);
  for (auto [output, input] : aliases) heading += fmt::format(" output{}~input{}", output, input);
  std::string result = heading + "\n";
  for (std::size_t i = 0; i < body.size(); ++i) result += node_text(i, body[i]);
  std::vector<std::string> written;
  for (std::int32_t o : outputs) written.push_back("%" + std::to_string(o));
  return result + fmt::format("  write {}\n", fmt::join(written, ", "));
}

}  // namespace kiln::runtime
