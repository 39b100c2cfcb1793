// IDX files and MNIST. The files are not trusted: what a header says is checked before memory is taken.
#include <kiln/data.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "base/require.h"
#include "frontend/access.h"
#include "frontend/data/rows.h"

namespace kiln::data {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 30;
constexpr unsigned kReadAhead = 1 << 18;
/// Deflate makes at most this many bytes of one.
constexpr std::uint64_t kLargestRatio = 1032;
constexpr std::uint8_t kUint8 = 0x08;

/// A file that zlib reads, gzipped or plain.
class GzFile {
 public:
  explicit GzFile(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb")) {
    KILN_REQUIRE(file_ != nullptr, FileError, "{}: cannot be opened: {}", path, std::strerror(errno));
    gzbuffer(file_, kReadAhead);
  }
  ~GzFile() { gzclose(file_); }
  GzFile(const GzFile&) = delete;
  GzFile& operator=(const GzFile&) = delete;

  /// No more bytes than this can come out of the file.
  std::uint64_t most_bytes() const {
    struct stat status;
    return stat(path_.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) * kLargestRatio : 0;
  }

  /// Up to `count` bytes; fewer only at the end of the file.
  std::size_t read(void* to, std::size_t count) {
    int got = gzread(file_, to, static_cast<unsigned>(count));
    int code = Z_OK;
    const char* problem = gzerror(file_, &code);
    bool cut = code == Z_BUF_ERROR;  // the end of the file inside the compressed stream
    KILN_REQUIRE(!cut, FileError, "{}: is cut short", path_);
    KILN_REQUIRE(got >= 0 && code == Z_OK, FileError, "{}: is damaged: {}", path_, without_path(problem));
    return static_cast<std::size_t>(got);
  }

 private:
  /// zlib puts "PATH: " before its messages.
  std::string_view without_path(std::string_view problem) const {
    bool named = problem.starts_with(path_) && problem.substr(path_.size()).starts_with(": ");
    return named ? problem.substr(path_.size() + 2) : problem;
  }

  std::string path_;
  gzFile file_;
};

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

Shape read_shape(GzFile& file, int rank, const std::string& path) {
  std::uint8_t lengths[4 * kMaxRank];
  std::size_t wanted = 4 * static_cast<std::size_t>(rank);
  KILN_REQUIRE(file.read(lengths, wanted) == wanted, FileError, "{}: is cut short in its header", path);
  Shape shape;
  std::int64_t elements = 1;
  for (int axis = 0; axis < rank; ++axis) {
    std::int64_t length = big_endian(lengths + 4 * axis);
    shape.push_back(length);
    elements = length == 0 ? 0 : elements > kMaxElements / length ? kMaxElements + 1 : elements * length;
    if (elements == 0) break;
  }
  KILN_REQUIRE(elements > 0, FileError, "{}: the header says no elements", path);
  KILN_REQUIRE(elements <= kMaxElements, FileError, "{}: the header says more than 2^30 elements", path);
  return shape;
}

/// An IDX file's shape and bytes. `magic` is the number that it must start with; 0: any of unsigned bytes.
data::detail::Column read_column(const std::string& path, std::uint32_t magic) {
  GzFile file(path);
  std::uint8_t start[4];
  KILN_REQUIRE(file.read(start, 4) == 4, FileError, "{}: is cut short in its header", path);
  std::uint32_t found = big_endian(start);
  KILN_REQUIRE(magic == 0 || found == magic, FileError, "{}: the magic number is 0x{:08x}, not 0x{:08x}", path, found, magic);
  KILN_REQUIRE(start[0] == 0 && start[1] == 0 && start[2] == kUint8 && start[3] >= 1 && start[3] <= kMaxRank, FileError,
               "{}: the magic number 0x{:08x} is not that of an IDX file of unsigned bytes", path, found);
  Shape shape = read_shape(file, start[3], path);
  auto wanted = static_cast<std::size_t>(shape.count());
  KILN_REQUIRE(wanted <= file.most_bytes(), FileError, "{}: is cut short: its header says {} bytes of data, more than the file can hold",
               path, wanted);
  runtime::Buffer buffer = runtime::Buffer::allocate(wanted);
  std::size_t got = file.read(buffer.data(), wanted);
  KILN_REQUIRE(got == wanted, FileError, "{}: is cut short: {} bytes of data, where its header says {}", path, got, wanted);
  std::uint8_t extra = 0;
  KILN_REQUIRE(file.read(&extra, 1) == 0, FileError, "{}: has more data than the {} bytes that its header says", path, wanted);
  return {{DType::uint8, shape}, std::move(buffer), false};
}

/// The file under that name, with .gz or without.
std::string find_file(const std::string& directory, const std::string& stem) {
  std::string plain = directory + "/" + stem;
  std::FILE* file = std::fopen(plain.c_str(), "rb");
  if (file == nullptr) return plain + ".gz";
  std::fclose(file);
  return plain;
}

constexpr std::uint32_t kImageMagic = 0x803;
constexpr std::uint32_t kLabelMagic = 0x801;
constexpr std::int64_t kSide = 28;

data::detail::Column read_images(const std::string& path, bool raw) {
  data::detail::Column images = read_column(path, kImageMagic);
  Shape& shape = images.stored.shape;
  KILN_REQUIRE(shape[1] == kSide && shape[2] == kSide, FileError, "{}: holds images of {} x {}, not {} x {}", path, shape[1].str(),
               shape[2].str(), kSide, kSide);
  shape.push_back(1);
  images.unit = !raw;
  return images;
}

data::detail::Column read_labels(const std::string& path) {
  data::detail::Column bytes = read_column(path, kLabelMagic);
  auto count = static_cast<std::size_t>(bytes.rows());
  runtime::Buffer buffer = runtime::Buffer::allocate(count * sizeof(std::int32_t));
  const auto* from = static_cast<const std::uint8_t*>(bytes.buffer.data());
  auto* to = static_cast<std::int32_t*>(buffer.data());
  for (std::size_t i = 0; i < count; ++i) {
    KILN_REQUIRE(from[i] <= 9, FileError, "{}: label {} is {}, not a digit", path, i, from[i]);
    to[i] = from[i];
  }
  return {{DType::int32, bytes.stored.shape}, std::move(buffer), false};
}

Pairs read_pairs(const std::string& directory, const std::string& prefix, bool raw) {
  std::string labels_path = find_file(directory, prefix + "-labels-idx1-ubyte");
  data::detail::Rows rows;
  rows.columns.push_back(read_images(find_file(directory, prefix + "-images-idx3-ubyte"), raw));
  rows.columns.push_back(read_labels(labels_path));
  rows.count = rows.columns[0].rows();
  std::int64_t labels = rows.columns[1].rows();
  KILN_REQUIRE(labels == rows.count, FileError, "{}: holds {} labels for {} images", labels_path, labels, rows.count);
  return Pairs(data::detail::from_rows(std::move(rows)));
}

}  // namespace

Tensor read_idx(const std::string& path, Loc where) {
  LocationScope scope(where);
  data::detail::Column column = read_column(path, 0);
  return kiln::detail::Access::tensor(graph::Value::eager(column.stored, std::move(column.buffer)));
}

std::pair<Pairs, Pairs> mnist(const std::string& directory, MnistOptions options, Loc where) {
  LocationScope scope(where);
  Pairs train = read_pairs(directory, "train", options.raw);
  Pairs test = read_pairs(directory, "t10k", options.raw);
  return {std::move(train), std::move(test)};
}

}  // namespace kiln::data
