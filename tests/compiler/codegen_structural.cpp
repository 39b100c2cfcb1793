// Structural ops inside loop kernels, scatter kernels and tiles: compiled code gives the eager kernels' bits.
#include "codegen_support.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

using Sizes = std::vector<std::int64_t>;

/// Runs the same body with run-time lengths and with known ones.
template <class Build>
void check_both(const Build& build, bool special = true) {
  for (const bool constant : {false, true}) {
    SpecBuilder s(KernelKind::loop, constant);
    build(s);
    CAPTURE(constant);
    check_against_eager(s, 3, special);
  }
}

/// An index tensor's bytes made valid for an axis of that length.
void clamp_indices(Bytes& bytes, DType t, std::int64_t length) {
  visit_dtype(t, [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_same_v<T, std::int32_t> || std::is_same_v<T, std::int64_t>) {
      for (std::size_t i = 0; i < bytes.size(); i += sizeof(T)) {
        T v;
        std::memcpy(&v, bytes.data() + i, sizeof(T));
        v = static_cast<T>((v % length + length) % length);
        std::memcpy(bytes.data() + i, &v, sizeof(T));
      }
    }
  });
}

}  // namespace

TEST_CASE("broadcast of each axis") {
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::float32, {37, 21}), row = s.input(DType::float32, {21}), column = s.input(DType::float32, {37});
    const int a = s.op("broadcast", {row}, {{"shape", Shape{37, 21}}, {"dims", Ints{1}}});
    const int b = s.op("broadcast", {column}, {{"shape", Shape{37, 21}}, {"dims", Ints{0}}});
    s.output(s.op("add", {s.op("mul", {x, a}), b}));
  });
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::float64, {1, 5, 1}), y = s.input(DType::float64, {});
    const int a = s.op("broadcast", {x}, {{"shape", Shape{3, 5, 19}}, {"dims", Ints{0, 1, 2}}});
    const int b = s.op("broadcast", {y}, {{"shape", Shape{3, 5, 19}}, {"dims", Ints{}}});
    s.output(s.op("sub", {a, b}));
  });
}

TEST_CASE("transpose and reshape") {
  for (const DType t : {DType::float32, DType::uint8, DType::float64}) {
    check_both([&](SpecBuilder& s) {
      const int x = s.input(t, {35, 67});
      s.output(s.op("neg", {s.op("transpose", {x}, {{"perm", Ints{1, 0}}})}));
    });
  }
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::float32, {4, 9, 21});
    s.output(s.op("transpose", {x}, {{"perm", Ints{2, 0, 1}}}));
  });
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::float32, {6, 35});
    const int y = s.op("reshape", {s.op("transpose", {x}, {{"perm", Ints{1, 0}}})}, {{"shape", Shape{15, 14}}});
    s.output(s.op("add", {y, y}));
  });
}

TEST_CASE("tiles of transposed operands") {
  for (const Sizes& shape :
       {Sizes{16, 16}, Sizes{32, 64}, Sizes{33, 17}, Sizes{1, 40}, Sizes{40, 1}, Sizes{100, 3}, Sizes{3, 100}, Sizes{70, 90}}) {
    for (const DType t : {DType::float32, DType::bfloat16, DType::int8, DType::int64, DType::boolean}) {
      CAPTURE(name(t), shape[0], shape[1]);
      check_both([&](SpecBuilder& s) {
        const int x = s.input(t, shape), y = s.input(t, shape), z = s.input(t, {shape[1], shape[0]});
        const Attrs swap = {{"perm", Ints{1, 0}}};
        const char* op = t == DType::boolean ? "logical_xor" : "add";
        const int sum = s.op(op, {s.op("transpose", {x}, swap), s.op("transpose", {y}, swap)});
        s.output(sum).output(s.op(op, {sum, z})).alias(1, 2);
      });
    }
  }
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::float32, {3, 5, 20, 37}), y = s.input(DType::float32, {37, 20, 5, 3});
    const int a = s.op("transpose", {s.op("exp", {x})}, {{"perm", Ints{0, 2, 3, 1}}});
    const int b = s.op("transpose", {y}, {{"perm", Ints{3, 1, 0, 2}}});
    s.output(s.op("sub", {a, b}));
  });
  check_both([](SpecBuilder& s) {  // one transpose is read by rows as well
    const int x = s.input(DType::float32, {50, 50});
    const int t = s.op("transpose", {x}, {{"perm", Ints{1, 0}}});
    s.output(s.op("add", {t, s.op("transpose", {t}, {{"perm", Ints{1, 0}}})}));
  });
}

