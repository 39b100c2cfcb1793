// Calls of traced functions: the hit, the trace of a miss, and what is checked on the way.
#include "frontend/function_core.h"

#include <kiln/mode.h>

#include <cctype>
#include <map>

#include "base/flags.h"
#include "base/require.h"
#include "frontend/access.h"
#include "frontend/call_sites.h"
#include "frontend/region.h"
#include "frontend/tracing.h"
#include "graph/symbolic.h"
#include "graph/thread_state.h"

namespace kiln::detail {

namespace {

constinit thread_local const FunctionCore* tracing_now = nullptr;

/// Tracing is one at a time in a process: bodies may share models that they build. Recursive, since functions call functions.
std::recursive_mutex& tracing_lock() {
  static auto& instance = *new std::recursive_mutex;
  return instance;
}

class TracingFunction {
 public:
  explicit TracingFunction(const FunctionCore& core) : saved_(std::exchange(tracing_now, &core)) {}
  ~TracingFunction() { tracing_now = saved_; }
  TracingFunction(const TracingFunction&) = delete;
  TracingFunction& operator=(const TracingFunction&) = delete;

 private:
  const FunctionCore* saved_;
};

/// Unknown lengths of an input_signature get names, so that the graph can speak of them.
FunctionOptions name_unknown_dims(FunctionOptions options) {
  for (std::size_t i = 0; i < options.input_signature.size(); ++i) {
    Shape& shape = options.input_signature[i].shape;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      if (shape[axis] == -1) shape[axis] = Dim::symbol(fmt::format("d{}_{}", i, axis));
    }
  }
  return options;
}

bool any_symbolic(const std::vector<graph::Value>& values) {
  for (const graph::Value& v : values) {
    if (v.defined() && v.symbolic()) return true;
  }
  return false;
}

int differences(const std::vector<Field>& a, const std::vector<Field>& b) {
  if (a.size() != b.size()) return static_cast<int>(a.size() + b.size());
  int n = 0;
  for (std::size_t i = 0; i < a.size(); ++i) n += a[i].path != b[i].path || a[i].text != b[i].text;
  return n;
}

/// "x axis 0: 2 instead of 3", or "x: float32[2] instead of int32[2]" where more than lengths differ.
std::string difference(const Field& now, const Field& known) {
  const Shape &a = now.type.shape, &b = known.type.shape;
  bool lengths_only = now.kind == Field::Kind::tensor && now.type.dtype == known.type.dtype && a.rank() == b.rank() && a != b;
  if (!lengths_only) return fmt::format("{}: {} instead of {}", now.path, now.text, known.text);
  std::string text;
  for (int axis = 0; axis < a.rank(); ++axis) {
    if (a[axis] == b[axis]) continue;
    text += fmt::format("{}{} axis {}: {} instead of {}", text.empty() ? "" : ", ", now.path, axis, a[axis].str(), b[axis].str());
  }
  return text;
}

/// The differences of all fields in which `now` differs from `known`.
std::string list_differences(const std::vector<Field>& now, const std::vector<Field>& known) {
  std::map<std::string, const Field*> old;
  for (const Field& f : known) old[f.path] = &f;
  std::string text;
  for (const Field& f : now) {
    auto found = old.find(f.path);
    if (found != old.end() && found->second->text == f.text) continue;
    const std::string one = found == old.end() ? fmt::format("{}: {} instead of nothing", f.path, f.text) : difference(f, *found->second);
    text += (text.empty() ? "" : "; ") + one;
  }
  return text.empty() ? "fewer values" : text;
}

std::vector<std::string> tensor_paths(const std::vector<Field>& fields) {
  std::vector<std::string> paths;
  for (const Field& f : fields) {
    if (f.kind == Field::Kind::tensor) paths.push_back(f.path);
  }
  return paths;
}

/// A name for a length that a symbol may have: "x.0" for axis 0 of x.
std::string symbol_name(const std::string& path, std::uint32_t axis) {
  std::string name;
  for (char c : path) name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '/' ? c : '_';
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) != 0) name.insert(0, 1, '_');
  return fmt::format("{}.{}", name, axis);
}

