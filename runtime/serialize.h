// Attributes, literals and lists as bytes, shared by KernelSpec and Plan.
#pragma once
#include <vector>

#include "base/attrs.h"
#include "base/bytes.h"

namespace kiln::runtime {

void write_attrs(ByteWriter& out, const Attrs& attrs);
Attrs read_attrs(ByteReader& in);
void write_literal(ByteWriter& out, const Literal& literal);
Literal read_literal(ByteReader& in);

template <class T>
void write_numbers(ByteWriter& out, const std::vector<T>& numbers) {
  out.put(static_cast<std::uint64_t>(numbers.size()));
  for (T n : numbers) out.put(n);
}

template <class T>
std::vector<T> read_numbers(ByteReader& in) {
  std::vector<T> numbers(in.get_count(sizeof(T)));
  for (T& n : numbers) n = in.get<T>();
  return numbers;
}

/// A list of structs, each written by write(out, entry).
template <class T, class Write>
void write_list(ByteWriter& out, const std::vector<T>& entries, const Write& write) {
  out.put(static_cast<std::uint64_t>(entries.size()));
  for (const T& entry : entries) write(out, entry);
}

template <class T, class Read>
std::vector<T> read_list(ByteReader& in, const Read& read) {
  std::vector<T> entries;
  std::size_t count = in.get_count(1);
  for (std::size_t i = 0; i < count; ++i) entries.push_back(read(in));
  return entries;
}

}  // namespace kiln::runtime
