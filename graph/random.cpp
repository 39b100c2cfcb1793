// The process's random state.
#include "graph/random.h"

#include <mutex>

#include "graph/thread_state.h"
#include "graph/trace.h"

namespace kiln::graph {

namespace {

std::mutex random_word;
RandomKey random_state;

}  // namespace

void set_seed(std::int64_t seed) {
  std::lock_guard lock(random_word);
  random_state = {seed, 0};
}

RandomKey reserve_streams(std::int64_t count) {
  std::lock_guard lock(random_word);
  RandomKey first = random_state;
  random_state.stream += count;
  return first;
}

Value key_value(RandomKey key) {
  runtime::Buffer buffer = runtime::Buffer::allocate(2 * sizeof(std::int64_t));
  auto* words = static_cast<std::int64_t*>(buffer.data());
  words[0] = key.seed;
  words[1] = key.stream;
  return Value::eager({DType::int64, {2}}, std::move(buffer));
}

std::pair<Value, std::int64_t> random_stream() {
  if (Trace* trace = Trace::current(); trace != nullptr) return trace->random_stream();
  RandomKey key = reserve_streams(1);
  if (thread_state.open != nullptr) {
    // An abandoned trace gives back the streams that its initializers took, if nobody took one since.
    journal_undo([key] {
      std::lock_guard lock(random_word);
      if (random_state.seed == key.seed && random_state.stream == key.stream + 1) random_state.stream = key.stream;
    });
  }
  return {key_value(key), 0};
}

}  // namespace kiln::graph