/// Traces after which a function is reported, once each.
bool is_reported(int traces) { return traces == 8 || traces == 64; }

/// Outside of a trace, arguments have values.
void require_eager(const Signature& signature, const char* name) {
  for (const Signature::Leaf& leaf : signature.tensors()) {
    const graph::ValueImpl* body = Access::impl(*leaf.tensor);
    if (body != nullptr && body->trace != 0) [[unlikely]]
      graph::fail_leaked(Access::value(*leaf.tensor), name);
  }
}

}  // namespace

void require_new_variable_allowed(const std::string& name) {
  // A layer that builds itself suspends the trace; what the body itself makes would be made anew at each trace.
  if (tracing_now == nullptr || graph::Trace::current() == nullptr || tracing_now->traces() == 0) return;
  throw TraceError(fmt::format("{} was made while \"{}\" was traced for the second time, so each trace would have one of its own; "
                               "make it once, outside the function or as a member of a model",
                               name.empty() ? "a Variable" : fmt::format("Variable \"{}\"", name), tracing_now->name()),
                   user_location());
}

const Compiled& Entry::code() const {
  if (const Compiled* code = code_if_ready()) return *code;
  std::lock_guard lock(compiling_);
  if (code_ == nullptr) {
    const SpanScope span(compile_site("compile", name, where));
    code_ = std::make_unique<const Compiled>(captured, numerics);
    ready_.store(code_.get(), std::memory_order_release);
  }
  return *code_;
}

FunctionCore::FunctionCore(FunctionInfo info, FunctionOptions options, bool first_is_owner)
    : info_(info),
      options_(name_unknown_dims(std::move(options))),
      first_is_owner_(first_is_owner),
      relaxation_(options_.input_signature.empty() ? options_.relax_after : 0) {}

Entry* FunctionCore::find(Signature& signature) const {
  if (Entry* exact = table_.find(signature.words())) [[likely]]
    return exact;
  return relaxation_.find(signature);
}

bool FunctionCore::call(Signature& signature, Call& call, Loc where) {
  if (!options_.input_signature.empty()) fit_input_signature(signature, where);
  const Entry* entry = find(signature);
  std::shared_ptr<Entry> held;
  if (entry == nullptr) [[unlikely]] {
    held = captured(call, where, true);
    if (held == nullptr) return false;
    entry = held.get();
  }
  if (graph::thread_state.trace != nullptr) [[unlikely]] {
    std::vector<graph::Value> arguments;
    for (const Signature::Leaf& leaf : signature.tensors()) {
      if (leaf.tensor->defined()) arguments.push_back(graph::strong(Access::value(*leaf.tensor)));
    }
    LocationScope scope(where);
    finish(*entry, call, graph::thread_state.trace->splice(entry->captured, arguments));
    return true;
  }
  LocationScope scope(where);
  require_eager(signature, info_.name);
  if (tape_watches(entry->captured, signature.tensors())) [[unlikely]] {
    finish(*entry, call, run_interpreted(entry->captured, signature.tensors()));
    return true;
  }
  const Compiled* code = entry->code_if_ready();
  if (code == nullptr) [[unlikely]] {
    if (held == nullptr) held = share(entry);
    code = &compiled(held, call, where);
    entry = held.get();
  }
  finish(*entry, call, code->run(signature.tensors()));
  return true;
}

std::shared_ptr<Entry> FunctionCore::share(const Entry* entry) const {
  std::shared_ptr<Entry> shared = table_.share(entry);
  return shared != nullptr ? shared : relaxation_.share(entry);
}

