// Kernels of other machines in the tests: KILN_TEST_TARGET = neon | sve256 compiles for it and runs cross_harness under qemu.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "base/target.h"
#include "tests/catch.h"
#include "tests/temporary_directory.h"

namespace kiln::testing {

/// What tests compile for: this machine, or the one that KILN_TEST_TARGET names.
inline const Target& test_target() {
  static const Target target = [] {
    const char* name = std::getenv("KILN_TEST_TARGET");
    return name == nullptr ? current_target() : generic_target(isa_named(name));
  }();
  return target;
}

/// A process of the harness on an emulated CPU of the test's target. KILN_TEST_EMULATOR is its command line.
class Emulator {
 public:
  struct Arg {
    std::int64_t alias;  ///< an earlier argument whose memory it shares, or -1
    std::vector<std::byte> bytes;
  };

  static Emulator& instance() {
    static Emulator emulator;
    return emulator;
  }

  /// Runs the shared object's kernel; the arguments without an alias have their new bytes. Returns the error that it reports.
  std::int64_t run(const std::string& object, const std::vector<std::int64_t>& dims, std::vector<Arg>& args, bool pieces, bool at_end) {
    const std::string path = directory_.path() + "/kernel.so";
    std::ofstream(path, std::ios::binary) << object;
    send(static_cast<std::int64_t>(path.size()));
    send(path.data(), path.size());
    send(pieces ? 1 : 0);
    send(at_end ? 1 : 0);
    send(static_cast<std::int64_t>(dims.size()));
    send(dims.data(), dims.size() * sizeof(std::int64_t));
    send(static_cast<std::int64_t>(args.size()));
    for (const Arg& a : args) {
      send(a.alias);
      if (a.alias >= 0) continue;
      send(static_cast<std::int64_t>(a.bytes.size()));
      send(a.bytes.data(), a.bytes.size());
    }
    std::int64_t error = 0;
    receive(&error, sizeof error);
    for (Arg& a : args) {
      if (a.alias < 0) receive(a.bytes.data(), a.bytes.size());
    }
    std::remove(path.c_str());
    return error;
  }

 private:
  Emulator() {
    const char* command = std::getenv("KILN_TEST_EMULATOR");
    REQUIRE(command != nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    int to[2], from[2];
    REQUIRE(pipe(to) == 0);
    REQUIRE(pipe(from) == 0);
    child_ = fork();
    if (child_ == 0) {
      dup2(to[0], STDIN_FILENO);
      dup2(from[1], STDOUT_FILENO);
      for (int fd : {to[0], to[1], from[0], from[1]}) close(fd);
      execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
      std::_Exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_ = to[1];
    from_ = from[0];
  }
  ~Emulator() {
    close(to_);
    close(from_);
    waitpid(child_, nullptr, 0);
  }

  void send(std::int64_t value) { send(&value, sizeof value); }
  void send(const void* data, std::size_t bytes) {
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t n = write(to_, at, bytes);
      if (n <= 0) FAIL("the emulator has died");
      at += n;
      bytes -= static_cast<std::size_t>(n);
    }
  }
  void receive(void* data, std::size_t bytes) {
    auto* at = static_cast<char*>(data);
    while (bytes > 0) {
      const ssize_t n = read(from_, at, bytes);
      if (n <= 0) FAIL("the emulator has died");
      at += n;
      bytes -= static_cast<std::size_t>(n);
    }
  }

  TemporaryDirectory directory_;
  pid_t child_ = 0;
  int to_ = -1, from_ = -1;
};

}  // namespace kiln::testing
