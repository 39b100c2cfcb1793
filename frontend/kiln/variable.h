// Variable: the only mutable thing. Traced functions read and write variables as state.
#pragma once
#include <kiln/tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kiln {

namespace graph {
struct VariableState;
}

struct VariableOptions {
  std::string name = {};  ///< for people: "fc1/kernel"
  bool trainable = true;  ///< watched by every GradientTape
};

/// A named, mutable tensor of fixed dtype and shape. A copy is a new variable with the same value, and only `Variable b{a}` copies.
class Variable {
 public:
  /// Undefined, until one is moved in.
  Variable() noexcept;
  /// Throws TraceError for a symbolic initial value, and inside a function that was traced before.
  explicit Variable(const Tensor& initial, VariableOptions options = {}, Loc where = Loc::here());
  explicit Variable(const Variable& other);
  Variable(Variable&& other) noexcept;
  Variable& operator=(const Variable&) = delete;
  Variable& operator=(Variable&& other) noexcept;
  ~Variable();

  /// The current value. Throws StateError if undefined.
  operator Tensor() const { return value(); }
  Tensor value() const;

  /// Replaces the value (weak scalars convert). Throws ShapeError or DTypeError if the new value's type differs.
  void assign(const Arg& value);
  void assign_add(const Arg& delta);
  void assign_sub(const Arg& delta);

  bool defined() const { return state_ != nullptr; }
  /// Never reused; 0 if undefined.
  std::uint64_t id() const;
  const std::string& name() const;
  void set_name(std::string name);
  bool trainable() const;
  DType dtype() const;
  const Shape& shape() const;

 private:
  friend struct detail::Access;
  std::shared_ptr<graph::VariableState> state_;
};

/// A variable that belongs to somebody else.
struct VariableRef {
  Variable* ptr;
  VariableRef(Variable& v) : ptr(&v) {}
  Variable& operator*() const { return *ptr; }
  Variable* operator->() const { return ptr; }
};
using Variables = std::vector<VariableRef>;

Tensor& operator+=(Variable&, const Arg&) = delete;  // write v.assign_add(x)
Tensor& operator-=(Variable&, const Arg&) = delete;  // write v.assign_sub(x)

namespace detail {

/// While alive, ops run eagerly although a function is being traced, and new variables belong to the object that makes them:
/// the first call of a layer builds its weights inside one.
class BuildScope {
 public:
  BuildScope();
  ~BuildScope();
  BuildScope(const BuildScope&) = delete;
  BuildScope& operator=(const BuildScope&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Base of stateful objects whose content a signature names by id alone (layers, optimizers). A copy is a new object with a new id.
class Identity {
 public:
  Identity();
  Identity(const Identity&);
  Identity(Identity&& other) noexcept;
  Identity& operator=(const Identity&);
  Identity& operator=(Identity&& other) noexcept;
  virtual ~Identity() = default;
  /// Never reused.
  std::uint64_t id() const { return id_; }

 protected:
  /// A new id: what was traced with this object no longer holds.
  void renew();

 private:
  std::uint64_t id_;
};

}  // namespace detail
}  // namespace kiln