const Compiled& FunctionCore::compiled(std::shared_ptr<Entry>& entry, Call& call, Loc where) {
  if (entry->open.empty()) return entry->code();
  std::string problem;
  try {
    return entry->code();
  } catch (const Error& e) {
    problem = e.message();
  }
  std::lock_guard lock(tracing_lock());
  log(LogTopic::trace, fmt::format("{}: the lengths of {} stay fixed, since code with them open does not compile: {}", info_.name,
                                   describe_axes(entry->open, tensor_paths(entry->fields)), problem));
  relaxation_.refuse(entry->open);
  entry = captured(call, where, false);
  return compiled(entry, call, where);
}

std::shared_ptr<Entry> FunctionCore::concrete(Signature& signature, Call& call) {
  if (!options_.input_signature.empty()) fit_input_signature(signature, info_.where);
  if (Entry* known = find(signature)) return share(known);
  return captured(call, info_.where, false);
}

void FunctionCore::finish(const Entry& entry, Call& call, std::vector<graph::Value> values) const {
  if (entry.result_leaves.size() == 1 && entry.result_leaves[0] == 0) [[likely]] {
    Tensor only = Access::tensor(std::move(values[0]));
    call.finish(entry.prototype.get(), {&only, 1});
    return;
  }
  std::vector<Tensor> tensors;
  tensors.reserve(entry.result_leaves.size());
  for (int leaf : entry.result_leaves) tensors.push_back(leaf < 0 ? Tensor() : Access::tensor(values[static_cast<std::size_t>(leaf)]));
  call.finish(entry.prototype.get(), tensors);
}

void FunctionCore::fit_input_signature(Signature& signature, Loc where) const {
  const std::vector<Spec>& specs = options_.input_signature;
  std::span<const Signature::Leaf> leaves = signature.tensors();
  if (leaves.size() != specs.size()) {
    throw ValueError(fmt::format("{}: the input_signature lists {} tensors, the call passes {}", info_.name, specs.size(), leaves.size()),
                     where);
  }
  std::map<std::int64_t, Dim> bound;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const Tensor& t = *leaves[i].tensor;
    TensorType wanted{specs[i].dtype, specs[i].shape};
    bool fits = t.defined() && t.rank() == wanted.shape.rank();
    for (int axis = 0; fits && axis < wanted.shape.rank(); ++axis) {
      Dim want = wanted.shape[axis], got = t.shape()[axis];
      fits = want.is_constant() ? want == got : bound.emplace(want.bits(), got).first->second == got;
    }
    std::string got = t.defined() ? TensorType{t.dtype(), t.shape()}.str() : "an undefined tensor";
    if (!fits) throw ShapeError(fmt::format("{}: tensor {} is {}, the input_signature wants {}", info_.name, i, got, wanted.str()), where);
    if (t.dtype() != wanted.dtype) {
      throw DTypeError(fmt::format("{}: tensor {} is {}, the input_signature wants {}", info_.name, i, got, wanted.str()), where);
    }
    for (int axis = 0; axis < wanted.shape.rank(); ++axis) {
      signature.words()[leaves[i].word + 1 + static_cast<std::size_t>(axis)] = static_cast<std::uint64_t>(wanted.shape[axis].bits());
    }
  }
}

std::shared_ptr<Entry> FunctionCore::captured(Call& call, Loc where, bool bounded) {
  std::lock_guard lock(tracing_lock());
  // Another thread may have traced it meanwhile, and built the models that it reads.
  Signature now;
  call.sign(now);
  if (!options_.input_signature.empty()) fit_input_signature(now, where);
  if (Entry* known = find(now)) return share(known);
  if (names_.size() != call.num_arguments()) names_ = parameter_names(info_.parameters, call.num_arguments(), first_is_owner_);
  if (bounded && traces_ >= options_.max_signatures) {
    if (!std::exchange(warned_of_bound_, true)) {
      warn(
          fmt::format("\"{}\" ({}:{}) has {} signatures, the most that it may have (max_signatures); calls with others run eagerly: {}:{} "
                      "because of {}",
                      info_.name, info_.where.file, info_.where.line, options_.max_signatures, where.file, where.line,
                      reason(describe(call, names_, first_is_owner_))));
    }
    return nullptr;
  }
  if (const OpenAxes axes = relaxation_.propose(now); !axes.empty()) {
    if (auto entry = capture_open(call, now, axes, where)) return entry;
  }
  return capture(call, now, where);
}

