// The log of assignments to Tensor objects of outer regions.
#include "frontend/region.h"

#include <atomic>

#include "frontend/access.h"

namespace kiln::detail {

constinit thread_local std::uint32_t current_region = 0;

namespace {

constinit thread_local RegionScope* innermost = nullptr;
std::atomic<std::uint32_t> last_region{0};

graph::Value held(const Tensor& t) { return t.defined() ? Access::value(t) : graph::Value(); }

}  // namespace

RegionScope::RegionScope() : parent_(innermost), parent_region_(current_region) {
  innermost = this;
  current_region = ++last_region;
}

RegionScope::~RegionScope() {
  innermost = parent_;
  current_region = parent_region_;
  for (Write& w : writes_) {
    if (!keep_) {
      Access::replace(*w.object, std::move(w.old));
    } else if (parent_ != nullptr && Access::region(*w.object) != current_region && parent_->find(w.object) == nullptr) {
      parent_->writes_.push_back(std::move(w));
    }
  }
}

RegionScope::Write* RegionScope::find(const Tensor* object) {
  for (Write& w : writes_) {
    if (w.object == object) return &w;
  }
  return nullptr;
}

void assigning_outer(Tensor& object) noexcept {
  // Regions are numbered upwards: one born in a closed inner region now belongs here.
  if (innermost == nullptr || Access::region(object) > current_region) {
    Access::region(object) = current_region;
    return;
  }
  if (innermost->find(&object) == nullptr) innermost->writes_.push_back({&object, held(object)});
}

void moving_outer(Tensor& from, Tensor& to) noexcept {
  if (Access::region(to) > current_region) Access::region(to) = current_region;
  for (RegionScope* scope = innermost; scope != nullptr; scope = scope->parent_) {
    if (RegionScope::Write* w = scope->find(&from)) w->object = &to;
  }
}

void destroying_outer(Tensor& object) noexcept {
  for (RegionScope* scope = innermost; scope != nullptr; scope = scope->parent_) {
    if (RegionScope::Write* w = scope->find(&object)) {
      *w = std::move(scope->writes_.back());
      scope->writes_.pop_back();
    }
  }
}

}  // namespace kiln::detail