TEST_CASE("slices, pads, concatenations") {
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::float32, {20, 50});
    s.output(s.op("slice", {x}, {{"start", Ints{3, 45}}, {"limit", Ints{17, 2}}, {"step", Ints{2, -1}}}));
  });
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::int32, {20, 50});
    s.output(s.op("slice", {x}, {{"start", Ints{0, 1}}, {"limit", Ints{20, 50}}, {"step", Ints{1, 3}}}));
  });
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::float32, {7, 30}), value = s.input(DType::float32, {});
    s.output(s.op("pad", {x, value}, {{"low", Ints{2, 3}}, {"high", Ints{1, -5}}, {"interior", Ints{0, 2}}}));
  });
  check_both([](SpecBuilder& s) {
    const int x = s.input(DType::float32, {5, 6, 33}), value = s.input(DType::float32, {});
    s.output(s.op("pad", {x, value}, {{"low", Ints{1, -1, 0}}, {"high", Ints{2, 3, 0}}, {"interior", Ints{1, 0, 0}}}));
  });
  check_both([](SpecBuilder& s) {
    const int a = s.input(DType::float32, {3, 17}), b = s.input(DType::float32, {3, 30}), c = s.input(DType::float32, {3, 1});
    s.output(s.op("concat", {a, b, c}, {{"axis", std::int64_t{1}}}));
  });
  check_both([](SpecBuilder& s) {
    const int a = s.input(DType::boolean, {3, 18}), b = s.input(DType::boolean, {30, 18});
    s.output(s.op("logical_not", {s.op("concat", {a, b}, {{"axis", std::int64_t{0}}})}));
  });
}

TEST_CASE("gather") {
  for (const DType index_type : {DType::int32, DType::int64}) {
    for (const std::int64_t axis : {0, 1}) {
      CAPTURE(name(index_type), axis);
      SpecBuilder s;
      const int x = s.input(DType::float32, {11, 19}), indices = s.input(index_type, {5, 7});
      s.output(s.op("gather", {x, indices}, {{"axis", axis}}));
      check_against_eager(s, 5, true, [&](std::vector<Bytes>& inputs) { clamp_indices(inputs[1], index_type, axis == 0 ? 11 : 19); });
    }
  }
}

TEST_CASE("an index out of range is reported with the op and the index") {
  SpecBuilder s;
  const int x = s.input(DType::float32, {11, 19}), indices = s.input(DType::int64, {6});
  const int y = s.op("neg", {x});
  s.output(s.op("gather", {y, indices}, {{"axis", std::int64_t{1}}}));
  const LoadedKernel kernel(codegen::compile_kernel(s.spec(), current_target()));
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{19}, std::int64_t{1} << 40}) {
    const std::int64_t index[] = {0, 1, 18, bad, 2, 3};
    Bytes bytes(sizeof(index));
    std::memcpy(bytes.data(), index, sizeof(index));
    TestContext context;
    run_kernel(s, kernel, {random_bytes(s.type(x), 1), bytes}, Partition::whole, true, context);
    CHECK(context.error.load() == static_cast<int>(KernelError::index_out_of_range));
    CHECK(context.error_ordinal == 1);
    CHECK(context.error_payload == bad);
  }
}

TEST_CASE("an integer division by zero is reported") {
  SpecBuilder s;
  const int x = s.input(DType::int32, {40}), y = s.input(DType::int32, {40});
  s.output(s.op("div", {x, y}));
  const LoadedKernel kernel(codegen::compile_kernel(s.spec(), current_target()));
  Bytes ones(160), divisors;
  for (std::size_t i = 0; i < 160; i += 4) ones[i] = std::byte{1};
  divisors = ones;
  TestContext fine, failing;
  run_kernel(s, kernel, {ones, divisors}, Partition::whole, true, fine);
  CHECK(fine.error.load() == 0);
  divisors[156] = std::byte{0};
  run_kernel(s, kernel, {ones, divisors}, Partition::whole, true, failing);
  CHECK(failing.error.load() == static_cast<int>(KernelError::division_by_zero));
}

TEST_CASE("every cast") {
  for (int from = 0; from < kDTypeCount; ++from) {
    for (int to = 0; to < kDTypeCount; ++to) {
      if (from == to) continue;
      CAPTURE(name(static_cast<DType>(from)), name(static_cast<DType>(to)));
      SpecBuilder s;
      const int x = s.input(static_cast<DType>(from), {531});
      s.output(s.op("cast", {x}, {{"dtype", static_cast<DType>(to)}}));
      check_against_eager(s);
    }
  }
}

