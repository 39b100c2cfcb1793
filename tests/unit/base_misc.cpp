// Errors and lines, attributes, flags, hash, target, interned strings.
#include <cstdlib>

#include "base/attrs.h"
#include "base/flags.h"
#include "base/hash.h"
#include "base/require.h"
#include "base/target.h"
#include "tests/catch.h"
#include "tests/stderr_text.h"

using namespace kiln;

namespace {

void fail_with(int n) { KILN_REQUIRE(n == 0, ValueError, "n is {}", n); }

/// Sets an environment variable for one scope.
struct Setting {
  const char* name;
  Setting(const char* n, const char* value) : name(n) { setenv(n, value, 1); }
  ~Setting() { unsetenv(name); }
};

Literal literal(std::vector<std::byte> bytes) {
  return {{DType::uint8, Shape{static_cast<std::int64_t>(bytes.size())}},
          false,
          std::make_shared<const std::vector<std::byte>>(std::move(bytes))};
}

}  // namespace

TEST_CASE("an error names the user's line") {
  CHECK_THROWS_WITH(fail_with(3), "n is 3");
  LocationScope outer({"user.cpp", 12});
  CHECK_THROWS_WITH(fail_with(3), "user.cpp:12: n is 3");
  {
    LocationScope inner({"inner.cpp", 1});
    CHECK(user_location().line == 12);
    LocationOverride override({"forward.cpp", 7});
    CHECK_THROWS_WITH(fail_with(4), "forward.cpp:7: n is 4");
  }
  CHECK(user_location().line == 12);
  try {
    fail_with(5);
  } catch (const Error& e) {
    CHECK(e.message() == "n is 5");
    CHECK(e.where().line == 12);
  }
}

TEST_CASE("the line ends with its scope") {
  {
    LocationScope scope({"user.cpp", 12});
  }
  CHECK_FALSE(user_location().known());
}

TEST_CASE("a broken invariant says that it is a bug") {
  CHECK_THROWS_AS([] { KILN_ASSERT(1 + 1 == 3, "arithmetic {}", 1); }(), InternalError);
}

TEST_CASE("equal texts intern to one pointer") {
  std::string a = "some name";
  const char* first = intern(a);
  CHECK(intern(std::string("some ") + "name") == first);
  CHECK(std::string(first) == a);
}

TEST_CASE("attributes are sorted, found, compared") {
  Attrs a{{"kind", std::string("add")}, {"axes", Ints{0, 1}}};
  Attrs b;
  std::string name = "axes";
  b.set(name.c_str(), Ints{0, 1});
  name = "kind";
  b.set(name.c_str(), std::string("add"));
  CHECK(a == b);
  CHECK(std::string(a.begin()->first) == "axes");
  b.set("kind", std::string("max"));
  CHECK_FALSE(a == b);
  CHECK(b.get<std::string>("kind") == "max");
  CHECK(a.find("shape") == nullptr);
  CHECK_THROWS_AS(a.get<std::int64_t>("kind"), InternalError);
  CHECK_THROWS_AS(a.get<std::int64_t>("axis"), InternalError);
}

TEST_CASE("literals compare by their bytes") {
  CHECK(literal({std::byte{1}, std::byte{2}}) == literal({std::byte{1}, std::byte{2}}));
  CHECK_FALSE(literal({std::byte{1}, std::byte{2}}) == literal({std::byte{1}, std::byte{3}}));
}

TEST_CASE("the environment is checked") {
  {
    Setting s("KILN_NUM_THREADS", "many");
    CHECK_THROWS_WITH(read_flags(), "environment variable KILN_NUM_THREADS: \"many\" is not an integer from 1 to 1024");
  }
  {
    Setting s("KILN_NUM_THREADS", "0");
    CHECK_THROWS_AS(read_flags(), ValueError);
  }
  {
    Setting s("KILN_TARGET", "sse9");
    CHECK_THROWS_WITH(read_flags(), "environment variable KILN_TARGET: \"sse9\" is not baseline, avx2, avx512, neon or sve256");
  }
  {
    Setting s("KILN_LOG", "trace,everything");
    CHECK_THROWS_WITH(read_flags(), "environment variable KILN_LOG: \"everything\" is not trace, compile, cache or all");
  }
  {
    Setting s("KILN_POISON", "yes");
    CHECK_THROWS_WITH(read_flags(), "environment variable KILN_POISON: \"yes\" is neither 0 nor 1");
  }
  {
    Setting s("KILN_CACHE_MB", "12MB");
    CHECK_THROWS_AS(read_flags(), ValueError);
  }
  Setting threads("KILN_NUM_THREADS", "3"), pool("KILN_POOL_MB", "7"), topics("KILN_LOG", "cache,trace"), cache("KILN_CACHE_DIR", "");
  Flags f = read_flags();
  CHECK(f.num_threads == 3);
  CHECK(f.pool_bytes == 7u << 20);
  CHECK(f.log_topics == 5u);
  CHECK(f.cache_dir == "");
}

TEST_CASE("warnings are one line on stderr") {
  CHECK(stderr_text([] { warn("mind the gap"); }) == "kiln: warning: mind the gap\n");
}

TEST_CASE("the hash is MurmurHash3") {
  CHECK(hash128("").hex() == "00000000000000000000000000000000");
  CHECK(hash128("The quick brown fox jumps over the lazy dog").low == 0xe34bbc7bbc071b6cu);
  CHECK(hash128("The quick brown fox jumps over the lazy dog").high == 0x7a433ca9c49a9347u);
  std::string text(100, 'x');
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = 'y';
    CHECK_FALSE(hash128(text) == hash128(other));
  }
}

TEST_CASE("the target is one of the levels and says its features") {
  const Target& t = current_target();
  CHECK(t.float_lanes() == (t.isa == Isa::avx512 ? 16 : t.isa == Isa::avx2 ? 8 : 4));
  CHECK_FALSE(t.cpu.empty());
  CHECK((t.features.find("+avx2") != std::string::npos) == t.has_fma());
  CHECK((t.features.find("+avx512f") != std::string::npos) == (t.isa == Isa::avx512));
}
