// Errors with the user's line, and interned strings.
#include "base/require.h"

#include <mutex>
#include <shared_mutex>
#include <unordered_set>
#include <utility>

namespace kiln {
namespace {

constinit thread_local Loc current_location{};
constinit thread_local const char* context_kind = nullptr;
constinit thread_local const std::string* context_name = nullptr;

std::string with_context(std::string message) {
  if (context_name == nullptr || context_name->empty()) return message;
  return fmt::format("{} (in {} '{}')", message, context_kind, *context_name);
}

std::string with_place(const std::string& message, Loc where) {
  if (!where.known()) return message;
  return fmt::format("{}:{}: {}", where.file, where.line, message);
}

/// Hashes text and views alike, so that a look-up copies nothing.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

struct InternTable {
  std::shared_mutex mutex;
  std::unordered_set<std::string, TextHash, std::equal_to<>> texts;
};

InternTable& intern_table() {
  static InternTable* table = new InternTable;  // never destroyed: interned text outlives every static object
  return *table;
}

}  // namespace

Error::Error(std::string message, Loc where)
    : message_(with_context(std::move(message))), text_(with_place(message_, where)), where_(where) {}

Loc user_location() { return current_location; }

LocationScope::LocationScope(Loc where) : outermost_(!current_location.known()) {
  if (outermost_) current_location = where;
}

LocationScope::~LocationScope() {
  if (outermost_) current_location = Loc{};
}

ErrorContext::ErrorContext(const char* kind, const std::string& name)
    : saved_kind_(std::exchange(context_kind, kind)), saved_name_(std::exchange(context_name, &name)) {}

ErrorContext::~ErrorContext() {
  context_kind = saved_kind_;
  context_name = saved_name_;
}

LocationOverride::LocationOverride(Loc where) : saved_(current_location) {
  if (where.known()) current_location = where;
}

LocationOverride::~LocationOverride() { current_location = saved_; }

const char* intern(std::string_view text) {
  InternTable& table = intern_table();
  {
    std::shared_lock lock(table.mutex);
    auto found = table.texts.find(text);
    if (found != table.texts.end()) return found->c_str();
  }
  std::unique_lock lock(table.mutex);
  return table.texts.emplace(text).first->c_str();
}

void internal_error(const char* condition, const char* file, int line, const std::string& message) {
  throw InternalError(fmt::format("internal error at {}:{}: {} ({}); this is a bug in Kiln", file, line, message, condition),
                      user_location());
}

}  // namespace kiln
