// What every model does: names its layers, lists its variables, prints a summary.
#include <fmt/format.h>
#include <kiln/nn.h>

#include <algorithm>

#include "base/require.h"

namespace kiln::nn::detail {

ModelVisitor::ModelVisitor(std::function<void(const std::string&, Layer&)> on_layer,
                           std::function<void(const std::string&, Variable&)> on_variable)
    : on_layer_(std::move(on_layer)), on_variable_(std::move(on_variable)) {}

void ModelVisitor::enter(std::string_view name) { names_.emplace_back(name); }
void ModelVisitor::leave() { names_.pop_back(); }
std::string ModelVisitor::path() const { return fmt::format("{}", fmt::join(names_, "/")); }

void ModelVisitor::identity(kiln::detail::Identity& object) {
  if (auto* layer = dynamic_cast<Layer*>(&object)) on_layer_(path(), *layer);
}

void ModelVisitor::variable(Variable& variable) { on_variable_(path(), variable); }

namespace {

/// A variable that an inner model named by its own path gets the outer model's longer one.
void name_variable(const std::string& path, Variable& v) {
  if (v.defined() && (v.name().empty() || path.ends_with("/" + v.name()))) v.set_name(path);
}

[[noreturn]] void fail_not_built(const std::string& path, const char* kind) {
  throw StateError(
      fmt::format(
          "{} '{}' has no weights yet: they are made at the model's first call. Call the model once before asking for its variables", kind,
          path),
      user_location());
}

}  // namespace

ModelVisitor layer_namer() {
  return ModelVisitor([](const std::string& path, Layer& layer) { layer.set_path(path); }, name_variable);
}

Variables collect_variables(const std::function<void(kiln::detail::Visitor&)>& walk, bool trainable_only) {
  Variables out;
  auto add = [&](Variable& v) {
    const bool known = std::any_of(out.begin(), out.end(), [&](const VariableRef& other) { return other->id() == v.id(); });
    if ((v.trainable() || !trainable_only) && !known) out.push_back(v);
  };
  ModelVisitor visitor(
      [&](const std::string& path, Layer& layer) {
        if (!layer.built()) fail_not_built(path, layer.kind());
        for (const Variable& v : layer.weights()) add(const_cast<Variable&>(v));
      },
      [&](const std::string& path, Variable& v) {
        if (!v.defined()) fail_not_built(path, "Variable");
        name_variable(path, v);
        add(v);
      });
  walk(visitor);
  return out;
}

std::string summarize(const std::function<void(kiln::detail::Visitor&)>& walk) {
  std::string rows;
  std::int64_t total = 0;
  auto row = [&](const std::string& path, const char* kind, const std::string& output, std::int64_t parameters) {
    rows += fmt::format("{:<32}{:<28}{:>12}\n", fmt::format("{} ({})", path, kind), output,
                        parameters < 0 ? "not built" : fmt::format("{}", parameters));
    total += std::max<std::int64_t>(parameters, 0);
  };
  ModelVisitor visitor(
      [&](const std::string& path, Layer& layer) {
        std::int64_t parameters = layer.built() ? 0 : -1;
        if (layer.built()) {
          for (const Variable& v : layer.weights()) parameters += v.shape().count();
        }
        row(path, layer.kind(), layer.output_shape().empty() ? "?" : layer.output_shape().str(), parameters);
      },
      [&](const std::string& path, Variable& v) {
        row(path, "Variable", v.defined() ? v.shape().str() : "?", v.defined() ? v.shape().count() : -1);
      });
  walk(visitor);
  const std::string line(72, '-');
  return fmt::format("{:<32}{:<28}{:>12}\n{}\n{}{}\nparameters: {} ({:.2f} MB)\n", "layer", "output", "parameters", line, rows, line, total,
                     static_cast<double>(total) * 4 / 1e6);
}

}  // namespace kiln::nn::detail
