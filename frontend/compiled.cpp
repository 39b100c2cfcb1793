// Compiled graphs: the way through the caches, and the run itself.
#include "frontend/compiled.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <mutex>

#include "base/flags.h"
#include "base/hash.h"
#include "base/target.h"
#include "frontend/access.h"
#include "graph/interpret.h"
#include "graph/random.h"
#include "graph/tape.h"
#include "graph/thread_state.h"
#include "runtime/disk_cache.h"
#include "runtime/kernel_cache.h"

namespace kiln::detail {

namespace {

constexpr std::array<const char*, runtime::kStageCount> kStageNames = {"captured", "optimized", "fused", "kernels", "llvm", "assembly"};

std::string cache_key(const graph::Graph& graph, Numerics numerics) {
  return fmt::format("{}-{}", graph.hash(), static_cast<int>(numerics));
}

/// Texts show the user's lines and names, which the graph's hash leaves out.
std::string text_key(const graph::Graph& graph, Numerics numerics, std::size_t stage) {
  std::string shown = graph.name();
  for (const graph::Node& node : graph.nodes()) fmt::format_to(std::back_inserter(shown), "\n{}:{}", node.loc.file, node.loc.line);
  for (const graph::Parameter& p : graph.parameters()) shown += "\n" + p.name;
  return fmt::format("{}-{}-{}", cache_key(graph, numerics), hash128(shown).hex(), kStageNames[stage]);
}

/// Executables of this process by key, as long as somebody holds them.
class Executables {
 public:
  std::shared_ptr<const runtime::Executable> find(const std::string& key) {
    std::lock_guard lock(word_);
    auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : found->second.lock();
  }
  void insert(const std::string& key, const std::shared_ptr<const runtime::Executable>& executable) {
    std::lock_guard lock(word_);
    std::erase_if(by_key_, [](const auto& entry) { return entry.second.expired(); });
    by_key_[key] = executable;
  }

 private:
  std::mutex word_;
  std::map<std::string, std::weak_ptr<const runtime::Executable>> by_key_;
};

Executables& executables() {
  static auto& instance = *new Executables;
  return instance;
}

void store_texts(const graph::Graph& graph, Numerics numerics, const runtime::CompileResult& result) {
  runtime::DiskCache& disk = runtime::DiskCache::instance();
  for (std::size_t stage = 1; stage < result.text.size(); ++stage) {
    if (!result.text[stage].empty()) disk.store("text", text_key(graph, numerics, stage), result.text[stage]);
  }
}

void log_times(const graph::Graph& graph, const runtime::CompileResult& result) {
  if (!log_enabled(LogTopic::compile)) return;
  std::size_t fresh = 0;
  for (const runtime::KernelObject& object : result.objects) fresh += object.keys.size();
  std::string text = fmt::format("{}: {} launches, {} kernels, {} of them new;", graph.name(), result.plan.launches.size(),
                                 result.plan.kernels.size(), fresh);
  for (const runtime::StageTime& t : result.times) text += fmt::format(" {} {:.1f} ms", t.stage, t.milliseconds);
  log(LogTopic::compile, text);
}

runtime::CompileResult run_compiler(const graph::Graph& graph, Numerics numerics, runtime::StageTexts texts) {
  runtime::CompileRequest request;
  request.graph = &graph;
  request.target = current_target();
  request.numerics = numerics;
  request.has_kernel = [texts](const std::string& key) {
    return texts == runtime::StageTexts::graph || (texts == runtime::StageTexts::none && runtime::has_kernel(key));
  };
  request.dump_directory = flags().dump_dir;
  request.texts = texts;
  return runtime::compile(request);
}

/// The plan from disk with its kernels, or nothing: never stored, damaged, or a kernel is gone.
std::shared_ptr<const runtime::Executable> load_executable(const std::string& key, const graph::Graph& graph) {
  std::optional<std::string> stored = runtime::DiskCache::instance().load("plan", key);
  if (!stored) return nullptr;
  try {
    auto executable =
        std::make_shared<const runtime::Executable>(runtime::Plan::deserialize(*stored), std::span<const runtime::KernelObject>());
    log(LogTopic::compile, fmt::format("{}: plan and kernels found on disk", graph.name()));
    return executable;
  } catch (const FileError& e) {
    log(LogTopic::cache, fmt::format("{}: compiling again: {}", graph.name(), e.message()));
    return nullptr;
  }
}

std::shared_ptr<const runtime::Executable> make_executable(const graph::Graph& graph, Numerics numerics) {
  std::string key = cache_key(graph, numerics);
  if (auto known = executables().find(key)) return known;
  // A dump wants the passes to run.
  std::shared_ptr<const runtime::Executable> executable = flags().dump_dir.empty() ? load_executable(key, graph) : nullptr;
  if (executable == nullptr) {
    runtime::CompileResult result = run_compiler(graph, numerics, runtime::StageTexts::none);
    log_times(graph, result);
    runtime::DiskCache::instance().store("plan", key, result.plan.serialize());
    executable =
        std::make_shared<const runtime::Executable>(std::move(result.plan), std::span<const runtime::KernelObject>(result.objects));
  }
  executables().insert(key, executable);
  return executable;
}

runtime::Argument as_argument(const graph::Value& v) { return {v.buffer(), v.shape()}; }

/// A small array that lives on the stack.
template <class T, std::size_t N>
class Inline {
 public:
  explicit Inline(std::size_t size) : size_(size) {
    if (size > N) large_.resize(size);
  }
  std::span<T> span() { return size_ > N ? std::span<T>(large_) : std::span<T>(small_.data(), size_); }

