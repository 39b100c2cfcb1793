// How far the CPUs of this process are from each other.
#pragma once

namespace bench {

/// Time in ns in which a cache line goes from one CPU to another and back: the lower quartile over some milliseconds, between the first two
/// CPUs that this thread may run on; 0 if there is but one. CPUs that share a last-level cache take about 100 ns, others several times as
/// long. A virtual machine's CPUs may change places at any time.
double handoff_ns();

}  // namespace bench
