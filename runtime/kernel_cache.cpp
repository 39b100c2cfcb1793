// Opens kernels by dlopen: the cached file itself, or a memory file where there is no usable directory.
#include "runtime/kernel_cache.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>
#include <unordered_set>

#include "base/flags.h"
#include "base/hash.h"
#include "base/require.h"
#include "runtime/disk_cache.h"

namespace kiln::runtime {
namespace {

/// A kernel in an object that is open.
struct Place {
  void* object = nullptr;
  std::int32_t ordinal = 0;
};

struct Kernels {
  std::shared_mutex mutex;
  std::unordered_map<std::string, void*> entries;  ///< by kernel
  std::unordered_map<std::string, Place> offered;  ///< by kernel: of objects just compiled, until somebody asks for them
  std::unordered_map<std::string, void*> objects;  ///< those opened from disk, by name
  std::unordered_set<std::string> sound;           ///< names of objects on disk that were found whole

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

/// Opens the shared object at `path`; nullptr, with `problem` set, if it does not load.
void* open_object(const std::string& path, std::string& problem) {
  void* object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) problem = dlerror();
  return object;
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
  void* object = open_object(unique_path(fd, ++ordinal), problem);
  close(fd);
  return object;
}

/// The disk's kinds: "kernel" files are shared objects by a name of their own; an "entry" file, by the kernel's key, says where it is.
struct DiskPlace {
  std::string object;
  std::int32_t ordinal = 0;
};

void store_object(const KernelObject& object, const std::string& name) {
  DiskCache& disk = DiskCache::instance();
  disk.store("kernel", name, object.bytes);
  for (std::size_t i = 0; i < object.keys.size(); ++i) disk.store("entry", object.keys[i], fmt::format("{} {}", i, name));
}

std::optional<DiskPlace> find_on_disk(const std::string& key) {
  const std::optional<std::string> text = DiskCache::instance().load("entry", key);
  if (!text) return std::nullopt;
  DiskPlace place;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), place.ordinal);
  if (error != std::errc() || place.ordinal < 0 || end == text->data() + text->size()) return std::nullopt;
  place.object = std::string(end + 1, text->data() + text->size());
  return place;
}

void* open_from_disk(const std::string& name, std::string& problem) {
  Kernels& k = kernels();
  if (const auto open = k.objects.find(name); open != k.objects.end()) return open->second;
  DiskCache& disk = DiskCache::instance();
  void* object = nullptr;
  if (auto path = disk.kernel_path(name)) object = open_object(*path, problem);
  if (object == nullptr) {
    auto bytes = disk.load("kernel", name);
    object = bytes ? open_memory(*bytes, problem) : nullptr;
  }
  if (object != nullptr) k.objects.emplace(name, object);
  return object;
}

/// Stores and opens the object that holds `key`, if there is one, and offers all its kernels.
void offer(const std::string& key, std::span<const KernelObject> objects, std::string& problem) {
  const auto holds = [&](const KernelObject& o) { return std::find(o.keys.begin(), o.keys.end(), key) != o.keys.end(); };
  const auto found = std::find_if(objects.begin(), objects.end(), holds);
  if (found == objects.end()) return;
  const std::string name = hash128(found->bytes).hex();
  store_object(*found, name);
  void* object = open_from_disk(name, problem);
  if (object == nullptr) object = open_memory(found->bytes, problem);
  if (object == nullptr) return;
  for (std::size_t i = 0; i < found->keys.size(); ++i) kernels().offered[found->keys[i]] = {object, static_cast<std::int32_t>(i)};
}

Place locate(const std::string& key, std::span<const KernelObject> objects, std::string& problem) {
  Kernels& k = kernels();
  if (!k.offered.contains(key)) offer(key, objects, problem);
  if (auto offered = k.offered.extract(key)) return offered.mapped();
  const std::optional<DiskPlace> place = find_on_disk(key);
  if (!place) return {};
  return {open_from_disk(place->object, problem), place->ordinal};
}

}  // namespace

LoadedKernel load_kernel(const std::string& key, std::span<const KernelObject> objects) {
  Kernels& k = kernels();
  if (void* entry = k.find(key)) return {entry, false};
  std::unique_lock lock(k.mutex);
  if (auto found = k.entries.find(key); found != k.entries.end()) return {found->second, false};
  std::string problem;
  const Place place = locate(key, objects, problem);
  void* entry = place.object == nullptr ? nullptr : dlsym(place.object, kernel_symbol(place.ordinal).c_str());
  if (place.object != nullptr && entry == nullptr) problem = "no entry";
  KILN_REQUIRE(entry != nullptr || !problem.empty(), FileError, "kernel {} is neither in memory nor in the cache", key);
  KILN_REQUIRE(entry != nullptr, CompileError, "kernel {} does not load: {}", key, problem);
  k.entries.emplace(key, entry);
  return {entry, true};
}

bool has_kernel(const std::string& key) {
  Kernels& k = kernels();
  if (k.find(key) != nullptr) return true;
  const std::optional<DiskPlace> place = find_on_disk(key);
  if (!place) return false;
  std::unique_lock lock(k.mutex);
  if (k.objects.contains(place->object) || k.sound.contains(place->object)) return true;
  if (!DiskCache::instance().contains("kernel", place->object)) return false;
  k.sound.insert(place->object);
  return true;
}

}  // namespace kiln::runtime
