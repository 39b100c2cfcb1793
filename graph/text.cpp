// The graph in the assembly of the kiln dialect, and in Graphviz's language.
#include <bit>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "base/require.h"
#include "graph/graph.h"

namespace kiln::graph {

namespace {

constexpr std::string_view kElementTypes[] = {"i1", "ui8", "i8", "i32", "i64", "f16", "bf16", "f32", "f64"};
constexpr std::string_view kParameterKinds[] = {"argument", "variable", "capture", "random"};

std::string_view element_type(DType t) { return kElementTypes[static_cast<int>(t)]; }

/// A string literal of MLIR's: quotes, backslashes and unprintable characters as two hexadecimal digits.
std::string quote(std::string_view s) {
  std::string out = "\"";
  for (char c : s) {
    bool plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
    out += plain ? std::string(1, c) : fmt::format("\\{:02X}", static_cast<unsigned char>(c));
  }
  out += '"';
  return out;
}

std::string symbol_name(std::string_view name) {
  bool plain = !name.empty() && (std::isalpha(static_cast<unsigned char>(name[0])) != 0 || name[0] == '_');
  for (char c : name) plain = plain && (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '.');
  return fmt::format("@{}", plain ? std::string(name) : quote(name));
}

std::string tensor_type(const TensorType& t) {
  std::string dims, encoding;
  for (int i = 0; i < t.shape.rank(); ++i) {
    dims += (t.shape[i].is_constant() ? t.shape[i].str() : "?") + "x";
    encoding += (i > 0 ? ", " : "") + t.shape[i].str();
  }
  std::string text = fmt::format("tensor<{}{}", dims, element_type(t.dtype));
  return t.shape.is_static() ? fmt::format("{}>", text) : fmt::format("{}, {}>", text, quote(encoding));
}

std::string hex(const std::byte* data, std::size_t bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes; ++i) out += fmt::format("{:02X}", static_cast<unsigned>(data[i]));
  return out;
}

/// Decimal that reads back exactly; the bits in hexadecimal for infinities and NaN.
template <class T>
std::string float_text(T x, std::uint64_t bits) {
  if (!std::isfinite(x)) return fmt::format("0x{:0{}X}", bits, 2 * sizeof(T));
  std::string text = fmt::format("{}", x);
  std::size_t exponent = text.find('e');
  std::string mantissa = text.substr(0, exponent);
  if (mantissa.find('.') == std::string::npos) mantissa += ".0";
  return mantissa + (exponent == std::string::npos ? "" : text.substr(exponent));
}

std::string element(DType dtype, const std::byte* data) {
  return visit_dtype(dtype, [&]<class T>(std::type_identity<T>) -> std::string {
    T x;
    std::memcpy(&x, data, sizeof(T));
    if constexpr (std::same_as<T, bool>) {
      return x ? "true" : "false";
    } else if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>) {
      float wide = to_float(x);
      return std::isfinite(wide) ? float_text(wide, 0) : fmt::format("0x{:04X}", x.bits);
    } else if constexpr (std::same_as<T, float>) {
      return float_text(x, std::bit_cast<std::uint32_t>(x));
    } else if constexpr (std::same_as<T, double>) {
      return float_text(x, std::bit_cast<std::uint64_t>(x));
    } else {
      return fmt::format("{}", static_cast<std::int64_t>(x));
    }
  });
}

/// Nested brackets: bools have no portable hexadecimal form.
std::string nested(const Literal& l, int axis, const std::byte*& data) {
  if (axis == l.type.shape.rank()) return element(l.type.dtype, data++);
  std::string out = "[";
  for (std::int64_t i = 0; i < l.type.shape[axis]; ++i) out += (i > 0 ? ", " : "") + nested(l, axis + 1, data);
  return out + "]";
}

std::string literal(const Literal& l) {
  std::string value;
  const std::byte* data = l.bytes->data();
  if (l.splat) {
    value = element(l.type.dtype, data);
  } else if (l.bytes->empty()) {
    value = "";
  } else if (l.type.dtype == DType::boolean) {
    value = nested(l, 0, data);
  } else {
    value = fmt::format("\"0x{}\"", hex(data, l.bytes->size()));
  }
  return fmt::format("dense<{}> : {}", value, tensor_type(l.type));
}

std::string ints(const Ints& values) {
  std::string out = "array<i64";
  for (std::size_t i = 0; i < values.size(); ++i) out += fmt::format("{} {}", i == 0 ? ":" : ",", values[i]);
  return out + ">";
}

/// Empty for what the result type says already.
std::string attribute(const AttrValue& value) {
  if (const auto* i = std::get_if<std::int64_t>(&value)) return fmt::format("{} : i64", *i);
  if (const auto* d = std::get_if<double>(&value)) return float_text(*d, std::bit_cast<std::uint64_t>(*d)) + " : f64";
  if (const auto* s = std::get_if<std::string>(&value)) return quote(*s);
  if (const auto* v = std::get_if<Ints>(&value)) return ints(*v);
  if (const auto* l = std::get_if<Literal>(&value)) return literal(*l);
  return "";
}

