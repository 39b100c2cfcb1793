// Elements made ahead of their use, by a thread of their own.
#include <kiln/data.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "base/require.h"

namespace kiln::data::detail {
namespace {

/// The thread starts with the pass and ends with it, or when the cursor goes.
class PrefetchCursor : public Cursor {
 public:
  PrefetchCursor(std::unique_ptr<Cursor> inner, std::int64_t count)
      : inner_(std::move(inner)), capacity_(static_cast<std::size_t>(count)), thread_([this] { fill(); }) {}

  ~PrefetchCursor() override {
    {
      std::lock_guard lock(word_);
      stop_ = true;
    }
    room_.notify_one();
    thread_.join();
  }

  bool next(Element& element) override {
    std::unique_lock lock(word_);
    ready_.wait(lock, [this] { return !elements_.empty() || ended_; });
    if (elements_.empty()) {
      if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
      return false;
    }
    element = std::move(elements_.front());
    elements_.pop_front();
    room_.notify_one();
    return true;
  }

 private:
  void fill() {
    std::exception_ptr error;
    try {
      for (Element element; inner_->next(element); element = {}) {
        std::unique_lock lock(word_);
        room_.wait(lock, [this] { return elements_.size() < capacity_ || stop_; });
        if (stop_) return;
        elements_.push_back(std::move(element));
        ready_.notify_one();
      }
    } catch (...) {
      error = std::current_exception();
    }
    std::lock_guard lock(word_);
    error_ = error;
    ended_ = true;
    ready_.notify_one();
  }

  std::unique_ptr<Cursor> inner_;
  std::size_t capacity_;
  std::mutex word_;
  std::condition_variable ready_, room_;
  std::deque<Element> elements_;
  std::exception_ptr error_;
  bool ended_ = false, stop_ = false;
  std::thread thread_;  ///< last: it uses the others
};

class PrefetchSource : public Source {
 public:
  PrefetchSource(SourcePtr inner, std::int64_t count) : inner_(std::move(inner)), count_(count) {}
  std::unique_ptr<Cursor> open() const override { return std::make_unique<PrefetchCursor>(inner_->open(), count_); }
  std::int64_t size() const override { return inner_->size(); }

 private:
  SourcePtr inner_;
  std::int64_t count_;
};

}  // namespace

SourcePtr prefetch(SourcePtr source, std::int64_t count, Loc where) {
  LocationScope scope(where);
  KILN_REQUIRE(count >= 1, ValueError, "prefetch: {} elements ahead; at least 1 is needed", count);
  return std::make_shared<PrefetchSource>(std::move(source), count);
}

}  // namespace kiln::data::detail