std::shared_ptr<Entry> FunctionCore::new_entry(Call& call, Signature& signature) const {
  auto entry = std::make_shared<Entry>();
  entry->name = info_.name;
  entry->where = info_.where;
  entry->numerics = options_.strict ? Numerics::strict : Numerics::standard;
  entry->fields = describe(call, names_, first_is_owner_);
  for (const Signature::Leaf& leaf : signature.tensors()) {
    if (leaf.tensor->defined()) entry->example.push_back(leaf.tensor->shape());
  }
  return entry;
}

std::shared_ptr<Entry> FunctionCore::capture(Call& call, Signature& signature, Loc where) {
  std::shared_ptr<Entry> entry = new_entry(call, signature);
  const std::string why = table_.all().empty() ? std::string() : reason(entry->fields);
  log(LogTopic::trace, fmt::format("{} ({}:{}) is traced {}", info_.name, where.file, where.line,
                                   why.empty() ? "for the first time" : "again, because of " + why));
  trace_body(*entry, call, options_.input_signature, where);
  count_trace(why, where);
  // The body may have built models: the next call is compared by what they are then. A tensor captured from an open trace is good for once.
  Signature after;
  call.sign(after);
  if (!options_.input_signature.empty()) fit_input_signature(after, where);
  if (!any_symbolic(entry->captured.captures)) {
    table_.insert(after.words(), entry);
    relaxation_.add_fixed(after);
  }
  return entry;
}

std::shared_ptr<Entry> FunctionCore::capture_open(Call& call, Signature& signature, const OpenAxes& axes, Loc where) {
  std::shared_ptr<Entry> entry = new_entry(call, signature);
  const std::vector<std::string> paths = tensor_paths(entry->fields);
  const std::string opened = describe_axes(axes, paths), why = reason(entry->fields);
  std::vector<TensorType> types;
  for (const Signature::Leaf& leaf : signature.tensors()) {
    types.push_back(leaf.tensor->defined() ? TensorType{leaf.tensor->dtype(), leaf.tensor->shape()} : TensorType{});
  }
  for (const std::vector<LeafAxis>& group : axes) {
    const Dim symbol = Dim::symbol(symbol_name(paths[group.front().leaf], group.front().axis));
    for (LeafAxis at : group) types[at.leaf].shape[static_cast<int>(at.axis)] = symbol;
  }
  std::vector<Spec> specs;
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (signature.tensors()[i].tensor->defined()) specs.push_back({types[i].dtype, types[i].shape});
  }
  try {
    trace_body(*entry, call, specs, where);
  } catch (const Error& e) {
    log(LogTopic::trace,
        fmt::format("{}: the lengths of {} stay fixed, since the body cannot be traced with them open: {}", info_.name, opened, e.what()));
    relaxation_.refuse(axes);
    return nullptr;
  }
  log(LogTopic::trace, fmt::format("{} ({}:{}) is traced again, because of {}; from now on one trace serves all lengths of {}", info_.name,
                                   where.file, where.line, why, opened));
  count_trace(why, where);
  std::size_t leaf = 0;
  for (Field& f : entry->fields) {
    if (f.kind != Field::Kind::tensor) continue;
    if (f.text != "undefined") f.type = types[leaf], f.text = types[leaf].str();
    ++leaf;
  }
  entry->open = axes;
  Signature after;
  call.sign(after);
  if (!any_symbolic(entry->captured.captures)) relaxation_.add_open(after, axes, entry);
  return entry;
}

