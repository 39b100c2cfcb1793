// Compiled legs: graphs through the compiler's door, executed; and captured again by kiln::function.
#include <kiln/function.h>
#include <kiln/tensor.h>

#include <cstring>
#include <map>

#include "base/require.h"
#include "frontend/access.h"
#include "graph/interpret.h"
#include "graph/variable.h"
#include "runtime/compile.h"
#include "runtime/executable.h"
#include "runtime/kernel_cache.h"
#include "tests/fuzz/lib/legs.h"
#include "tests/guarded_memory.h"

namespace kiln::testing {

namespace {

using graph::Graph;
using graph::Value;
using runtime::Argument;
using runtime::Buffer;

std::size_t bytes_of(const Value& v) { return static_cast<std::size_t>(v.shape().count()) * size_of(v.dtype()); }

void copy_bytes(void* to, const Value& from) {
  if (std::size_t bytes = bytes_of(from); bytes > 0) std::memcpy(to, from.buffer().data(), bytes);
}

/// A copy that ends where the page does: aligned like its elements, and nothing behind it can be read.
Buffer guarded_copy(const Value& v) {
  auto memory = std::make_shared<GuardedMemory>(bytes_of(v), true);
  copy_bytes(memory->data(), v);
  return Buffer::foreign(memory->data(), memory->bytes(), [memory] {});
}

Buffer owned_copy(const Value& v) {
  Buffer buffer = Buffer::allocate(bytes_of(v));
  copy_bytes(buffer.data(), v);
  return buffer;
}

/// One compiled graph.
class Compiled {
 public:
  Compiled(const Graph& graph, Numerics numerics) {
    runtime::CompileRequest request;
    request.graph = &graph;
    request.target = current_target();
    request.numerics = numerics;
    request.has_kernel = runtime::has_kernel;
    runtime::CompileResult result = runtime::compile(request);
    executable_ = std::make_unique<runtime::Executable>(std::move(result.plan), std::span<const runtime::KernelObject>(result.objects));
    written_.resize(graph.parameters().size());
    for (const graph::StateWrite& write : graph.state_writes()) written_[static_cast<std::size_t>(write.parameter)] = true;
  }

  std::vector<Value> run(std::span<const Value> inputs) const {
    std::vector<Argument> arguments(inputs.size());
    std::vector<Buffer> read;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      read.push_back(written_[i] ? Buffer() : guarded_copy(inputs[i]));
      arguments[i] = {written_[i] ? owned_copy(inputs[i]) : read[i], inputs[i].shape()};
    }
    std::vector<Argument> outputs = executable_->run(std::move(arguments));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      bool same =
          written_[i] || bytes_of(inputs[i]) == 0 || std::memcmp(read[i].data(), inputs[i].buffer().data(), bytes_of(inputs[i])) == 0;
      KILN_ASSERT(same, "input {} was written", i);
    }
    std::vector<Value> values;
    for (std::size_t i = 0; i < outputs.size(); ++i)
      values.push_back(Value::eager({executable_->plan().outputs[i].type.dtype, outputs[i].shape}, std::move(outputs[i].buffer)));
    return values;
  }

 private:
  std::unique_ptr<runtime::Executable> executable_;
  std::vector<bool> written_;  ///< by parameter
};

Leg compiled_leg(std::string name, Compare compare, Numerics numerics) {
  return {std::move(name), compare, [numerics](const Graph& graph) -> Runner {
            auto compiled = std::make_shared<const Compiled>(graph, numerics);
            return [compiled](std::span<const Value> inputs) { return compiled->run(inputs); };
          }};
}

/// A graph as the body of a traced function: arguments are tensors, variables are variables.
class Captured {
 public:
  Captured(const Graph& graph, bool strict) : graph_(graph) {
    FunctionOptions options{.strict = strict};
    bool symbolic = false;
    for (std::size_t i = 0; i < graph.parameters().size(); ++i) {
      const TensorType& type = graph.nodes()[i].type;
      if (graph.parameters()[i].kind != graph::ParameterKind::argument) continue;
      options.input_signature.push_back({type.dtype, type.shape});
      symbolic |= !type.shape.is_static();
    }
    if (!symbolic) options.input_signature.clear();
    function_.emplace([this](std::vector<Tensor> arguments) { return body(arguments); }, std::move(options), Loc::here());
  }

  std::vector<Value> run(std::span<const Value> inputs) {
    std::vector<Tensor> arguments;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      switch (graph_.parameters()[i].kind) {
        case graph::ParameterKind::argument:
          arguments.push_back(detail::Access::tensor(inputs[i]));
          break;
        case graph::ParameterKind::variable:
          assign(i, inputs[i]);
          break;
        default:
          captures_[i] = inputs[i];
      }
    }
    std::vector<Value> outputs;
    for (const Tensor& t : (*function_)(arguments)) outputs.push_back(detail::Access::value(t));
    for (const graph::StateWrite& write : graph_.state_writes())
      outputs.push_back(graph::read_variable(variables_.at(static_cast<std::size_t>(write.parameter))));
    return outputs;
  }

 private:
  /// The variable's value is held by nobody else, so that the function may write it in place.
  void assign(std::size_t parameter, const Value& value) {
    Value copy = Value::eager(value.type(), owned_copy(value));
    auto found = variables_.find(parameter);
    if (found == variables_.end())
      variables_[parameter] = graph::make_variable(copy, "v" + std::to_string(parameter), true);
    else
      graph::assign_variable(found->second, copy);
  }

  std::vector<Tensor> body(const std::vector<Tensor>& arguments) {
    std::vector<Value> parameters;
    std::size_t next = 0;
    for (std::size_t i = 0; i < graph_.parameters().size(); ++i) {
      graph::ParameterKind kind = graph_.parameters()[i].kind;
      parameters.push_back(kind == graph::ParameterKind::argument   ? detail::Access::value(arguments[next++])
                           : kind == graph::ParameterKind::variable ? graph::read_variable(variables_.at(i))
                                                                    : captures_.at(i));
    }
    std::vector<Value> outputs = graph::interpret(graph_, parameters);
    std::size_t num_results = graph_.results().size();
    for (std::size_t w = 0; w < graph_.state_writes().size(); ++w)
      graph::assign_variable(variables_.at(static_cast<std::size_t>(graph_.state_writes()[w].parameter)), outputs[num_results + w]);
    std::vector<Tensor> results;
    for (std::size_t i = 0; i < num_results; ++i) results.push_back(detail::Access::tensor(outputs[i]));
    return results;
  }

  const Graph& graph_;
  std::map<std::size_t, graph::VariablePtr> variables_;  ///< by parameter
  std::map<std::size_t, Value> captures_;
  std::optional<Function<std::vector<Tensor>(std::vector<Tensor>)>> function_;
};

Leg function_leg(std::string name, Compare compare, bool strict, std::uint64_t share) {
  auto prepare = [strict](const Graph& graph) -> Runner {
    auto captured = std::make_shared<Captured>(graph, strict);
    return [captured](std::span<const Value> inputs) { return captured->run(inputs); };
  };
  return {std::move(name), compare, prepare, share};
}

}  // namespace

std::vector<Leg> compiled_legs() {
  return {compiled_leg("compiled strict", Compare::bits, Numerics::strict),
          compiled_leg("compiled standard", Compare::bound, Numerics::standard)};
}

std::vector<Leg> function_legs() {
  return {function_leg("function strict", Compare::bits, true, 4), function_leg("function standard", Compare::bound, false, 8)};
}

}  // namespace kiln::testing
