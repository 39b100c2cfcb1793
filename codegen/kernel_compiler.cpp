// From KernelSpecs to shared objects.
#include "codegen/kernel_compiler.h"

#include <llvm/Support/raw_ostream.h>

#include <algorithm>
#include <exception>
#include <numeric>
#include <thread>

#include "base/thread_pool.h"
#include "codegen/kernel_emitter.h"
#include "codegen/lower.h"

namespace kiln::codegen {

namespace {

void add_kernel(CompileWorker& worker, const runtime::KernelSpec& spec, std::int32_t ordinal, const Target& target, LowLevelText* text,
                StageClock& clock) {
  const TargetHooks hooks(target);
  const double start = milliseconds_now();
  mlir::OwningOpRef<mlir::ModuleOp> module = emit_kernel(worker.context(), spec, hooks);
  clock.add("emit", milliseconds_now() - start);
  worker.add(*module, runtime::kernel_symbol(ordinal), target, text, clock);
}

std::string link(CompileWorker& worker, const Target& target, StageClock& clock) {
  const std::string object = worker.object(target, clock);
  const double start = milliseconds_now();
  std::string shared = link_shared(object);
  clock.add("link", milliseconds_now() - start);
  return shared;
}

/// Which specs each thread compiles: the largest first, each to the thread that has least to do.
std::vector<std::vector<std::size_t>> shares(std::span<const runtime::KernelSpec* const> specs, std::size_t threads) {
  std::vector<std::size_t> order(specs.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return specs[a]->body.size() > specs[b]->body.size(); });
  constexpr std::size_t kKernel = 8;  // in nodes, what any kernel takes
  std::vector<std::vector<std::size_t>> result(threads);
  std::vector<std::size_t> work(threads, 0);
  for (std::size_t i : order) {
    const auto least = static_cast<std::size_t>(std::min_element(work.begin(), work.end()) - work.begin());
    result[least].push_back(i);
    work[least] += kKernel + specs[i]->body.size();
  }
  return result;
}

}  // namespace

std::string compile_kernel(const runtime::KernelSpec& spec, const Target& target, LowLevelText* text) {
  WorkerLease worker;
  StageClock clock;
  add_kernel(*worker, spec, 0, target, text, clock);
  return link(*worker, target, clock);
}

CompiledKernels compile_kernels(std::span<const runtime::KernelSpec* const> specs, const Target& target, std::span<LowLevelText> texts,
                                StageClock& clock) {
  const std::size_t threads = std::min<std::size_t>(specs.size(), static_cast<std::size_t>(std::max(1, num_threads())));
  CompiledKernels result{std::vector<std::string>(threads), std::vector<CompiledKernels::Place>(specs.size())};
  std::vector<StageClock> clocks(threads);
  std::vector<std::exception_ptr> failures(threads);
  const std::vector<std::vector<std::size_t>> work = shares(specs, threads);
  const auto compile_share = [&](std::size_t thread) {
    try {
      WorkerLease worker;
      std::int32_t ordinal = 0;
      for (std::size_t i : work[thread]) {
        result.places[i] = {thread, ordinal};
        add_kernel(*worker, *specs[i], ordinal++, target, texts.empty() ? nullptr : &texts[i], clocks[thread]);
      }
      result.objects[thread] = link(*worker, target, clocks[thread]);
    } catch (...) {
      failures[thread] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back(compile_share, i);
  if (threads > 0) compile_share(0);
  for (std::thread& t : others) t.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  for (const StageClock& c : clocks) clock.merge(c);
  return result;
}

std::string emitted_text(const runtime::KernelSpec& spec, const Target& target) {
  WorkerLease worker;
  const TargetHooks hooks(target);
  std::string text;
  llvm::raw_string_ostream out(text);
  emit_kernel(worker->context(), spec, hooks)->print(out);
  return text;
}

}  // namespace kiln::codegen