std::string attributes(const Attrs& attrs) {
  std::string out;
  for (const auto& [key, value] : attrs) {
    std::string text = attribute(value);
    if (!text.empty()) out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", key, text);
  }
  return out.empty() ? "" : fmt::format(" {{{}}}", out);
}

std::string location(const Loc& loc, bool wanted) {
  return wanted && loc.known() ? fmt::format(" loc({}:{}:0)", quote(loc.file), loc.line) : "";
}

/// " %1, %2".
std::string operand_list(const std::vector<NodeId>& ids) {
  std::string out;
  for (std::size_t i = 0; i < ids.size(); ++i) out += fmt::format("{} %{}", i > 0 ? "," : "", ids[i]);
  return out;
}

/// "tensor<f32>, tensor<2xf32>".
std::string type_list(const Graph& graph, const std::vector<NodeId>& ids) {
  std::string out;
  for (std::size_t i = 0; i < ids.size(); ++i) out += (i > 0 ? ", " : "") + tensor_type(graph.node(ids[i]).type);
  return out;
}

std::string signature(const Graph& graph, const std::vector<NodeId>& outputs, bool with_locations) {
  std::string out = fmt::format("func.func {}(", symbol_name(graph.name()));
  for (std::size_t i = 0; i < graph.parameters().size(); ++i) {
    const Parameter& p = graph.parameters()[i];
    const Node& node = graph.nodes()[i];
    std::string name = p.name.empty() ? "" : fmt::format(", kiln.name = {}", quote(p.name));
    out += fmt::format("{}%{}: {} {{kiln.kind = {}{}}}{}", i > 0 ? ", " : "", i, tensor_type(node.type),
                       quote(kParameterKinds[static_cast<int>(p.kind)]), name, location(node.loc, with_locations));
  }
  out += ")";
  std::string types = type_list(graph, outputs);
  if (outputs.size() == 1) return out + " -> " + types;
  return outputs.empty() ? out : fmt::format("{} -> ({})", out, types);
}

std::string node_text(const Graph& graph, std::size_t id, bool with_locations) {
  const Node& node = graph.nodes()[id];
  std::string name = node.op->kind == ops::OpKind::elementwise ? fmt::format("map {}", quote(node.op->name)) : std::string(node.op->name);
  return fmt::format("  %{} = kiln.{}{}{} : ({}) -> {}{}\n", id, name, operand_list(node.operands), attributes(node.attrs),
                     type_list(graph, node.operands), tensor_type(node.type), location(node.loc, with_locations));
}

std::string dot_escape(std::string_view s) {
  std::string out;
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

/// A label of two lines.
std::string label(std::string_view first, std::string_view second) {
  return fmt::format("\"{}\\n{}\"", dot_escape(first), dot_escape(second));
}

std::string dot_title(const Node& node) {
  std::string details;
  for (const auto& [key, value] : node.attrs) {
    if (const auto* s = std::get_if<std::string>(&value); s != nullptr && !s->empty()) details += fmt::format(" {}", *s);
    if (const auto* l = std::get_if<Literal>(&value); l != nullptr && l->splat)
      details += fmt::format(" {}", element(l->type.dtype, l->bytes->data()));
  }
  return std::string(node.op->name) + details;
}

}  // namespace

std::string Graph::text(bool with_locations) const {
  std::vector<NodeId> outputs = results_;
  Ints writes;
  for (const StateWrite& write : state_writes_) {
    outputs.push_back(write.value);
    writes.push_back(write.parameter);
  }
  std::string out = signature(*this, outputs, with_locations) + " {\n";
  for (std::size_t i = parameters_.size(); i < nodes_.size(); ++i) out += node_text(*this, i, with_locations);
  out += "  kiln.return" + operand_list(outputs);
  if (!writes.empty()) out += fmt::format(" {{writes = {}}}", ints(writes));
  if (!outputs.empty()) out += " : " + type_list(*this, outputs);
  return out + "\n}\n";
}

std::string Graph::dot() const {
  std::string out = fmt::format("digraph \"{}\" {{\n  node [shape=box, fontname=\"sans-serif\"];\n", dot_escape(name_));
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (node.op == nullptr) {
      const Parameter& p = parameters_[i];
      std::string title = p.name.empty() ? std::string(kParameterKinds[static_cast<int>(p.kind)]) : p.name;
      out += fmt::format("  n{} [label={}, shape=ellipse];\n", i, label(title, node.type.str()));
      continue;
    }
    out += fmt::format("  n{} [label={}];\n", i, label(dot_title(node), node.type.str()));
    for (NodeId operand : node.operands) out += fmt::format("  n{} -> n{};\n", operand, i);
  }
  for (std::size_t i = 0; i < results_.size(); ++i) {
    out += fmt::format("  r{} [label=\"result {}\", shape=ellipse, style=bold];\n  n{} -> r{};\n", i, i, results_[i], i);
  }
  for (std::size_t i = 0; i < state_writes_.size(); ++i) {
    const StateWrite& write = state_writes_[i];
    const std::string& target = parameters_[static_cast<std::size_t>(write.parameter)].name;
    out += fmt::format("  w{} [label={}, shape=ellipse, style=bold];\n  n{} -> w{};\n", i, label("write", target), write.value, i);
  }
  return out + "}\n";
}

}  // namespace kiln::graph
