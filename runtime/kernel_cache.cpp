// Opens kernels by dlopen: the cached file itself, or a memory file where there is no usable directory.
#include "runtime/kernel_cache.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "base/flags.h"
#include "base/require.h"
#include "runtime/disk_cache.h"

namespace kiln::runtime {
namespace {

struct Kernels {
  std::shared_mutex mutex;
  std::unordered_map<std::string, void*> entries;

  void* find(const std::string& key) {
    std::shared_lock lock(mutex);
    auto found = entries.find(key);
    return found == entries.end() ? nullptr : found->second;
  }
};

Kernels& kernels() {
  static Kernels* k = new Kernels;
  return *k;
}

/// The entry of the shared object at `path`; nullptr, with `problem` set, if it does not load.
void* open_object(const std::string& path, std::string& problem) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = handle == nullptr ? nullptr : dlsym(handle, kKernelEntry);
  if (entry == nullptr) {
    const char* why = dlerror();
    problem = why != nullptr ? why : "no entry";
  }
  return entry;
}

/// A spelling of /proc/self/fd/FD that no other call gets: dlopen takes equal paths for one library, and descriptors are reused.
std::string unique_path(int fd, unsigned ordinal) {
  std::string path = "/proc/self/fd";
  for (; ordinal != 0; ordinal >>= 1) path += (ordinal & 1u) != 0 ? "/." : "/";
  return fmt::format("{}/{}", path, fd);
}

void* open_memory(std::string_view bytes, std::string& problem) {
  static unsigned ordinal = 0;  // guarded by Kernels::mutex
  int fd = memfd_create("kiln_kernel", MFD_CLOEXEC);
  if (fd < 0 || write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    problem = "no memory file can be made";
    if (fd >= 0) close(fd);
    return nullptr;
  }
  void* entry = open_object(unique_path(fd, ++ordinal), problem);
  close(fd);
  return entry;
}

void* load_from_disk(const std::string& key, std::string& problem) {
  DiskCache& disk = DiskCache::instance();
  if (auto path = disk.kernel_path(key)) {
    if (void* entry = open_object(*path, problem)) return entry;
  }
  auto bytes = disk.load("kernel", key);
  return bytes ? open_memory(*bytes, problem) : nullptr;
}

const KernelObject* find_object(std::span<const KernelObject> objects, const std::string& key) {
  for (const KernelObject& object : objects) {
    if (object.key == key) return &object;
  }
  return nullptr;
}

}  // namespace

LoadedKernel load_kernel(const std::string& key, std::span<const KernelObject> objects) {
  Kernels& k = kernels();
  if (void* entry = k.find(key)) return {entry, false};
  std::unique_lock lock(k.mutex);
  if (auto found = k.entries.find(key); found != k.entries.end()) return {found->second, false};
  std::string problem;
  const KernelObject* object = find_object(objects, key);
  if (object != nullptr) DiskCache::instance().store("kernel", key, object->bytes);
  void* entry = load_from_disk(key, problem);
  if (entry == nullptr && object != nullptr) entry = open_memory(object->bytes, problem);
  KILN_REQUIRE(entry != nullptr || !problem.empty(), FileError, "kernel {} is neither in memory nor in the cache", key);
  KILN_REQUIRE(entry != nullptr, CompileError, "kernel {} does not load: {}", key, problem);
  k.entries.emplace(key, entry);
  return {entry, true};
}

bool has_kernel(const std::string& key) { return kernels().find(key) != nullptr || DiskCache::instance().contains("kernel", key); }

}  // namespace kiln::runtime
