// The disk cache: hits, damage of every kind, foreign and unwritable directories, the bound, other builds.
#include "runtime/disk_cache.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "runtime/build_id.h"
#include "tests/catch.h"
#include "tests/stderr_text.h"
#include "tests/temporary_directory.h"

using kiln::runtime::DiskCache;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMegabyte = 1 << 20;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_file(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// The only file of a directory.
fs::path only_file(const std::string& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
  REQUIRE(files.size() == 1);
  return files[0];
}

/// What load says, after `change` was done to the bytes of the stored file.
template <class Change>
std::string damage(const Change& change) {
  TemporaryDirectory temporary;
  DiskCache cache({temporary.path(), kMegabyte, "build 1"});
  cache.store("plan", "abc123", "some payload");
  fs::path file = only_file(temporary.path());
  std::string bytes = read_file(file);
  change(bytes);
  write_file(file, bytes);
  std::optional<std::string> got = "untouched";
  std::string text = stderr_text([&] { got = cache.load("plan", "abc123"); });
  CHECK_FALSE(got);
  CHECK_FALSE(fs::exists(file));
  // The next run makes it anew.
  cache.store("plan", "abc123", "some payload");
  CHECK(cache.load("plan", "abc123") == "some payload");
  std::size_t at = text.find(file.string());
  REQUIRE(at != std::string::npos);
  return text.replace(at, file.string().size(), "FILE");
}

}  // namespace

TEST_CASE("what was stored is found, by kind, key and build") {
  TemporaryDirectory temporary;
  DiskCache cache({temporary.path(), kMegabyte, "build 1"});
  CHECK_FALSE(cache.load("plan", "k1"));
  cache.store("plan", "k1", "first");
  cache.store("plan", "k2", std::string(3, '\0'));
  cache.store("kernel", "k1", "object");
  cache.store("plan", "A key/../with odd characters", "odd");
  CHECK(cache.load("plan", "k1") == "first");
  CHECK(cache.load("plan", "k2") == std::string(3, '\0'));
  CHECK(cache.load("kernel", "k1") == "object");
  CHECK(cache.load("plan", "A key/../with odd characters") == "odd");
  CHECK(cache.contains("plan", "k1"));
  CHECK_FALSE(cache.contains("plan", "k3"));
  cache.store("plan", "k1", "second");
  CHECK(cache.load("plan", "k1") == "second");
  DiskCache other({temporary.path(), kMegabyte, "build 2"});
  CHECK_FALSE(other.load("plan", "k1"));
  CHECK(cache.load("plan", "k1") == "second");
  CHECK(*cache.kernel_path("k1") == fs::path(*cache.kernel_path("k1")).string());
  CHECK(fs::path(*cache.kernel_path("k1")).extension() == ".so");
  CHECK_FALSE(cache.kernel_path("k2"));
}

