// Linking in this process, by LLD.
#include <lld/Common/Driver.h>
#include <llvm/Support/Signals.h>
#include <llvm/Support/raw_ostream.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>

#include "base/require.h"
#include "codegen/lower.h"

LLD_HAS_DRIVER(elf)

namespace kiln::codegen {
namespace {

/// An unnamed file in memory, for the linker's input; closed at the end of its scope.
class MemoryFile {
 public:
  explicit MemoryFile(const char* name) : fd_(memfd_create(name, MFD_CLOEXEC)) {
    if (fd_ < 0) throw CompileError("link: cannot make a file in memory", {});
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

  void write_all(const std::string& bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
      if (n <= 0) throw CompileError("link: cannot write a file in memory", {});
      done += static_cast<std::size_t>(n);
    }
  }

 private:
  int fd_;
};

/// A private directory for the linker's output (which cannot be a file in memory), removed at the end of its scope.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    const char* chosen = std::getenv("TMPDIR");
    for (const char* parent : {"/dev/shm", chosen == nullptr ? "/tmp" : chosen, "/tmp"}) {
      path_ = fmt::format("{}/kiln-link-XXXXXX", parent);
      if (mkdtemp(path_.data()) != nullptr) return;
    }
    throw CompileError("link: no directory for temporary files; set TMPDIR", {});
  }
  ~ScratchDirectory() {
    unlink(file().c_str());
    rmdir(path_.c_str());
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  std::string file() const { return path_ + "/kernel.so"; }
  std::string read_all() const {
    std::ifstream in(file(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    if (!in) throw CompileError("link: cannot read the linker's output", {});
    return bytes;
  }

 private:
  std::string path_;
};

/// LLVM handles signals once it has written a file, on a stack of its own. At the end of the scope they are the process's again.
/// One at a time.
class OwnSignals {
 public:
  OwnSignals() {
    alignas(16) static char memory[128 << 10];  // more than LLVM asks for, so that it allocates none
    stack_t ours{};
    ours.ss_sp = memory;
    ours.ss_size = sizeof memory;
    replaced_ = sigaltstack(&ours, &before_) == 0;
  }
  ~OwnSignals() {
    llvm::sys::unregisterHandlers();
    if (replaced_) sigaltstack(&before_, nullptr);
  }
  OwnSignals(const OwnSignals&) = delete;
  OwnSignals& operator=(const OwnSignals&) = delete;

 private:
  stack_t before_{};
  bool replaced_ = false;
};

}  // namespace

std::string link_shared(const std::string& object) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  const OwnSignals signals;
  MemoryFile input("kiln-object");
  const ScratchDirectory output;
  input.write_all(object);
  const std::string in = input.path();
  const std::string out = output.file();
  const std::vector<const char*> arguments = {"ld.lld",          "-shared", "--threads=1",        "-z",      "defs",    "-z",
                                              "noexecstack",     "-z",      "max-page-size=4096", "-z",      "norelro", "--hash-style=gnu",
                                              "--build-id=none", "-o",      out.c_str(),          in.c_str()};
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  const lld::Result result = lld::lldMain(arguments, stream, stream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode != 0) throw CompileError(fmt::format("link: {}", messages), {});
  return output.read_all();
}

}  // namespace kiln::codegen