 private:
  std::array<T, N> small_;
  std::vector<T> large_;
  std::size_t size_;
};

}  // namespace

Compiled::Compiled(const graph::Captured& captured, Numerics numerics) : graph_(captured.graph), random_streams_(captured.random_streams) {
  executable_ = make_executable(*graph_, numerics);
  const auto& parameters = graph_->parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    switch (parameters[i].kind) {
      case graph::ParameterKind::argument:
        break;
      case graph::ParameterKind::variable:
        states_.push_back({captured.variables[i], i, -1});
        break;
      case graph::ParameterKind::capture:
        captures_.push_back({as_argument(captured.captures[i]), i});
        break;
      case graph::ParameterKind::random:
        random_input_ = static_cast<int>(i);
        break;
    }
  }
  std::sort(states_.begin(), states_.end(), [](const State& a, const State& b) { return a.variable->id < b.variable->id; });
  for (std::size_t w = 0; w < graph_->state_writes().size(); ++w) {
    auto input = static_cast<std::size_t>(graph_->state_writes()[w].parameter);
    for (State& s : states_) {
      if (s.input == input) s.output = static_cast<int>(graph_->results().size() + w);
    }
  }
  name_ = [graph = graph_](std::int32_t input) { return graph->parameters()[static_cast<std::size_t>(input)].name; };
  locate_ = [graph = graph_](std::int32_t node) {
    return node >= 0 && node < static_cast<std::int32_t>(graph->nodes().size()) ? graph->node(node).loc : Loc{};
  };
}

/// The variables of one run: taken out of their values while their words are held, and put back.
class Compiled::Launch {
 public:
  Launch(const std::vector<State>& states, std::span<runtime::Argument> inputs) : states_(states), inputs_(inputs) {
    for (const State& s : states_) s.variable->word.lock();
    for (const State& s : states_) take(s);
    // Readers of variables that this run only reads need not wait for it.
    for (const State& s : states_) {
      if (s.output < 0) s.variable->word.unlock();
    }
  }

  /// Puts the new values in place of the old ones.
  void finish(std::span<runtime::Argument> outputs) {
    for (const State& s : states_) {
      if (s.output < 0) continue;
      graph::VariableState& v = *s.variable;
      runtime::Buffer& fresh = outputs[static_cast<std::size_t>(s.output)].buffer;
      if (v.value.get()->buffer.defined())
        v.value = graph::Value::eager(v.type, std::move(fresh));
      else
        v.value.get()->buffer = std::move(fresh);
    }
  }

