// Attributes and literals as bytes. Symbolic lengths travel as text: their identity belongs to one process.
#include "runtime/serialize.h"

namespace kiln::runtime {
namespace {

void write_shape(ByteWriter& out, const Shape& shape) {
  out.put(static_cast<std::uint8_t>(shape.rank()));
  for (Dim d : shape) {
    out.put(d.is_constant());
    if (d.is_constant()) {
      out.put(d.bits());
    } else {
      out.put_text(d.str());
    }
  }
}

Dim read_dim(ByteReader& in) {
  if (!in.get<bool>()) {
    try {
      return Dim::parse(in.get_text());
    } catch (const FileError&) {
      throw;
    } catch (const Error& e) {
      in.fail(e.message());
    }
  }
  Dim d = in.get<std::int64_t>();
  if (!d.is_constant()) in.fail("a length out of range");
  return d;
}

Shape read_shape(ByteReader& in) {
  auto rank = in.get<std::uint8_t>();
  if (rank > kMaxRank) in.fail("too many axes");
  Shape shape;
  for (int axis = 0; axis < rank; ++axis) shape.push_back(read_dim(in));
  return shape;
}

struct WriteValue {
  ByteWriter& out;
  void operator()(std::int64_t v) const { out.put(v); }
  void operator()(double v) const { out.put(v); }
  void operator()(const std::string& v) const { out.put_text(v); }
  void operator()(const Ints& v) const { write_numbers(out, v); }
  void operator()(DType v) const { out.put(v); }
  void operator()(const Shape& v) const { write_shape(out, v); }
  void operator()(const Literal& v) const { write_literal(out, v); }
};

AttrValue read_value(ByteReader& in) {
  switch (in.get<std::uint8_t>()) {
    case 0:
      return in.get<std::int64_t>();
    case 1:
      return in.get<double>();
    case 2:
      return std::string(in.get_text());
    case 3:
      return read_numbers<std::int64_t>(in);
    case 4:
      return in.get_enum(DType::float64);
    case 5:
      return read_shape(in);
    case 6:
      return read_literal(in);
    default:
      in.fail("an unknown kind of attribute");
  }
}

}  // namespace

void write_literal(ByteWriter& out, const Literal& literal) {
  out.put(literal.type.dtype);
  write_shape(out, literal.type.shape);
  out.put(literal.splat);
  const std::vector<std::byte>& bytes = *literal.bytes;
  out.put_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Literal read_literal(ByteReader& in) {
  Literal literal;
  literal.type.dtype = in.get_enum(DType::float64);
  literal.type.shape = read_shape(in);
  literal.splat = in.get<bool>();
  std::string_view bytes = in.get_text();
  std::uint64_t expected = size_of(literal.type.dtype);
  if (!literal.splat) {
    for (Dim d : literal.type.shape) {
      bool bad = d.value_or(-1) < 0 || __builtin_mul_overflow(expected, static_cast<std::uint64_t>(d.value_or(0)), &expected);
      if (bad) in.fail("a constant of impossible shape");
    }
  }
  if (bytes.size() != expected) in.fail("a constant of the wrong size");
  auto* data = reinterpret_cast<const std::byte*>(bytes.data());
  literal.bytes = std::make_shared<const std::vector<std::byte>>(data, data + bytes.size());
  return literal;
}

void write_attrs(ByteWriter& out, const Attrs& attrs) {
  out.put(static_cast<std::uint32_t>(attrs.end() - attrs.begin()));
  for (const auto& [name, value] : attrs) {
    out.put_text(name);
    out.put(static_cast<std::uint8_t>(value.index()));
    std::visit(WriteValue{out}, value);
  }
}

Attrs read_attrs(ByteReader& in) {
  Attrs attrs;
  auto count = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string name(in.get_text());
    attrs.set(name.c_str(), read_value(in));
  }
  return attrs;
}

}  // namespace kiln::runtime
