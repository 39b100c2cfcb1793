// The ambient state of calls.
#include <kiln/mode.h>

#include <atomic>

#include "frontend/tracing.h"

namespace kiln {

namespace {

constinit thread_local bool training_now = false;
std::atomic<bool> eagerly{false};

}  // namespace

bool is_training() { return training_now; }

TrainingScope::TrainingScope(bool training) : saved_(training_now) { training_now = training; }
TrainingScope::~TrainingScope() { training_now = saved_; }

void run_eagerly(bool on) { eagerly.store(on, std::memory_order_relaxed); }
bool runs_eagerly() { return eagerly.load(std::memory_order_relaxed); }

}  // namespace kiln