  ~Launch() {
    for (const State& s : states_) {
      if (s.output < 0) continue;
      runtime::Buffer& buffer = s.variable->value.get()->buffer;
      if (!buffer.defined()) buffer = std::move(inputs_[s.input].buffer);
      s.variable->word.unlock();
    }
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

 private:
  void take(const State& s) {
    graph::ValueImpl& body = *s.variable->value.get();
    runtime::Argument& input = inputs_[s.input];
    input.shape = body.type.shape;
    // A value that others hold, or that shares its memory, keeps it: the run then writes elsewhere.
    bool alone = s.output >= 0 && body.references.load(std::memory_order_acquire) == 1 && body.buffer.unique();
    if (alone)
      input.buffer = std::move(body.buffer);
    else
      input.buffer = body.buffer;
  }

  const std::vector<State>& states_;
  std::span<runtime::Argument> inputs_;
};

void Compiled::run(std::span<runtime::Argument> inputs, std::span<runtime::Argument> outputs) const {
  if (!spans_wanted()) [[likely]]
    return executable_->run(inputs, outputs, &locate_, &name_);
  RecordedCall recorded(sites_.of(*graph_, plan(), inputs));
  executable_->run(inputs, outputs, &locate_, &name_, &recorded);
}

std::vector<graph::Value> Compiled::run(std::span<const Signature::Leaf> arguments) const {
  const runtime::Plan& plan = executable_->plan();
  Inline<runtime::Argument, 24> input_array(graph_->parameters().size());
  Inline<runtime::Argument, 24> output_array(plan.outputs.size());
  std::span<runtime::Argument> inputs = input_array.span(), outputs = output_array.span();
  std::size_t next = 0;
  for (const Signature::Leaf& leaf : arguments) {
    const graph::ValueImpl* body = Access::impl(*leaf.tensor);
    if (body == nullptr) continue;
    if (body->weak) [[unlikely]]
      inputs[next++] = as_argument(graph::strong(Access::value(*leaf.tensor)));
    else
      inputs[next++] = {body->buffer, body->type.shape};
  }
  for (const Capture& c : captures_) inputs[c.input] = c.value;
  if (random_input_ >= 0) {
    inputs[static_cast<std::size_t>(random_input_)] = as_argument(graph::key_value(graph::reserve_streams(random_streams_)));
  }
  std::size_t num_results = graph_->results().size();
  {
    Launch launch(states_, inputs);
    run(inputs, outputs);
    launch.finish(outputs);
  }
  std::vector<graph::Value> results;
  results.reserve(num_results);
  for (std::size_t i = 0; i < num_results; ++i) {
    results.push_back(graph::Value::eager({plan.outputs[i].type.dtype, outputs[i].shape}, std::move(outputs[i].buffer)));
  }
  return results;
}

std::vector<graph::Value> run_interpreted(const graph::Captured& captured, std::span<const Signature::Leaf> arguments) {
  const graph::Graph& graph = *captured.graph;
  std::vector<graph::Value> parameters;
  for (const Signature::Leaf& leaf : arguments) {
    if (leaf.tensor->defined()) parameters.push_back(graph::strong(Access::value(*leaf.tensor)));
  }
  for (std::size_t i = parameters.size(); i < graph.parameters().size(); ++i) {
    switch (graph.parameters()[i].kind) {
      case graph::ParameterKind::variable:
        parameters.push_back(graph::read_variable(captured.variables[i]));
        break;
      case graph::ParameterKind::random:
        parameters.push_back(graph::key_value(graph::reserve_streams(captured.random_streams)));
        break;
      default:
        parameters.push_back(captured.captures[i]);
    }
  }
  std::vector<graph::Value> values = graph::interpret(graph, parameters);
  std::size_t num_results = graph.results().size();
  for (std::size_t w = 0; w < graph.state_writes().size(); ++w) {
    graph::assign_variable(captured.variables[static_cast<std::size_t>(graph.state_writes()[w].parameter)], values[num_results + w]);
  }
  values.resize(num_results);
  return values;
}

bool tape_watches(const graph::Captured& captured, std::span<const Signature::Leaf> arguments) {
  const graph::ThreadState& state = graph::thread_state;
  if (state.tapes == nullptr || state.tapes_suspended) [[likely]]
    return false;
  for (const graph::VariablePtr& v : captured.variables) {
    if (v != nullptr && v->trainable) return true;
  }
  return std::any_of(arguments.begin(), arguments.end(), [](const Signature::Leaf& leaf) {
    return leaf.tensor->defined() && graph::any_tape_watches(Access::value(*leaf.tensor));
  });
}

std::string stage_text(const graph::Graph& graph, Numerics numerics, runtime::StageId stage) {
  auto index = static_cast<std::size_t>(stage);
  if (auto text = runtime::DiskCache::instance().load("text", text_key(graph, numerics, index))) return *text;
  runtime::CompileResult result =
      run_compiler(graph, numerics, stage >= runtime::StageId::llvm ? runtime::StageTexts::all : runtime::StageTexts::graph);
  store_texts(graph, numerics, result);
  return result.text[index];
}

}  // namespace kiln::detail