void FunctionCore::count_trace(const std::string& reason, Loc where) {
  if (!is_reported(++traces_)) return;
  warn(
      fmt::format("\"{}\" ({}:{}) was traced {} times; at {}:{} because of {}. Numbers that change belong into a Tensor or a Variable, "
                  "lengths that change into an input_signature; KILN_LOG=trace shows every trace",
                  info_.name, info_.where.file, info_.where.line, traces_.load(), where.file, where.line, reason));
}

void FunctionCore::trace_body(Entry& entry, Call& call, std::span<const Spec> specs, Loc where) {
  const SpanScope span(compile_site("trace", info_.name, info_.where));
  RegionScope region;
  TracingFunction tracing(*this);
  graph::Trace trace(info_.name);
  BodyTracer tracer(trace, names_, specs, info_.where);
  entry.prototype = call.trace(tracer);
  if (!tracer.assigned().empty()) {
    throw TraceError(
        fmt::format("{}: the body assigns the tensor {} of its argument, which would happen only while tracing; return the new value, or "
                    "make it a Variable",
                    info_.name, tracer.assigned().front()),
        where);
  }
  std::vector<Field> after;
  {
    graph::EagerScope eager;
    after = describe(call, names_, first_is_owner_);
  }
  require_unchanged(entry.fields, after);
  entry.captured = trace.finish(tracer.results());
  entry.result_leaves = tracer.result_leaves();
  entry.fields = std::move(after);
  region.keep();
}

void FunctionCore::require_unchanged(const std::vector<Field>& before, const std::vector<Field>& after) const {
  // The keys of a map share its path, so a field is known by its path and its place among those.
  std::map<std::pair<std::string, int>, const Field*> old;
  std::map<std::string, int> places;
  for (const Field& f : before) old[{f.path, places[f.path]++}] = &f;
  places.clear();
  for (const Field& f : after) {
    auto found = old.find({f.path, places[f.path]++});
    // Members of a method's owner may count calls and the like: such effects happen while tracing, as all plain C++ does.
    if (found == old.end() || found->second->text == f.text || f.kind != Field::Kind::plain || f.of_owner) continue;
    throw TraceError(
        fmt::format("{}: the body changes {} from {} to {}, a plain value that is part of the call's signature; make it a Variable, or "
                    "change it outside the function",
                    info_.name, f.path, found->second->text, f.text),
        info_.where);
  }
}

std::string FunctionCore::reason(const std::vector<Field>& fields) const {
  std::shared_ptr<Entry> nearest;
  for (const std::shared_ptr<Entry>& e : table_.all()) {
    if (nearest == nullptr || differences(fields, e->fields) <= differences(fields, nearest->fields)) nearest = e;
  }
  return nearest == nullptr ? "its first signature" : list_differences(fields, nearest->fields);
}

FunctionHandle::FunctionHandle(FunctionInfo info, FunctionOptions options, bool first_is_owner)
    : core_(std::make_unique<FunctionCore>(info, std::move(options), first_is_owner)) {}
FunctionHandle::~FunctionHandle() = default;

bool FunctionHandle::call(Signature& signature, Call& call, Loc where) { return core_->call(signature, call, where); }

std::shared_ptr<Entry> FunctionHandle::concrete(Signature& signature, Call& call) { return core_->concrete(signature, call); }

struct HandleTable::Impl {
  std::mutex word;
  std::map<const void*, std::unique_ptr<FunctionHandle>> handles;
};

HandleTable::HandleTable(FunctionInfo info, FunctionOptions options)
    : info_(info), options_(std::move(options)), impl_(std::make_unique<Impl>()) {}
HandleTable::~HandleTable() = default;

FunctionHandle& HandleTable::at(const void* types) {
  std::lock_guard lock(impl_->word);
  std::unique_ptr<FunctionHandle>& handle = impl_->handles[types];
  if (handle == nullptr) handle = std::make_unique<FunctionHandle>(info_, options_);
  return *handle;
}

bool body_runs_eagerly() { return runs_eagerly(); }

}  // namespace kiln::detail
