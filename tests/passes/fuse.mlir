// RUN: kiln-opt %s --kiln-fuse --split-input-file --mlir-print-local-scope --mlir-print-debuginfo | FileCheck %s

// Maps, broadcasts and constants end up in one loop; the user's lines stay.
// CHECK-LABEL: func.func @loop
func.func @loop(%x: tensor<32x8xf32>, %b: tensor<8xf32>) -> tensor<32x8xf32> {
  // CHECK: %[[R:.*]] = kiln.fusion "loop" (%arg0, %arg1)
  // CHECK: ^bb0
  // CHECK: kiln.broadcast
  // CHECK: kiln.map "add" {{.*}} loc("f.cpp":3:0)
  // CHECK: kiln.map "tanh"
  // CHECK: kiln.yield
  // CHECK-NOT: kiln.map
  // CHECK: kiln.return %[[R]]
  %0 = kiln.broadcast %b {dims = array<i64: 1>} : (tensor<8xf32>) -> tensor<32x8xf32>
  %1 = kiln.map "add" %x, %0 : (tensor<32x8xf32>, tensor<32x8xf32>) -> tensor<32x8xf32> loc("f.cpp":3:0)
  %2 = kiln.map "tanh" %1 : (tensor<32x8xf32>) -> tensor<32x8xf32>
  kiln.return %2 : tensor<32x8xf32>
}

// -----

// A reshape at the edge is a view, one between maps is inside.
// CHECK-LABEL: func.func @views
func.func @views(%x: tensor<4x6xf32>) -> (tensor<24xf32>, tensor<24xf32>) {
  // CHECK: kiln.fusion "loop" (%arg0)
  // CHECK-NOT: kiln.reshape
  // CHECK: kiln.map "exp"
  // CHECK: kiln.yield
  // CHECK-NOT: kiln.reshape
  // CHECK: kiln.fusion "loop" (%arg0)
  // CHECK: kiln.map "neg"
  // CHECK: kiln.reshape
  // CHECK: kiln.map "tanh"
  // CHECK: kiln.yield
  // CHECK: kiln.reshape
  // CHECK: kiln.return
  %0 = kiln.map "exp" %x : (tensor<4x6xf32>) -> tensor<4x6xf32>
  %1 = kiln.reshape %0 : (tensor<4x6xf32>) -> tensor<24xf32>
  %2 = kiln.map "neg" %x : (tensor<4x6xf32>) -> tensor<4x6xf32>
  %3 = kiln.reshape %2 : (tensor<4x6xf32>) -> tensor<24xf32>
  %4 = kiln.map "tanh" %3 : (tensor<24xf32>) -> tensor<24xf32>
  kiln.return %1, %4 : tensor<24xf32>, tensor<24xf32>
}

// -----

// What comes before a reduction of rows, what follows over the kept axes and what goes over the rows again are one kernel.
// CHECK-LABEL: func.func @softmax
func.func @softmax(%x: tensor<64x100xf32>) -> tensor<64x100xf32> {
  // CHECK: kiln.fusion "row" (%arg0)
  // CHECK: kiln.map "exp"
  // CHECK: kiln.reduce
  // CHECK: kiln.map "log"
  // CHECK: kiln.broadcast
  // CHECK: kiln.map "sub"
  // CHECK: kiln.yield
  // CHECK-NOT: kiln.fusion
  %0 = kiln.map "exp" %x : (tensor<64x100xf32>) -> tensor<64x100xf32>
  %1 = kiln.reduce %0 {axes = array<i64: 1>, kind = "add"} : (tensor<64x100xf32>) -> tensor<64xf32>
  %2 = kiln.map "log" %1 : (tensor<64xf32>) -> tensor<64xf32>
  %3 = kiln.broadcast %2 {dims = array<i64: 0>} : (tensor<64xf32>) -> tensor<64x100xf32>
  %4 = kiln.map "sub" %x, %3 : (tensor<64x100xf32>, tensor<64x100xf32>) -> tensor<64x100xf32>
  kiln.return %4 : tensor<64x100xf32>
}

// -----

// A transposed operand becomes strides, the activation an epilogue.
// CHECK-LABEL: func.func @dense
func.func @dense(%x: tensor<32x8xf32>, %w: tensor<4x8xf32>) -> tensor<32x4xf32> {
  // CHECK-NOT: kiln.transpose
  // CHECK: kiln.fusion "contract" (%arg0, %arg1)
  // CHECK: kiln.contract {{.*}}equation = "mk,nk->mn"
  // CHECK: kiln.map "tanh"
  // CHECK: kiln.yield
  // CHECK-NOT: kiln.fusion
  %0 = kiln.transpose %w {perm = array<i64: 1, 0>} : (tensor<4x8xf32>) -> tensor<8x4xf32>
  %1 = kiln.contract %x, %0 {equation = "mk,kn->mn", order = "k", window = ""} : (tensor<32x8xf32>, tensor<8x4xf32>) -> tensor<32x4xf32>
  %2 = kiln.map "tanh" %1 : (tensor<32x4xf32>) -> tensor<32x4xf32>
  kiln.return %2 : tensor<32x4xf32>
}

