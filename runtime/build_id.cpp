// Finds NT_GNU_BUILD_ID notes in this process and in files.
#include "runtime/build_id.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace kiln::runtime {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (unsigned char c : bytes) text += fmt::format("{:02x}", c);
  return text;
}

std::size_t aligned(std::size_t n) { return (n + 3) & ~std::size_t{3}; }

/// The build id among the notes of one segment, or nothing.
std::string find_note(std::string_view notes) {
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes.data(), sizeof header);
    std::size_t name_at = sizeof header;
    std::size_t value_at = name_at + aligned(header.n_namesz);
    if (value_at > notes.size() || header.n_descsz > notes.size() - value_at) return "";
    std::string_view name = notes.substr(name_at, header.n_namesz);
    if (header.n_type == NT_GNU_BUILD_ID && name == std::string_view("GNU\0", 4)) return hex(notes.substr(value_at, header.n_descsz));
    notes.remove_prefix(std::min(notes.size(), value_at + aligned(header.n_descsz)));
  }
  return "";
}

struct Search {
  std::uintptr_t address;  // of code in the wanted library
  std::string id;
};

int visit_library(dl_phdr_info* info, std::size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  bool holds = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = info->dlpi_phdr[i];
    std::uintptr_t start = info->dlpi_addr + segment.p_vaddr;
    holds = holds || (segment.p_type == PT_LOAD && search.address >= start && search.address < start + segment.p_memsz);
  }
  if (!holds) return 0;
  for (int i = 0; i < info->dlpi_phnum && search.id.empty(); ++i) {
    const ElfW(Phdr) & segment = info->dlpi_phdr[i];
    if (segment.p_type == PT_NOTE)
      search.id = find_note({reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr), segment.p_memsz});
  }
  return 1;
}

std::string size_and_time(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return "";
  return fmt::format("{:x}-{:x}-{:x}", status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

/// A file descriptor that closes itself.
struct File {
  int fd;
  ~File() {
    if (fd >= 0) close(fd);
  }
  bool read_at(void* to, std::size_t count, std::uint64_t offset) const {
    return pread(fd, to, count, static_cast<off_t>(offset)) == static_cast<ssize_t>(count);
  }
};

constexpr std::size_t kMaxNotes = 1 << 16;

std::string note_of_file(const File& file) {
  ElfW(Ehdr) header;
  if (!file.read_at(&header, sizeof header, 0) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "";
  if (header.e_phentsize != sizeof(ElfW(Phdr))) return "";
  std::vector<ElfW(Phdr)> segments(header.e_phnum);
  if (!file.read_at(segments.data(), segments.size() * sizeof(ElfW(Phdr)), header.e_phoff)) return "";
  for (const ElfW(Phdr) & segment : segments) {
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMaxNotes) continue;
    std::string notes(segment.p_filesz, '\0');
    if (!file.read_at(notes.data(), notes.size(), segment.p_offset)) continue;
    std::string id = find_note(notes);
    if (!id.empty()) return id;
  }
  return "";
}

}  // namespace

std::string own_path() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&own_path), &info) == 0 || info.dli_fname == nullptr) return "";
  return info.dli_fname;
}

std::string own_build_id() {
  static const std::string id = [] {
    Search search{reinterpret_cast<std::uintptr_t>(&own_path), ""};
    dl_iterate_phdr(visit_library, &search);
    return search.id.empty() ? size_and_time(own_path()) : search.id;
  }();
  return id;
}

std::string file_build_id(const std::string& path) {
  File file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return "";
  std::string id = note_of_file(file);
  return id.empty() ? size_and_time(path) : id;
}

}  // namespace kiln::runtime
