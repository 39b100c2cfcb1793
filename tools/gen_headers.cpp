// Writes the headers that declare one function for each elementwise op, from the op structs:
//   kiln/math.h        public declarations with documentation
//   frontend/math.inc  their definitions
//   graph/value_ops.h  the same functions and operators on graph::Value, which gradients and composites use
//   tests/doc_examples.inc  the examples of structural and composite ops, as cases of a test
// usage: kiln_gen_headers DIRECTORY | --docs FILE
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "ops/all_elementwise.h"
#include "ops/composite.h"
#include "ops/structural.h"

namespace kiln::ops {

namespace {

/// What the headers need to know about an op.
struct Entry {
  std::string name;
  std::string symbol;
  std::string doc;
  int arity = 0;
  TypeRule types = TypeRule::any;
  std::vector<Example> examples;
  bool differentiable = false;
};

std::vector<Entry> entries() {
  std::vector<Entry> all;
  for_each_op(AllElementwise{}, [&]<class Op>(std::type_identity<Op>) {
    Entry e{std::string(Op::name), std::string(symbol_of<Op>()), std::string(Op::doc), arity_of<Op>(), Op::types, {}, Differentiable<Op>};
    e.examples.assign(std::begin(Op::examples), std::end(Op::examples));
    all.push_back(e);
  });
  return all;
}

std::vector<std::string> parameters(const Entry& e) {
  if (e.types == TypeRule::select) return {"condition", "a", "b"};
  if (e.arity == 1) return {"x"};
  if (e.arity == 2) return {"a", "b"};
  return {"a", "b", "c"};
}

/// "const Arg& a, const Arg& b" for the type "Arg".
std::string signature(const Entry& e, const std::string& type) {
  std::string text;
  for (const std::string& p : parameters(e)) text += fmt::format("{}const {}& {}", text.empty() ? "" : ", ", type, p);
  return text;
}

/// "&a, &b" for the prefix "&".
std::string names(const Entry& e, const std::string& prefix) {
  std::string text;
  for (const std::string& p : parameters(e)) text += (text.empty() ? "" : ", ") + prefix + p;
  return text;
}

std::string number(double v) {
  return v == static_cast<int>(v) && v < 1e9 && v > -1e9 ? fmt::format("{:.0f}", v) : fmt::format("{:.6g}", v);
}

/// "exp(1) = 2.71828".
std::string example(const Entry& e, const Example& x) {
  std::string arguments;
  for (int i = 0; i < e.arity; ++i) arguments += (i > 0 ? ", " : "") + number(x.in[static_cast<std::size_t>(i)]);
  return fmt::format("{}({}) = {}", e.name, arguments, number(x.out));
}

std::string example_line(const Entry& e) {
  std::string text;
  for (const Example& x : e.examples) text += (text.empty() ? "" : ", ") + example(e, x);
  return text;
}

std::string_view takes(TypeRule rule) {
  switch (rule) {
    case TypeRule::numeric:
      return "numbers of one dtype";
    case TypeRule::floating:
      return "floating-point numbers of one dtype";
    case TypeRule::integral:
      return "integers of one dtype";
    case TypeRule::boolean:
      return "bools";
    case TypeRule::bitwise:
      return "integers or bools of one dtype";
    case TypeRule::compare:
      return "any one dtype; gives bool";
    case TypeRule::predicate:
      return "floating-point numbers; gives bool";
    case TypeRule::select:
      return "a bool condition, and two values of one dtype";
    case TypeRule::any:
      break;
  }
  return "any one dtype";
}

std::string doc_comment(const Entry& e) {
  std::string text = fmt::format("/// {}\n", e.doc);
  text += fmt::format("/// Takes {}{}.\n", takes(e.types), e.arity > 1 ? ", shapes that broadcast" : "");
  text += fmt::format("/// {}.\n", example_line(e));
  return text;
}

std::string public_header(const std::vector<Entry>& all) {
  std::string text =
      "// Generated from ops/elementwise/. Elementwise functions of tensors.\n#pragma once\n#include <kiln/tensor.h>\n\nnamespace kiln {\n";
  for (const Entry& e : all) {
    if (!e.symbol.empty()) continue;
    text += fmt::format("\n{}Tensor {}({});\n", doc_comment(e), e.name, signature(e, "Arg"));
  }
  return text + "\n}  // namespace kiln\n";
}

std::string public_definitions(const std::vector<Entry>& all) {
  std::string text = "// Generated from ops/elementwise/. Definitions of <kiln/math.h>, included inside namespace kiln.\n";
  for (const Entry& e : all) {
    if (!e.symbol.empty()) continue;
    text += fmt::format(
        "\nTensor {}({}) {{\n  static const ops::OpDef& op = ops::op(\"{}\");\n  return detail::apply_elementwise(op, {{{}}});\n}}\n",
        e.name, signature(e, "Arg"), e.name, names(e, "&"));
  }
  return text;
}

std::string value_function(const Entry& e, const std::string& function) {
  return fmt::format(
      "inline Value {}({}) {{\n  static const ops::OpDef& op = ops::op(\"{}\");\n  const Value operands[] = {{{}}};\n  return apply(op, "
      "operands);\n}}\n",
      function, signature(e, "Value"), e.name, names(e, ""));
}

std::string value_header(const std::vector<Entry>& all) {
  std::string text =
      "// Generated from ops/elementwise/. Elementwise ops on graph::Value, for gradients and composites.\n"
      "// == and != compare the identity of Values; elementwise they are equal() and not_equal().\n"
      "#pragma once\n#include \"graph/value.h\"\n\nnamespace kiln::graph {\n";
  for (const Entry& e : all) {
    text += "\n/// " + e.doc + "\n" + value_function(e, e.name);
    if (!e.symbol.empty() && e.symbol != "==" && e.symbol != "!=") text += value_function(e, "operator" + e.symbol);
  }
  return text + "\n}  // namespace kiln::graph\n";
}

/// Text for a cell of a Markdown table; code keeps its line breaks as <br>.
std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) out += c == '|' ? "\\|" : c == '\n' ? "<br>" : std::string(1, c);
  return out;
}

