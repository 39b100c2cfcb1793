// What a traced body is given and gives back; and the fields of a signature as people read them. Internal to frontend/.
#pragma once
#include <kiln/detail/call.h>

#include <string>
#include <vector>

#include "graph/trace.h"

namespace kiln::detail {

/// One entry of a signature: where it is, what it is, and its value.
struct Field {
  enum class Kind : std::uint8_t { ambient, tensor, variable, identity, size, plain };
  std::string path;  ///< "x", "net/fc1", "batch/0"
  std::string text;  ///< "float32[32, 784]", "variable 7", "0.5"
  Kind kind = Kind::plain;
  bool of_owner = false;  ///< belongs to the object whose method is called
  TensorType type = {};   ///< of a defined tensor
};

/// The names of the parameters in "(Net& net, Tensor x)"; "arg0", "arg1" where they have none.
std::vector<std::string> parameter_names(const char* parameters, std::size_t count, bool first_is_owner);

/// A place in a nest, as "net/blocks/0".
class Path {
 public:
  void reset(const std::string& root) { text_ = root; }
  void enter(std::string_view name) { text_.append("/").append(name); }
  void leave() { text_.erase(text_.rfind('/')); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// All fields of a call, the ambient ones first.
std::vector<Field> describe(Call& call, const std::vector<std::string>& names, bool first_is_owner);

/// Symbolic tensors in, results out.
class BodyTracer final : public Tracer {
 public:
  /// `specs`, if any, gives the types of the tensors in order.
  BodyTracer(graph::Trace& trace, std::vector<std::string> names, std::span<const Spec> specs, Loc where)
      : trace_(trace), names_(std::move(names)), specs_(specs), where_(where) {}

  void begin_arguments() override {}
  void begin_argument(std::size_t index) override { path_.reset(names_[index]); }
  void begin_results() override;
  void restore() noexcept override;
  using Visitor::enter;
  void enter(std::string_view name) override { path_.enter(name); }
  void leave() override { path_.leave(); }
  void tensor(Tensor& t) override;

  const std::vector<graph::Value>& results() const { return results_; }
  /// For each tensor of the result: its index among results(), or -1 if undefined.
  const std::vector<int>& result_leaves() const { return result_leaves_; }
  /// Arguments' tensors that the body assigned, which only returned values and Variables may be.
  const std::vector<std::string>& assigned() const { return assigned_; }

 private:
  struct Bound {
    Tensor* object;
    graph::Value original;
    graph::Value symbolic;
    std::string path;
  };
  void bind(Tensor& t);

  graph::Trace& trace_;
  std::vector<std::string> names_;
  std::span<const Spec> specs_;
  Loc where_;
  Path path_;
  std::vector<Bound> bound_;
  std::vector<graph::Value> results_;
  std::vector<int> result_leaves_;
  std::vector<std::string> assigned_;
  bool in_results_ = false;
};

}  // namespace kiln::detail