TEST_CASE("the directory and its parents are made for the owner alone") {
  TemporaryDirectory temporary;
  std::string directory = temporary.path() + "/a/b/c";
  DiskCache cache({directory, kMegabyte, ""});
  cache.store("plan", "k", "x");
  for (std::string path : {temporary.path() + "/a", directory}) {
    struct stat status;
    REQUIRE(stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
  }
  CHECK((fs::status(only_file(directory)).permissions() & fs::perms::all) == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("damaged files are deleted, reported and made anew") {
  auto text = [](const std::string& how) {
    return "kiln: warning: cache file FILE is damaged: " + how + "; deleted, it will be made anew\n";
  };
  CHECK(damage([](std::string& b) { b.clear(); }) == text("it is cut short"));
  CHECK(damage([](std::string& b) { b.resize(20); }) == text("it is cut short"));
  CHECK(damage([](std::string& b) { b.pop_back(); }) == text("it is cut short or no cache file"));
  CHECK(damage([](std::string& b) { b = std::string(500, 'x'); }) == text("it is cut short or no cache file"));
  CHECK(damage([](std::string& b) { b.erase(0, 3); }) == text("its size differs"));
  CHECK(damage([](std::string& b) { b[4] ^= 1; }) == text("its checksum differs"));
  CHECK(damage([](std::string& b) { b.back() ^= 1; }) == text("its checksum differs"));
  CHECK(damage([](std::string& b) { b[b.size() - 20] ^= 1; }) == text("it belongs to another key"));
  CHECK(damage([](std::string& b) { b.insert(0, std::string(2 << 20, 'x')); }) == text("it is larger than the cache may be"));
}

TEST_CASE("every single flipped byte is noticed") {
  TemporaryDirectory temporary;
  DiskCache cache({temporary.path(), kMegabyte, "build 1"});
  cache.store("plan", "k", "a payload");
  fs::path file = only_file(temporary.path());
  std::string good = read_file(file);
  stderr_text([&] {
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x40);
      write_file(file, bad);
      REQUIRE_FALSE(cache.load("plan", "k"));
    }
  });
}

TEST_CASE("one key's file under another's name is not taken for it") {
  TemporaryDirectory temporary;
  DiskCache cache({temporary.path(), kMegabyte, "build 1"});
  cache.store("plan", "k1", "one");
  fs::path one = only_file(temporary.path());
  std::string other = one.string();
  other.replace(other.find("k1"), 2, "k2");
  fs::copy_file(one, other);
  stderr_text([&] { CHECK_FALSE(cache.load("plan", "k2")); });
  CHECK(cache.load("plan", "k1") == "one");
}

TEST_CASE("a link in the cache is not followed") {
  TemporaryDirectory temporary, elsewhere;
  DiskCache cache({temporary.path(), kMegabyte, "build 1"});
  cache.store("plan", "k1", "one");
  fs::path file = only_file(temporary.path());
  fs::path moved = elsewhere.path() + "/moved";
  fs::rename(file, moved);
  fs::create_symlink(moved, file);
  CHECK_FALSE(cache.load("plan", "k1"));
}

// Only root can make one: tests/cache_directory runs it, and says so where it cannot.
TEST_CASE("in its own process: a directory of another user is refused", "[.][foreign]") {
  TemporaryDirectory temporary;
  REQUIRE(chown(temporary.path().c_str(), 12345, 12345) == 0);
  std::string text = stderr_text([&] {
    DiskCache cache({temporary.path(), kMegabyte, ""});
    cache.store("plan", "k", "x");
    CHECK_FALSE(cache.load("plan", "k"));
    CHECK_FALSE(cache.kernel_path("k"));
    CHECK(cache.directory().empty());
  });
  CHECK(text ==
        "kiln: warning: cache directory " + temporary.path() + " belongs to user 12345, not to user 0; going on without a disk cache\n");
}

TEST_CASE("a directory that others can write to is refused") {
  TemporaryDirectory temporary;
  chmod(temporary.path().c_str(), 0777);
  std::string text = stderr_text([&] { DiskCache({temporary.path(), kMegabyte, ""}).store("plan", "k", "x"); });
  CHECK(text ==
        "kiln: warning: cache directory " + temporary.path() + " is writable by others (mode 0777); going on without a disk cache\n");
  CHECK(fs::is_empty(temporary.path()));
}

TEST_CASE("a directory that cannot be made") {
  TemporaryDirectory temporary;
  std::string file = temporary.path() + "/file";
  write_file(file, "not a directory");
  CHECK(stderr_text([&] { DiskCache({file + "/cache", kMegabyte, ""}); }) ==
        "kiln: warning: cache directory " + file + "/cache cannot be created: Not a directory; going on without a disk cache\n");
  CHECK(stderr_text([&] { DiskCache({file, kMegabyte, ""}); }) ==
        "kiln: warning: cache directory " + file + " is not a directory; going on without a disk cache\n");
}

TEST_CASE("a directory that vanishes or fills up is reported once") {
  TemporaryDirectory temporary;
  std::string directory = temporary.path() + "/cache";
  DiskCache cache({directory, kMegabyte, ""});
  cache.store("plan", "k1", "one");
  std::string file = only_file(directory).string();
  fs::remove_all(directory);
  std::string text = stderr_text([&] {
    cache.store("plan", "k1", "one");
    cache.store("plan", "k1", "one");
    CHECK_FALSE(cache.load("plan", "k1"));
  });
  CHECK(text == "kiln: warning: cache file " + file +
                    " cannot be written: No such file or directory; going on without writing to the disk cache\n");
}

TEST_CASE("without a directory there is no cache and no warning") {
  CHECK(stderr_text([] {
          DiskCache cache({"", kMegabyte, ""});
          cache.store("plan", "k", "x");
          CHECK_FALSE(cache.load("plan", "k"));
        }) == "");
}

TEST_CASE("the directory stays within its bound, and what was used lately stays") {
  TemporaryDirectory temporary;
  DiskCache cache({temporary.path(), 100000, ""});
  auto age = [&](const std::string& key, int seconds) {
    for (const auto& entry : fs::directory_iterator(temporary.path())) {
      if (entry.path().filename().string().find("-" + key + "-") == std::string::npos) continue;
      fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - std::chrono::seconds(seconds));
    }
  };
  for (int i = 0; i < 9; ++i) {
    cache.store("plan", "k" + std::to_string(i), std::string(10000, 'x'));
    age("k" + std::to_string(i), 1000 - i);
  }
  CHECK(cache.load("plan", "k0"));  // the oldest, but used just now
  cache.store("plan", "k9", std::string(10000, 'x'));
  std::uintmax_t total = 0;
  for (const auto& entry : fs::directory_iterator(temporary.path())) total += entry.file_size();
  CHECK(total <= 100000);
  CHECK(cache.contains("plan", "k0"));
  CHECK_FALSE(cache.contains("plan", "k1"));
  CHECK(cache.contains("plan", "k8"));
  CHECK(cache.contains("plan", "k9"));
  cache.store("plan", "huge", std::string(200000, 'x'));
  CHECK_FALSE(cache.contains("plan", "huge"));
}

