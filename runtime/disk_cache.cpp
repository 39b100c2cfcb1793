// The cache directory: one file an entry, `KIND-KEY-IDENTITY`, payload first and a checked trailer last, so that a kernel's file is a
// shared object.
#include "runtime/disk_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <mutex>
#include <vector>

#include "base/flags.h"
#include "base/hash.h"
#include "base/kernel_abi.h"
#include "base/require.h"
#include "base/target.h"
#include "runtime/build_id.h"
#include "runtime/compile.h"

namespace kiln::runtime {
namespace {

constexpr const char* kGoOn = "; going on without a disk cache";
/// A file's time is renewed when it is used, at most this often.
constexpr time_t kRenewAfter = 60;
/// A temporary file older than this was left by a process that died.
constexpr time_t kAbandoned = 3600;
constexpr std::string_view kTemporary = ".new-";

/// The last bytes of every file.
struct Trailer {
  char magic[8] = {'K', 'I', 'L', 'N', 'C', 'A', 'C', '1'};
  std::uint64_t size = 0;
  Hash128 name;      ///< of kind, key and identity
  Hash128 checksum;  ///< of the payload
};

Hash128 hash_name(std::string_view kind, std::string_view key, std::string_view identity) {
  return hash128(fmt::format("{}\n{}\n{}", kind, key, identity));
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

std::string error_text() { return std::strerror(errno); }

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool read_all(int fd, std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    ssize_t got = read(fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

/// Creates the directory and its parents, 0700 each; false if the last one is not there afterwards.
bool make_directories(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    mkdir(path.substr(0, slash).c_str(), 0700);
  return mkdir(path.c_str(), 0700) == 0 || errno == EEXIST;
}

/// Why the directory may not be used; empty if it may.
std::string objection(const std::string& path) {
  if (!make_directories(path)) return fmt::format("cannot be created: {}", error_text());
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return fmt::format("cannot be read: {}", error_text());
  if (!S_ISDIR(status.st_mode)) return "is not a directory";
  if (status.st_uid != geteuid()) return fmt::format("belongs to user {}, not to user {}", status.st_uid, geteuid());
  if ((status.st_mode & 022) != 0) return fmt::format("is writable by others (mode {:04o})", status.st_mode & 07777);
  return "";
}

struct Entry {
  std::string path;
  std::size_t bytes;
  timespec used;
};

std::string default_directory() {
  const Flags& f = flags();
  if (f.cache_dir) return *f.cache_dir;
  if (!f.xdg_cache_home.empty()) return f.xdg_cache_home + "/kiln";
  return f.home.empty() ? "" : f.home + "/.cache/kiln";
}

}  // namespace

struct DiskCache::Impl {
  Options options;
  std::string suffix;  // of file names: the identity, shortened
  std::mutex mutex;
  std::optional<std::size_t> total;  // bytes in the directory, once known; guarded by mutex
  std::atomic<bool> unwritable{false};
  bool noexec = false;
  std::atomic<bool> noexec_reported{false};

  explicit Impl(Options given) : options(std::move(given)) {
    while (options.directory.size() > 1 && options.directory.back() == '/') options.directory.pop_back();
    suffix = hash128(options.identity).hex().substr(0, 8);
    if (options.directory.empty()) return;
    std::string problem = objection(options.directory);
    if (!problem.empty()) {
      warn(fmt::format("cache directory {} {}{}", options.directory, problem, kGoOn));
      options.directory.clear();
      return;
    }
    struct statvfs volume;
    noexec = statvfs(options.directory.c_str(), &volume) == 0 && (volume.f_flag & ST_NOEXEC) != 0;
  }

  std::string path(std::string_view kind, std::string_view key) const {
    bool plain =
        !key.empty() && key.size() <= 128 && key.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz_-") == std::string_view::npos;
    std::string stem = plain ? std::string(key) : hash128(key).hex();
    return fmt::format("{}/{}-{}-{}.{}", options.directory, kind, stem, suffix, kind == "kernel" ? "so" : "bin");
  }

  /// What is wrong with a file's bytes; empty, with the trailer cut off, if nothing is.
  std::string verify(std::string& bytes, std::string_view kind, std::string_view key) const {
    Trailer trailer, expected;
    if (bytes.size() < sizeof trailer) return "it is cut short";
    std::memcpy(&trailer, bytes.data() + bytes.size() - sizeof trailer, sizeof trailer);
    if (std::memcmp(trailer.magic, expected.magic, sizeof trailer.magic) != 0) return "it is cut short or no cache file";
    if (trailer.size != bytes.size() - sizeof trailer) return "its size differs";
    if (trailer.name != hash_name(kind, key, options.identity)) return "it belongs to another key";
    bytes.resize(bytes.size() - sizeof trailer);
    if (trailer.checksum != hash128(bytes)) return "its checksum differs";
    return "";
  }

  void renew(int fd, const struct stat& status) const {
    if (std::time(nullptr) - status.st_mtim.tv_sec >= kRenewAfter) futimens(fd, nullptr);
  }

  std::optional<std::string> load(std::string_view kind, std::string_view key) {
    if (options.directory.empty()) return std::nullopt;
    std::string file = path(kind, key);
    Descriptor descriptor{open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    if (descriptor.fd < 0) return std::nullopt;
    struct stat status;
    if (fstat(descriptor.fd, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    std::string problem;
    std::string bytes;
    if (static_cast<std::uint64_t>(status.st_size) > std::max<std::size_t>(options.bound, 1 << 20)) {
      problem = "it is larger than the cache may be";
    } else {
      bytes.resize(static_cast<std::size_t>(status.st_size));
      problem = read_all(descriptor.fd, bytes) ? verify(bytes, kind, key) : "it cannot be read";
    }
    if (!problem.empty()) {
      unlink(file.c_str());
      warn(fmt::format("cache file {} is damaged: {}; deleted, it will be made anew", file, problem));
      return std::nullopt;
    }
    renew(descriptor.fd, status);
    log(LogTopic::cache, fmt::format("hit {} {}", kind, key));
    return bytes;
  }

  /// True, with one warning, if shared objects cannot be opened from the directory.
  bool refuses_objects() {
    if (noexec && !noexec_reported.exchange(true)) {
      warn(fmt::format("cache directory {} is mounted noexec; kernels are loaded through memory", options.directory));
    }
    return noexec;
  }

  void fail_store(const std::string& file) {
    std::string why = error_text();
    if (!unwritable.exchange(true))
      warn(fmt::format("cache file {} cannot be written: {}; going on without writing to the disk cache", file, why));
  }

  void store(std::string_view kind, std::string_view key, std::string_view payload) {
    if (options.directory.empty() || unwritable || payload.size() + sizeof(Trailer) > options.bound) return;
    static std::atomic<unsigned> counter{0};
    std::string file = path(kind, key);
    std::string temporary = fmt::format("{}/{}{}-{}", options.directory, kTemporary, getpid(), counter++);
    Trailer trailer;
    trailer.size = payload.size();
    trailer.name = hash_name(kind, key, options.identity);
    trailer.checksum = hash128(payload);
    {
      Descriptor descriptor{open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
      if (descriptor.fd < 0) return fail_store(file);
      std::string_view tail(reinterpret_cast<const char*>(&trailer), sizeof trailer);
      if (!write_all(descriptor.fd, payload) || !write_all(descriptor.fd, tail)) {
        fail_store(file);
        unlink(temporary.c_str());
        return;
      }
    }
    if (rename(temporary.c_str(), file.c_str()) != 0) {
      fail_store(file);
      unlink(temporary.c_str());
      return;
    }
    log(LogTopic::cache, fmt::format("stored {} {} ({} bytes)", kind, key, payload.size()));
    keep_bound(payload.size() + sizeof trailer);
  }

  std::vector<Entry> list() const {
    std::vector<Entry> entries;
    DIR* directory = opendir(options.directory.c_str());
    if (directory == nullptr) return entries;
    while (const dirent* item = readdir(directory)) {
      std::string file = options.directory + "/" + item->d_name;
      struct stat status;
      if (lstat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
      if (std::string_view(item->d_name).starts_with(kTemporary)) {
        if (std::time(nullptr) - status.st_mtim.tv_sec > kAbandoned) unlink(file.c_str());
        continue;
      }
      entries.push_back({std::move(file), static_cast<std::size_t>(status.st_size), status.st_mtim});
    }
    closedir(directory);
    return entries;
  }

  /// After a file of `added` bytes: if the directory is over its bound, deletes what was used least recently until a tenth is free.
  void keep_bound(std::size_t added) {
    std::lock_guard lock(mutex);
    if (total) *total += added;
    if (total && *total <= options.bound) return;
    std::vector<Entry> entries = list();
    std::size_t sum = 0;
    for (const Entry& entry : entries) sum += entry.bytes;
    total = sum;
    if (sum <= options.bound) return;
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec < b.used.tv_sec : a.used.tv_nsec < b.used.tv_nsec;
    });
    std::size_t target = options.bound - options.bound / 10;
    for (auto entry = entries.begin(); entry + 1 < entries.end() && *total > target; ++entry) {
      if (unlink(entry->path.c_str()) == 0) log(LogTopic::cache, "evicted " + entry->path);
      *total -= entry->bytes;
    }
  }
};

namespace {

/// The compiler's build id, or, where there is no compiler, the one whose code was cached last: cached code works without the compiler.
std::string compiler_identity(const std::string& directory, std::size_t bound) {
  constexpr std::string_view kind = "compiler";
  std::string id = compiler_build_id();
  DiskCache records({directory, bound, own_build_id()});
  if (records.directory().empty()) return id;
  std::optional<std::string> recorded = records.load(kind, own_build_id());
  if (id.empty()) return recorded.value_or("");
  if (recorded != id) records.store(kind, own_build_id(), id);
  return id;
}

DiskCache::Options default_options() {
  DiskCache::Options options;
  options.directory = default_directory();
  options.bound = flags().cache_bytes;
  if (options.directory.empty()) return options;
  // An unusable directory is reported once, by the cache itself.
  std::string compiler = objection(options.directory).empty() ? compiler_identity(options.directory, options.bound) : "";
  const Target& target = current_target();
  options.identity = fmt::format("{}\n{}\n{}\n{}\n{}", kKernelAbiVersion, own_build_id(), compiler, target.cpu, target.features);
  return options;
}

}  // namespace

DiskCache& DiskCache::instance() {
  static DiskCache* cache = new DiskCache(default_options());
  return *cache;
}

DiskCache::DiskCache(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
DiskCache::~DiskCache() = default;

std::optional<std::string> DiskCache::load(std::string_view kind, std::string_view key) { return impl_->load(kind, key); }

void DiskCache::store(std::string_view kind, std::string_view key, std::string_view payload) { impl_->store(kind, key, payload); }

bool DiskCache::contains(std::string_view kind, std::string_view key) { return impl_->load(kind, key).has_value(); }

std::optional<std::string> DiskCache::kernel_path(std::string_view key) {
  if (impl_->refuses_objects() || !impl_->load("kernel", key)) return std::nullopt;
  return impl_->path("kernel", key);
}

const std::string& DiskCache::directory() const { return impl_->options.directory; }

}  // namespace kiln::runtime
