// IDX files: MNIST itself, and everything that can be wrong with a file.
#include <kiln/data.h>
#include <kiln/error.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "tests/catch.h"
#include "tests/temporary_directory.h"

using namespace kiln;

namespace {

std::string big_endian(std::uint32_t n) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(n >> shift);
  return bytes;
}

std::string idx(std::uint32_t magic, std::vector<std::uint32_t> lengths, const std::string& data) {
  std::string bytes = big_endian(magic);
  for (std::uint32_t n : lengths) bytes += big_endian(n);
  return bytes + data;
}

std::string gzip(const std::string& bytes) {
  TemporaryDirectory temporary;
  std::string path = temporary.path() + "/file.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string images(std::uint32_t count) { return idx(0x803, {count, 28, 28}, std::string(count * 784, '\x80')); }
std::string labels(std::uint32_t count) { return idx(0x801, {count}, std::string(count, '\x07')); }

struct Files {
  std::string train_images = gzip(images(3)), train_labels = gzip(labels(3)), test_images = gzip(images(2)), test_labels = gzip(labels(2));
};

/// What mnist() says about these files, with their directory's name taken out.
std::string complaint(const Files& files) {
  TemporaryDirectory temporary;
  auto write = [&](const std::string& name, const std::string& bytes) {
    if (!bytes.empty()) std::ofstream(temporary.path() + "/" + name, std::ios::binary) << bytes;
  };
  write("train-images-idx3-ubyte.gz", files.train_images);
  write("train-labels-idx1-ubyte.gz", files.train_labels);
  write("t10k-images-idx3-ubyte.gz", files.test_images);
  write("t10k-labels-idx1-ubyte.gz", files.test_labels);
  try {
    data::mnist(temporary.path());
  } catch (const FileError& e) {
    std::string text = e.message();
    CHECK(text.substr(0, temporary.path().size() + 1) == temporary.path() + "/");
    return text.substr(temporary.path().size() + 1);
  }
  return "";
}

template <class Change>
std::string with(const Change& change) {
  Files files;
  change(files);
  return complaint(files);
}

}  // namespace

