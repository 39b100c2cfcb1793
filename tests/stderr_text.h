// What a piece of code writes to stderr.
#pragma once
#include <unistd.h>

#include <cstdio>
#include <string>

/// Runs f; returns everything that reached file descriptor 2 meanwhile.
template <class F>
std::string stderr_text(const F& f) {
  std::FILE* file = std::tmpfile();
  int saved = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
  f();
  dup2(saved, STDERR_FILENO);
  close(saved);
  std::string text(static_cast<std::size_t>(std::ftell(file) < 0 ? 0 : lseek(fileno(file), 0, SEEK_END)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}
