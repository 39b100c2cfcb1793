// Profiles: where the time of compiled calls and eager ops goes.
#pragma once
#include <kiln/loc.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kiln {

/// The most that this machine does, by measurement.
struct Peaks {
  /// Data that stays in memory of `bytes` for all threads together moves at most at this speed.
  struct Level {
    const char* name;  ///< "L2", "L3", "memory"
    std::int64_t bytes;
    double gigabytes_per_second;
  };
  double gflops = 0;          ///< float32 operations by multiply-adds, two each, in 1e9 a second
  std::vector<Level> levels;  ///< from near to far; the last one holds anything

  /// The level that holds so many bytes.
  const Level& level(std::int64_t bytes) const;
  /// No kernel does so many operations and moves so many bytes, of so much distinct memory, in fewer microseconds.
  double least_us(std::int64_t flops, std::int64_t bytes, std::int64_t footprint) const;
};

/// Measures with so many threads, or as many as Kiln uses (0); takes a third of a second at the first call for that number.
const Peaks& measure_peaks(int threads = 0);

/// Equal work at one place of the program, summed up.
struct ProfileEntry {
  enum class Kind {
    call,     ///< calls of a compiled function with one signature
    launch,   ///< one of the kernels that such a call launches
    op,       ///< an op run eagerly
    compile,  ///< tracing a function, making its code, or loading it
  };
  Kind kind = Kind::op;
  std::string what;  ///< the function's name; what a kernel or op computes
  Loc where;         ///< the user's line
  int call = -1;     ///< launch: index of the entry of its call
  int launch = -1;   ///< launch: its place in the call
  std::int64_t count = 0;
  double median_us = 0, total_us = 0;
  double outside_us = 0;       ///< call: median time outside of its launches
  std::int64_t flops = 0;      ///< floating-point operations each time, as Cost::flops counts them
  std::int64_t bytes = 0;      ///< bytes of the tensors read and written each time
  std::int64_t footprint = 0;  ///< bytes of distinct memory among them
};

struct ProfileOptions {
  std::size_t max_spans = 1'000'000;  ///< launches and ops beyond are counted, but not kept
};

/// Records every compiled call, kernel and eager op of the process, on all threads, while it lives:
///
///     kiln::Profile profile;
///     for (auto [x, y] : batches) step(net, adam, x, y);
///     std::cout << profile.table();
///     profile.write_trace("step.json");  // for https://ui.perfetto.dev
///
/// KILN_PROFILE=FILE does the same for a whole program: the trace goes to FILE ("%p" becomes the process id), the table to stderr.
/// Recording costs about 0.1 us a kernel; programs without a profile pay nothing.
class [[nodiscard]] Profile {
 public:
  explicit Profile(const ProfileOptions& options = {});
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  /// Ends the recording.
  void stop();
  /// What was recorded so far: calls by total time, each followed by its launches in order; then eager ops, then compilations.
  std::vector<ProfileEntry> entries() const;
  /// The same as text, with rates and the share of the machine's peak; measures the peaks at first use.
  std::string table() const;
  /// Writes what was recorded so far as Chrome trace events. Throws FileError if the file cannot be written.
  void write_trace(const std::string& path) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kiln