TEST_CASE("MNIST as it is in the repository") {
  auto [train, test] = data::mnist(KILN_SOURCE_DIR "/data/mnist");
  CHECK(train.size() == 60000);
  CHECK(test.size() == 10000);
  auto [x, y] = *train.batch(60000).begin();
  CHECK(x.shape() == Shape{60000, 28, 28, 1});
  CHECK(x.dtype() == DType::float32);
  CHECK(y.shape() == Shape{60000});
  CHECK(y.dtype() == DType::int32);
  double sum = 0;
  float largest = 0;
  for (float pixel : x.span<float>()) {
    sum += pixel;
    largest = std::max(largest, pixel);
  }
  CHECK(largest == 1.0f);
  CHECK(sum / (60000.0 * 784) == Approx(0.13066).margin(0.00001));  // the known mean
  std::vector<int> counts(10);
  for (std::int32_t label : y.span<std::int32_t>()) ++counts[static_cast<std::size_t>(label)];
  CHECK(counts == std::vector<int>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  CHECK(y.span<std::int32_t>()[0] == 5);
}

TEST_CASE("raw images are the file's bytes") {
  auto [train, test] = data::mnist(KILN_SOURCE_DIR "/data/mnist", {.raw = true});
  auto [raw, y] = *test.begin();
  auto [scaled, y2] = *data::mnist(KILN_SOURCE_DIR "/data/mnist").second.begin();
  CHECK(raw.shape() == Shape{28, 28, 1});
  CHECK(raw.dtype() == DType::uint8);
  CHECK(y.shape() == Shape{});
  CHECK(y.item<int>() == 7);
  for (std::size_t i = 0; i < 784; ++i) REQUIRE(scaled.span<float>()[i] == static_cast<float>(raw.span<std::uint8_t>()[i]) / 255.0f);
}

TEST_CASE("small files of the right kind are read, plain or gzipped") {
  CHECK(complaint({}) == "");
  CHECK(with([](Files& f) { f.train_images = images(3); }) == "");  // zlib reads both
  TemporaryDirectory temporary;
  std::ofstream(temporary.path() + "/t", std::ios::binary) << idx(0x802, {2, 3}, "abcdef");
  Tensor t = data::read_idx(temporary.path() + "/t");
  CHECK(t.shape() == Shape{2, 3});
  CHECK(t.span<std::uint8_t>()[5] == 'f');
}

TEST_CASE("files that are missing, cut, damaged or not what they claim") {
  const std::string train_images = "train-images-idx3-ubyte.gz: ", train_labels = "train-labels-idx1-ubyte.gz: ",
                    test_labels = "t10k-labels-idx1-ubyte.gz: ";
  CHECK(with([](Files& f) { f.train_images = ""; }) == train_images + "cannot be opened: No such file or directory");
  CHECK(with([](Files& f) { f.train_images = gzip("ab"); }) == train_images + "is cut short in its header");
  CHECK(with([](Files& f) { f.train_images = gzip(images(3).substr(0, 11)); }) == train_images + "is cut short in its header");
  CHECK(with([](Files& f) { f.train_images = gzip(labels(3)); }) == train_images + "the magic number is 0x00000801, not 0x00000803");
  CHECK(with([](Files& f) { f.test_labels = gzip(images(2)); }) == test_labels + "the magic number is 0x00000803, not 0x00000801");
  CHECK(with([](Files& f) { f.train_images = gzip("<html>not found</html>"); }) ==
        train_images + "the magic number is 0x3c68746d, not 0x00000803");
  CHECK(with([](Files& f) { f.train_images = gzip(images(3).substr(0, 1000)); }) ==
        train_images + "is cut short: 984 bytes of data, where its header says 2352");
  CHECK(with([](Files& f) { f.train_images = gzip(images(3) + "x"); }) ==
        train_images + "has more data than the 2352 bytes that its header says");
  CHECK(with([](Files& f) { f.train_images.resize(f.train_images.size() - 12); }) == train_images + "is cut short");
  CHECK(with([](Files& f) { f.train_images[f.train_images.size() - 6] ^= 1; }) == train_images + "is damaged: " + "incorrect data check");
  CHECK(with([](Files& f) { f.train_images = gzip(idx(0x803, {0xffffffff, 28, 28}, "x")); }) ==
        train_images + "the header says more than 2^30 elements");
  CHECK(with([](Files& f) { f.train_images = gzip(idx(0x803, {0xffffffff, 0xffffffff, 0xffffffff}, "x")); }) ==
        train_images + "the header says more than 2^30 elements");
  CHECK(with([](Files& f) { f.train_images = gzip(idx(0x803, {1000000, 28, 28}, "x")); }) ==
        train_images + "is cut short: its header says 784000000 bytes of data, more than the file can hold");
  CHECK(with([](Files& f) { f.train_images = gzip(idx(0x803, {3, 0, 28}, "")); }) == train_images + "the header says no elements");
  CHECK(with([](Files& f) { f.train_images = gzip(idx(0x803, {3, 29, 28}, std::string(3 * 29 * 28, 'x'))); }) ==
        train_images + "holds images of 29 x 28, not 28 x 28");
  CHECK(with([](Files& f) { f.train_labels = gzip(labels(4)); }) == train_labels + "holds 4 labels for 3 images");
  CHECK(with([](Files& f) { f.train_labels = gzip(idx(0x801, {3}, std::string("\1\2\12"))); }) ==
        train_labels + "label 2 is 10, not a digit");
}

TEST_CASE("read_idx takes unsigned bytes only") {
  TemporaryDirectory temporary;
  std::string path = temporary.path() + "/t";
  std::ofstream(path, std::ios::binary) << idx(0xd01, {1}, "abcd");
  CHECK_THROWS_WITH(data::read_idx(path, Loc{}), path + ": the magic number 0x00000d01 is not that of an IDX file of unsigned bytes");
  std::ofstream(path, std::ios::binary) << idx(0x809, std::vector<std::uint32_t>(9, 1), "a");
  CHECK_THROWS_AS(data::read_idx(path), FileError);
  CHECK_THROWS_WITH(data::read_idx("/no/such/file", Loc{"user.cpp", 4}),
                    "user.cpp:4: /no/such/file: cannot be opened: No such file or directory");
  CHECK_THROWS_AS(data::read_idx(temporary.path()), FileError);
}