TEST_CASE("processes and threads that write the same key at once") {
  TemporaryDirectory temporary;
  auto work = [&] {
    DiskCache cache({temporary.path(), kMegabyte, ""});
    for (int i = 0; i < 300; ++i) {
      cache.store("plan", "k", std::string(5000, 'x'));
      auto got = cache.load("plan", "k");
      if (!got || *got != std::string(5000, 'x')) return false;
    }
    return true;
  };
  pid_t child = fork();
  if (child == 0) _exit(work() ? 0 : 1);
  bool other_works = false;
  std::thread other([&] { other_works = work(); });
  CHECK(work());
  other.join();
  CHECK(other_works);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  only_file(temporary.path());
}

TEST_CASE("build ids are read from the note, in memory and in the file alike") {
  std::string own = kiln::runtime::own_build_id();
  CHECK(own.size() >= 16);
  CHECK(own.find('-') == std::string::npos);
  CHECK(kiln::runtime::file_build_id(kiln::runtime::own_path()) == own);
  CHECK(kiln::runtime::file_build_id("/no/such/file").empty());
  TemporaryDirectory temporary;
  std::string path = temporary.path() + "/text";
  write_file(path, "no ELF file");
  CHECK(kiln::runtime::file_build_id(path).substr(0, 2) == "b-");
}

TEST_CASE("in its own process: kernels of a volume mounted noexec", "[.][noexec]") {
  const std::string directory = std::getenv("KILN_TEST_OUTPUT");
  std::string text = stderr_text([&] {
    DiskCache cache({directory, kMegabyte, ""});
    cache.store("kernel", "k", "object");
    CHECK_FALSE(cache.kernel_path("k"));
    CHECK_FALSE(cache.kernel_path("k"));
    CHECK(cache.load("kernel", "k") == "object");
  });
  CHECK(text == "kiln: warning: cache directory " + directory + " is mounted noexec; kernels are loaded through memory\n");
}

TEST_CASE("in its own process: store", "[.][store]") { DiskCache::instance().store("plan", "k", "made with a compiler"); }

TEST_CASE("in its own process: load", "[.][load]") { CHECK(DiskCache::instance().load("plan", "k") == "made with a compiler"); }

TEST_CASE("what was cached is found when the compiler is gone, but not under another compiler") {
  TemporaryDirectory temporary;
  std::string program = fs::read_symlink("/proc/self/exe").string();
  auto run = [&](const std::string& compiler, const std::string& test) {
    return std::system(
        ("KILN_CACHE_DIR='" + temporary.path() + "/cache' KILN_COMPILER='" + compiler + "' '" + program + "' '" + test + "' >/dev/null")
            .c_str());
  };
  // Any file with a build id of its own will do for a compiler that is never opened.
  CHECK(run(program, "[store]") == 0);
  CHECK(run(program, "[load]") == 0);
  CHECK(run("/no/such/compiler", "[load]") == 0);
  std::string other = temporary.path() + "/other";
  write_file(other, "another compiler");
  CHECK(run(other, "[load]") != 0);
  CHECK(run("/no/such/compiler", "[load]") != 0);
}
