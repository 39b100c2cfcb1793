// From KernelSpecs to shared objects.
#include "codegen/kernel_compiler.h"

#include <llvm/Support/raw_ostream.h>

#include <atomic>
#include <exception>
#include <thread>

#include "base/thread_pool.h"
#include "codegen/kernel_emitter.h"
#include "codegen/lower.h"

namespace kiln::codegen {

namespace {

std::string compile_on(CompileWorker& worker, const runtime::KernelSpec& spec, const Target& target, LowLevelText* text,
                       StageClock& clock) {
  const TargetHooks hooks(target);
  const double start = milliseconds_now();
  mlir::OwningOpRef<mlir::ModuleOp> module = emit_kernel(worker.context(), spec, hooks);
  clock.add("emit", milliseconds_now() - start);
  const std::string object = worker.object(*module, target, text, clock);
  const double link_start = milliseconds_now();
  std::string shared = link_shared(object);
  clock.add("link", milliseconds_now() - link_start);
  return shared;
}

}  // namespace

std::string compile_kernel(const runtime::KernelSpec& spec, const Target& target, LowLevelText* text, StageClock* clock) {
  WorkerLease worker;
  StageClock unused;
  return compile_on(*worker, spec, target, text, clock == nullptr ? unused : *clock);
}

std::vector<std::string> compile_kernels(std::span<const runtime::KernelSpec* const> specs, const Target& target,
                                         std::span<LowLevelText> texts, StageClock& clock) {
  std::vector<std::string> objects(specs.size());
  const std::size_t threads = std::min<std::size_t>(specs.size(), static_cast<std::size_t>(std::max(1, num_threads())));
  std::vector<StageClock> clocks(threads);
  std::vector<std::exception_ptr> failures(threads);
  std::atomic<std::size_t> next{0};
  const auto work = [&](std::size_t thread) {
    try {
      WorkerLease worker;
      for (std::size_t i = next++; i < specs.size(); i = next++) {
        objects[i] = compile_on(*worker, *specs[i], target, texts.empty() ? nullptr : &texts[i], clocks[thread]);
      }
    } catch (...) {
      failures[thread] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back(work, i);
  if (threads > 0) work(0);
  for (std::thread& t : others) t.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  for (const StageClock& c : clocks) clock.merge(c);
  return objects;
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