std::string code(std::string_view text) {
  std::string out;
  for (std::size_t begin = 0; begin <= text.size() && !text.empty();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += (out.empty() ? "`" : "<br>`") + cell(text.substr(begin, end - begin)) + "`";
    begin = end + 1;
  }
  return out;
}

/// A structural or composite op.
struct NotedEntry {
  std::string name, doc;
  int arity = 0;
  bool differentiable = false;
  Notes notes;
};

std::vector<NotedEntry> structural_entries() {
  std::vector<NotedEntry> all;
  for_each_op(StructuralOps{}, [&]<class Op>(std::type_identity<Op>) {
    all.push_back({std::string(Op::name), std::string(Op::doc), Op::arity, HasGradient<Op>, Op::notes});
  });
  return all;
}

std::string noted_row(const NotedEntry& e, const char* gradient) {
  const std::string example = e.notes.example.empty() ? "" : code(e.notes.example) + "<br>" + code(e.notes.result);
  return fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", e.name, cell(e.notes.takes), cell(e.notes.attributes), gradient, cell(e.doc),
                     example);
}

std::string documentation(const std::vector<Entry>& all) {
  std::string text =
      "# Ops\n\nGenerated by `./dev docs` from the structs of `ops/`; do not edit. `./dev lint` and a test fail when it is stale. The "
      "examples are run as "
      "tests.\n\n";
  text +=
      "Public functions are in `<kiln/math.h>` (one for each elementwise op) and `<kiln/ops.h>`; every stage of the IR speaks of "
      "elementwise and "
      "structural ops only.\n";
  text += "\n## Elementwise\nOne number in, one number out at the same index; operands broadcast. In the IR: `kiln.map \"NAME\"`.\n\n";
  text += "| op | operator | takes | gradient | meaning | examples |\n|---|---|---|---|---|---|\n";
  for (const Entry& e : all) {
    text += fmt::format("| `{}({})` | {} | {} | {} | {} | {} |\n", e.name, names(e, ""), code(e.symbol), takes(e.types),
                        e.differentiable ? "yes" : "", cell(e.doc), example_line(e));
  }
  text += "\n## Structural\nEverything else that the IR knows: `kiln.NAME`, with these attributes.\n\n";
  text += "| op | takes | attributes | gradient | meaning | example |\n|---|---|---|---|---|---|\n";
  for (const NotedEntry& e : structural_entries()) text += noted_row(e, e.differentiable ? "yes" : "");
  text +=
      "\n## Composite\nFunctions over the ops above: they leave no op of their own in the IR, and their gradient is that of their "
      "parts.\n\n";
  text += "| function | takes | options | gradient | meaning | example |\n|---|---|---|---|---|---|\n";
  for (const CompositeInfo& c : composites()) {
    text += noted_row({std::string(c.name), std::string(c.doc), 0, true, c.notes}, c.notes.gradient ? "yes" : "");
  }
  return text;
}

std::string literal(std::string_view text) {
  std::string out = "\"";
  for (char c : text) out += c == '\n' ? std::string("\\n") : c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return out + "\"";
}

/// {expression as text, its value, what it prints} for each example.
std::string example_cases() {
  std::string text = "// Generated from ops/: the examples of docs/ops.md.\n";
  auto add = [&](const Notes& n) {
    if (!n.example.empty()) text += fmt::format("{{{}, ({}).str(), {}}},\n", literal(n.example), n.example, literal(n.result));
  };
  for (const NotedEntry& e : structural_entries()) add(e.notes);
  for (const CompositeInfo& c : composites()) add(c.notes);
  return text;
}

/// Leaves an unchanged file alone, so that nothing is rebuilt for it.
void write_if_changed(const std::filesystem::path& path, const std::string& text) {
  std::ifstream in(path, std::ios::binary);
  if (in && std::string(std::istreambuf_iterator<char>(in), {}) == text) return;
  in.close();
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() == 2 && arguments[0] == "--docs") {
    write_if_changed(arguments[1], documentation(entries()));
    return 0;
  }
  if (arguments.size() != 1) {
    std::cerr << "usage: kiln_gen_headers DIRECTORY | --docs FILE\n";
    return 2;
  }
  std::filesystem::path out = arguments[0];
  write_if_changed(out / "kiln/math.h", public_header(entries()));
  write_if_changed(out / "frontend/math.inc", public_definitions(entries()));
  write_if_changed(out / "graph/value_ops.h", value_header(entries()));
  write_if_changed(out / "tests/doc_examples.inc", example_cases());
  return 0;
}

}  // namespace

}  // namespace kiln::ops

int main(int argc, char** argv) { return kiln::ops::run({argv + 1, argv + argc}); }
