// Runs one op's eager kernel on guarded, poisoned memory and compares it with the op's double reference.
#pragma once
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/target.h"
#include "base/thread_pool.h"
#include "ops/op.h"
#include "tests/catch.h"
#include "tests/rounding.h"

namespace kiln::testing {

/// A tensor's bytes between guard bytes, which a kernel must not touch; odd alignment on purpose.
class GuardedTensor {
 public:
  explicit GuardedTensor(TensorType type) : type_(std::move(type)), bytes_(2 * kGuard + size(), std::byte{0xA5}) {
    std::memset(data(), 0xFF, size());
  }
  GuardedTensor(TensorType type, const std::vector<double>& numbers) : GuardedTensor(std::move(type)) {
    visit_dtype(type_.dtype, [&]<class T>(std::type_identity<T>) {
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        T value;
        if constexpr (std::same_as<T, float16>) {
          value = to_float16(numbers[i]);
        } else if constexpr (std::same_as<T, bfloat16>) {
          value = to_bfloat16(numbers[i]);
        } else {
          value = static_cast<T>(numbers[i]);
        }
        std::memcpy(data() + i * sizeof(T), &value, sizeof(T));
      }
    });
  }

  std::byte* data() { return bytes_.data() + kGuard; }
  std::size_t size() const { return static_cast<std::size_t>(type_.shape.count()) * size_of(type_.dtype); }
  ops::View view() { return {data(), type_.dtype, type_.shape}; }
  const TensorType& type() const { return type_; }
  bool guards_hold() const {
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (bytes_[i] != std::byte{0xA5} || bytes_[bytes_.size() - 1 - i] != std::byte{0xA5}) return false;
    }
    return true;
  }
  std::vector<double> numbers() {
    std::vector<double> out;
    visit_dtype(type_.dtype, [&]<class T>(std::type_identity<T>) {
      for (std::size_t i = 0; i < size() / sizeof(T); ++i) {
        T value;
        std::memcpy(&value, data() + i * sizeof(T), sizeof(T));
        if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>) {
          out.push_back(to_double(value));
        } else {
          out.push_back(static_cast<double>(value));
        }
      }
    });
    return out;
  }

 private:
  static constexpr std::size_t kGuard = 64;
  TensorType type_;
  std::vector<std::byte> bytes_;
};

struct OpCase {
  const ops::OpDef* op = nullptr;
  std::vector<TensorType> types;
  std::vector<std::vector<double>> operands;
  Attrs attrs;

  std::string str() const {
    std::string text(op->name);
    for (const TensorType& t : types) text += " " + t.str();
    for (const auto& [name, value] : attrs) {
      text += std::string(" ") + name + "=";
      if (const auto* s = std::get_if<std::string>(&value)) text += *s;
      if (const auto* i = std::get_if<std::int64_t>(&value)) text += std::to_string(*i);
      if (const auto* shape = std::get_if<Shape>(&value)) text += shape->str();
      if (const auto* ints = std::get_if<Ints>(&value)) {
        for (std::int64_t x : *ints) text += std::to_string(x) + ",";
      }
    }
    return text;
  }
};

/// Half a unit in the last place of 1.
inline double unit_roundoff(DType dtype) { return epsilon(dtype) / 2; }
/// What the accumulator rounds to.
inline double accumulator_roundoff(DType dtype) { return size_of(dtype) == 2 ? 0x1p-24 : unit_roundoff(dtype); }

/// The op's result computed with `threads` threads; checks the guards.
inline GuardedTensor run_kernel(const OpCase& c, int threads) {
  set_num_threads(threads);
  TensorType type = c.op->infer(*c.op, c.types, c.attrs);
  std::vector<GuardedTensor> operands;
  for (std::size_t i = 0; i < c.types.size(); ++i) operands.emplace_back(c.types[i], c.operands[i]);
  std::vector<ops::View> views;
  for (GuardedTensor& t : operands) views.push_back(t.view());
  GuardedTensor result(type);
  c.op->kernel(*c.op, views, result.view(), c.attrs);
  CHECK(result.guards_hold());
  for (GuardedTensor& t : operands) CHECK(t.guards_hold());
  return result;
}

/// Operands as the dtypes store them.
inline std::vector<std::vector<double>> stored(const OpCase& c) {
  std::vector<std::vector<double>> result;
  for (std::size_t i = 0; i < c.types.size(); ++i) result.push_back(GuardedTensor(c.types[i], c.operands[i]).numbers());
  return result;
}

inline std::vector<double> run_reference(const OpCase& c, const std::vector<std::vector<double>>& operands) {
  std::vector<double> result;
  c.op->reference(*c.op, c.types, operands, c.op->infer(*c.op, c.types, c.attrs), result, c.attrs);
  return result;
}

/// The kernel agrees with the reference within (roundings of the accumulator) * magnitude[i] and one rounding of the result; NaN and
/// infinities exactly. The bits are the same for 1, 2 and 3 threads.
inline void check_kernel(const OpCase& c, double roundings, const std::vector<double>& magnitude) {
  INFO(c.str());
  GuardedTensor result = run_kernel(c, 1);
  for (int threads : {2, 3}) {
    GuardedTensor other = run_kernel(c, threads);
    CHECK(std::memcmp(result.data(), other.data(), result.size()) == 0);
  }
  set_num_threads(1);
  std::vector<double> expected = run_reference(c, stored(c)), got = result.numbers();
  REQUIRE(expected.size() == got.size());
  DType dtype = result.type().dtype;
  int bad = 0;
  for (std::size_t i = 0; i < got.size() && bad < 3; ++i) {
    double bound = unit_roundoff(dtype) * std::abs(expected[i]) * 1.01 + smallest(dtype);
    if (!magnitude.empty() && is_floating(dtype)) bound += roundings * accumulator_roundoff(dtype) * magnitude[i] * 1.01;
    bool same = std::isnan(expected[i]) ? std::isnan(got[i]) : got[i] == expected[i] || std::abs(got[i] - expected[i]) <= bound;
    if (same) continue;
    ++bad;
    UNSCOPED_INFO("element " << i << ": " << got[i] << ", reference " << expected[i] << ", bound " << bound);
    CHECK(same);
  }
}

/// Bits of a result as one number; all NaNs alike.
inline std::uint64_t digest(GuardedTensor result, std::uint64_t hash) {
  for (double x : result.numbers()) {
    std::uint64_t bits = 0;
    if (!std::isnan(x)) std::memcpy(&bits, &x, sizeof bits);
    hash = (hash ^ bits) * 0x100000001b3u;
  }
  return hash;
}

/// Output of this test program run again with KILN_TARGET = `target` on the hidden test case `name`; "" if this CPU lacks the target.
inline std::string run_with_target(const std::string& target, const std::string& name) {
  if (target == "avx512" && current_target().isa != Isa::avx512) return "";
  if (target == "avx2" && current_target().isa == Isa::baseline) return "";
  std::string command = "KILN_TARGET=" + target + " $(readlink -f /proc/" + std::to_string(getpid()) + "/exe) '" + name + "' 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char line[256];
  while (pipe != nullptr && std::fgets(line, sizeof line, pipe) != nullptr) {
    if (std::strncmp(line, "digest ", 7) == 0) output = line;
  }
  if (pipe != nullptr) pclose(pipe);
  return output;
}

}  // namespace kiln::testing