// -----

// CHECK-LABEL: func.func @scatter
func.func @scatter(%table: tensor<10x4xf32>, %i: tensor<3xi32>, %u: tensor<3x4xf32>) -> tensor<10x4xf32> {
  // CHECK: kiln.fusion "scatter"
  // CHECK: kiln.map "neg"
  // CHECK: kiln.scatter_add
  // CHECK: kiln.return {{.*}} {writes = array<i64: 0>}
  %0 = kiln.map "neg" %u : (tensor<3x4xf32>) -> tensor<3x4xf32>
  %1 = kiln.scatter_add %table, %i, %0 {axis = 0 : i64} : (tensor<10x4xf32>, tensor<3xi32>, tensor<3x4xf32>) -> tensor<10x4xf32>
  kiln.return %1 {writes = array<i64: 0>} : tensor<10x4xf32>
}

// -----

// A sum of products grows in their epilogues: no kernel reads them all again.
// CHECK-LABEL: func.func @accumulate
func.func @accumulate(%a: tensor<8x64xf32>, %b: tensor<8x32xf32>, %c: tensor<8x64xf32>, %w: tensor<64x32xf32>) -> tensor<64x32xf32> {
  // CHECK: kiln.fusion "contract"
  // CHECK: kiln.contract
  // CHECK-NEXT: kiln.yield
  // CHECK: kiln.fusion "contract"
  // CHECK: kiln.contract
  // CHECK: kiln.map "add"
  // CHECK: kiln.yield
  // CHECK: kiln.fusion "row"
  // CHECK: kiln.reduce
  // CHECK-NOT: kiln.fusion
  %0 = kiln.contract %a, %b {equation = "mk,mn->kn", order = "m", window = ""} : (tensor<8x64xf32>, tensor<8x32xf32>) -> tensor<64x32xf32>
  %1 = kiln.contract %c, %b {equation = "mk,mn->kn", order = "m", window = ""} : (tensor<8x64xf32>, tensor<8x32xf32>) -> tensor<64x32xf32>
  %2 = kiln.map "add" %0, %1 : (tensor<64x32xf32>, tensor<64x32xf32>) -> tensor<64x32xf32>
  %3 = kiln.map "mul" %2, %w : (tensor<64x32xf32>, tensor<64x32xf32>) -> tensor<64x32xf32>
  %4 = kiln.reduce %3 {axes = array<i64: 1>, kind = "add"} : (tensor<64x32xf32>) -> tensor<64xf32>
  %5 = kiln.broadcast %4 {dims = array<i64: 0>} : (tensor<64xf32>) -> tensor<64x32xf32>
  %6 = kiln.map "sub" %w, %5 : (tensor<64x32xf32>, tensor<64x32xf32>) -> tensor<64x32xf32>
  kiln.return %6 : tensor<64x32xf32>
}

// -----

// Sums of columns that read one tensor are one kernel, together with what follows from each.
// CHECK-LABEL: func.func @siblings
func.func @siblings(%dy: tensor<64x100xf32>, %x: tensor<64x100xf32>, %w: tensor<100xf32>) -> (tensor<100xf32>, tensor<100xf32>) {
  // CHECK: kiln.fusion "reduce" (%arg0, %arg1, %arg2)
  // CHECK: kiln.reduce
  // CHECK: kiln.reduce
  // CHECK: kiln.map "sub"
  // CHECK: kiln.yield
  // CHECK-NOT: kiln.fusion
  %0 = kiln.reduce %dy {axes = array<i64: 0>, kind = "add"} : (tensor<64x100xf32>) -> tensor<100xf32>
  %1 = kiln.map "mul" %dy, %x : (tensor<64x100xf32>, tensor<64x100xf32>) -> tensor<64x100xf32>
  %2 = kiln.reduce %1 {axes = array<i64: 0>, kind = "add"} : (tensor<64x100xf32>) -> tensor<100xf32>
  %3 = kiln.map "sub" %w, %2 : (tensor<100xf32>, tensor<100xf32>) -> tensor<100xf32>
  kiln.return %0, %3 : tensor<100xf32>, tensor<100xf32>
}
