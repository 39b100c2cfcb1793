// Binding of arguments and results while a body is traced.
#include "frontend/tracer.h"

#include <kiln/mode.h>

#include <cctype>

#include "frontend/access.h"
#include "graph/tape.h"

namespace kiln::detail {

namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// The last word of "const std::map<int, Tensor>& batch", or nothing.
std::string last_word(std::string_view declaration) {
  std::size_t end = declaration.size();
  while (end > 0 && !is_word(declaration[end - 1])) --end;
  std::size_t begin = end;
  while (begin > 0 && is_word(declaration[begin - 1])) --begin;
  return std::string(declaration.substr(begin, end - begin));
}

std::vector<std::string_view> split_parameters(std::string_view text) {
  if (!text.empty() && text.front() == '(') text = text.substr(1, text.rfind(')') - 1);
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    char c = i < text.size() ? text[i] : ',';
    if (c == '<' || c == '(' || c == '[' || c == '{') ++depth;
    if (c == '>' || c == ')' || c == ']' || c == '}') --depth;
    if (c != ',' || (depth != 0 && i < text.size())) continue;
    if (i > begin) parts.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return parts;
}

class Describer final : public Visitor {
 public:
  void begin(const std::string& name, bool of_owner) {
    path_.reset(name);
    of_owner_ = of_owner;
  }
  using Visitor::enter;
  void enter(std::string_view name) override { path_.enter(name); }
  void leave() override { path_.leave(); }
  void count(std::size_t n) override { add(Field::Kind::size, fmt::format("{} elements", n)); }
  void tensor(Tensor& t) override {
    const graph::ValueImpl* body = Access::impl(t);
    add(Field::Kind::tensor, body == nullptr ? "undefined" : body->type.str());
    if (body != nullptr) fields.back().type = body->type;
  }
  void variable(Variable& v) override {
    add(Field::Kind::variable, v.defined() ? fmt::format("variable {}", v.id()) : "undefined variable");
  }
  void identity(Identity& i) override { add(Field::Kind::identity, fmt::format("object {}", i.id())); }
  void word(std::uint64_t, const std::string& as_text) override { add(Field::Kind::plain, as_text); }
  void text(std::string_view text) override { add(Field::Kind::plain, fmt::format("\"{}\"", text)); }
  void add(Field::Kind kind, std::string text) { fields.push_back({path_.text(), std::move(text), kind, of_owner_, {}}); }

  std::vector<Field> fields;

 private:
  Path path_;
  bool of_owner_ = false;
};

}  // namespace

std::vector<std::string> parameter_names(const char* parameters, std::size_t count, bool first_is_owner) {
  std::vector<std::string> names;
  if (first_is_owner) names.push_back("this");
  for (std::string_view part : split_parameters(parameters)) names.push_back(last_word(part));
  names.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (names[i].empty()) names[i] = fmt::format("arg{}", i - (first_is_owner ? 1 : 0));
  }
  return names;
}

std::vector<Field> describe(Call& call, const std::vector<std::string>& names, bool first_is_owner) {
  Describer describer;
  describer.fields.push_back({"training", is_training() ? "true" : "false", Field::Kind::ambient, false, {}});
  for (std::size_t i = 0; i < call.num_arguments(); ++i) {
    describer.begin(names[i], first_is_owner && i == 0);
    call.walk_argument(i, describer);
  }
  return std::move(describer.fields);
}

void BodyTracer::bind(Tensor& t) {
  if (!t.defined()) return;
  graph::Value original = Access::value(t);
  TensorType type = original.type();
  if (bound_.size() < specs_.size()) type = {specs_[bound_.size()].dtype, specs_[bound_.size()].shape};
  graph::Value symbolic = trace_.add_argument(path_.text(), type, where_);
  bound_.push_back({&t, original, symbolic, path_.text()});
  Access::replace(t, symbolic);
}

void BodyTracer::tensor(Tensor& t) {
  if (!in_results_) {
    bind(t);
    return;
  }
  if (!t.defined()) {
    result_leaves_.push_back(-1);
    return;
  }
  result_leaves_.push_back(static_cast<int>(results_.size()));
  results_.push_back(graph::strong(Access::value(t)));
}

void BodyTracer::begin_results() {
  in_results_ = true;
  path_.reset("result");
}

void BodyTracer::restore() noexcept {
  for (Bound& b : bound_) {
    if (Access::impl(*b.object) != b.symbolic.get()) assigned_.push_back(b.path);
    destroying_outer(*b.object);  // the log of assignments knows the symbolic tensor as its old value
    Access::replace(*b.object, std::move(b.original));
  }
  bound_.clear();
}

}  // namespace kiln::detail
