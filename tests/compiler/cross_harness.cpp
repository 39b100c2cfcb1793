// Runs kernels of another machine under its emulator: reads requests from standard input, answers on standard output. See emulator.h.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/kernel_abi.h"
#include "tests/guarded_memory.h"

using namespace kiln;

namespace {

void read_all(void* to, std::size_t bytes) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t n = read(STDIN_FILENO, at, bytes);
    if (n <= 0) std::exit(0);
    at += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

void write_all(const void* from, std::size_t bytes) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t n = write(STDOUT_FILENO, at, bytes);
    if (n <= 0) std::exit(1);
    at += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

std::int64_t read_number() {
  std::int64_t value = 0;
  read_all(&value, sizeof value);
  return value;
}

bool in_pieces = false;

void parallel(KernelContext* c, RangeFn fn, void** args, const std::int64_t* dims, std::int64_t count, std::int64_t) {
  const std::int64_t step = in_pieces ? (count / 3 > 1 ? count / 3 : 1) : count;
  for (std::int64_t end = count; end > 0; end -= step) fn(args, dims, c, end > step ? end - step : 0, end);
}

void report(KernelContext* c, std::int32_t error, std::int32_t, std::int64_t) { c->error = error; }

KernelFn load(void*& library) {
  std::string path(static_cast<std::size_t>(read_number()), '\0');
  read_all(path.data(), path.size());
  library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = library == nullptr ? nullptr : dlsym(library, "kiln_kernel");
  if (entry == nullptr) {
    std::fprintf(stderr, "cross_harness: %s\n", dlerror());
    std::exit(2);
  }
  return reinterpret_cast<KernelFn>(entry);
}

/// One kernel, run once.
void serve() {
  void* library = nullptr;
  const KernelFn kernel = load(library);
  in_pieces = read_number() != 0;
  const bool at_end = read_number() != 0;
  std::vector<std::int64_t> dims(static_cast<std::size_t>(read_number()));
  read_all(dims.data(), dims.size() * sizeof(std::int64_t));
  std::vector<std::unique_ptr<testing::GuardedMemory>> memory;
  std::vector<void*> args(static_cast<std::size_t>(read_number()));
  for (void*& arg : args) {
    if (const std::int64_t alias = read_number(); alias >= 0) {
      arg = args[static_cast<std::size_t>(alias)];
      continue;
    }
    memory.push_back(std::make_unique<testing::GuardedMemory>(static_cast<std::size_t>(read_number()), at_end));
    arg = memory.back()->data();
    read_all(arg, memory.back()->bytes());
  }
  static const RuntimeCalls calls = {parallel, report};
  KernelContext context;
  context.calls = &calls;
  kernel(args.data(), dims.data(), &context);
  const std::int64_t error = context.error.load();
  write_all(&error, sizeof error);
  for (const auto& m : memory) write_all(m->data(), m->bytes());
  dlclose(library);
}

}  // namespace

int main() {
  while (true) serve();
}