TEST_CASE("iota and constants") {
  for (const DType t : {DType::int32, DType::int64, DType::float32, DType::float16, DType::float64}) {
    check_both([&](SpecBuilder& s) {
      const int x = s.input(t, {9, 37});
      const int i = s.op("iota", {}, {{"shape", Shape{9, 37}}, {"axis", std::int64_t{1}}, {"dtype", t}});
      const int j = s.op("iota", {}, {{"shape", Shape{9, 37}}, {"axis", std::int64_t{0}}, {"dtype", t}});
      s.output(s.op("add", {s.op("add", {x, i}), j}));
    });
  }
  const TensorType type{DType::float32, Shape{5, 3}};
  const Literal literal{type, false, std::make_shared<Bytes>(random_bytes(type, 4))};
  check_both([&](SpecBuilder& s) {
    const int x = s.input(DType::float32, {5, 3});
    s.output(s.op("mul", {x, s.op("constant", {}, {{"value", literal}})}));
  });
}

TEST_CASE("random numbers") {
  struct Case {
    const char* kind;
    DType dtype;
  };
  for (const Case c :
       {Case{"bits", DType::int32}, Case{"uniform", DType::float32}, Case{"uniform", DType::float64}, Case{"uniform", DType::float16},
        Case{"normal", DType::float32}, Case{"normal", DType::bfloat16}, Case{"normal", DType::float64}}) {
    for (const Sizes& shape : {Sizes{1037}, Sizes{13, 21}, Sizes{}}) {
      CAPTURE(c.kind, name(c.dtype), shape.size());
      SpecBuilder s;
      const int key = s.input(DType::int64, {2});
      s.output(
          s.op("random", {key}, {{"kind", std::string(c.kind)}, {"shape", Shape(shape)}, {"dtype", c.dtype}, {"stream", std::int64_t{3}}}));
      check_against_eager(s);
    }
  }
}

TEST_CASE("windows") {
  struct Case {
    Ints window, strides, low, high;
  };
  const Case cases[] = {{{1, 2, 2, 1}, {1, 2, 2, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}},
                        {{1, 3, 3, 1}, {1, 2, 2, 1}, {0, 1, 0, 0}, {0, 1, 1, 0}},
                        {{1, 3, 2, 1}, {1, 1, 1, 1}, {0, 1, 1, 0}, {0, 1, 0, 0}},
                        {{1, 5, 5, 1}, {1, 3, 4, 1}, {0, 2, 2, 0}, {0, 2, 2, 0}}};
  for (const Case& c : cases) {
    for (const char* kind : {"max", "min", "add"}) {
      for (const DType t : {DType::float32, DType::float16, DType::int32}) {
        CAPTURE(kind, name(t), c.window[1]);
        const Attrs attrs = {
            {"kind", std::string(kind)}, {"window", c.window}, {"strides", c.strides}, {"padding_low", c.low}, {"padding_high", c.high}};
        SpecBuilder s;
        const int x = s.input(t, {2, 9, 8, 19});
        const int y = s.op("window_reduce", {x}, attrs);
        s.output(y);
        check_against_eager(s);
        if (std::string(kind) != "max") continue;
        SpecBuilder g;
        const int gx = g.input(t, {2, 9, 8, 19}), dy = g.input(t, s.type(y).shape.sizes());
        g.output(g.op("window_max_grad", {gx, dy}, attrs));
        check_against_eager(g);
      }
    }
  }
}

TEST_CASE("scatter_add") {
  for (const DType t : {DType::float32, DType::float16, DType::int64}) {
    for (const int axis : {0, 1, 2}) {
      CAPTURE(name(t), axis);
      const Sizes shape = {6, 7, 20};
      Sizes updates = shape;
      updates.erase(updates.begin() + axis);
      updates.insert(updates.begin() + axis, {3, 5});
      SpecBuilder s(KernelKind::scatter);
      const int x = s.input(t, shape), indices = s.input(DType::int32, {3, 5}), u = s.input(t, updates);
      const int root = s.op("scatter_add", {x, indices, s.op("neg", {u})}, {{"axis", std::int64_t{axis}}});
      s.root(root).output(root);
      check_against_eager(
          s, 9, false, [&](std::vector<Bytes>& inputs) { clamp_indices(inputs[1], DType::int32, shape[static_cast<std::size_t>(axis)]); });
    }
  }
}

TEST_CASE("an output may be an input's memory") {
  SpecBuilder s;
  const int w = s.input(DType::float32, {100, 33}), g = s.input(DType::float32, {100, 33}), rate = s.input(DType::float32, {});
  const int r = s.op("broadcast", {rate}, {{"shape", Shape{100, 33}}, {"dims", Ints{}}});
  const int step = s.op("mul", {g, r});
  s.output(s.op("sub", {w, step})).output(step).alias(0, 0).alias(1, 1);
  check_against_eager(s);
}

TEST_CASE("halves round after each op in strict numerics") {
  for (const DType t : {DType::float16, DType::bfloat16}) {
    SpecBuilder s;
    const int x = s.input(t, {777}), y = s.input(t, {777});
    s.output(s.op("tanh", {s.op("mul", {s.op("add", {x, y}), y})}));
    check_against_eager(s);
  }
}
