// Every op of the dialect prints what it parses, and survives the way to the graph and back.
// RUN: kiln-opt %s | kiln-opt | FileCheck %s
// RUN: kiln-opt %s --kiln-round-trip | FileCheck %s

// CHECK-LABEL: func.func @everything
func.func @everything(%x: tensor<4x6xf32> {kiln.kind = "argument", kiln.name = "x"}, %k: tensor<2xi64> {kiln.kind = "random"}, %n: tensor<3xi32>, %v: tensor<f32>)
    -> (tensor<4xf32>, tensor<4xi64>, tensor<4x4xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<4x6xf32>, tensor<24xf32>, tensor<6x4xf32>, tensor<3x6xf32>,
        tensor<2x3xf32>, tensor<8x6xf32>, tensor<6x6xf32>, tensor<4x3xf32>, tensor<4x6xf32>, tensor<5xi32>, tensor<4x6xbf16>, tensor<2xui8>, tensor<7xf32>) {
  // CHECK: kiln.reduce %{{.*}} {axes = array<i64: 1>, kind = "add"} : (tensor<4x6xf32>) -> tensor<4xf32>
  %1 = kiln.reduce %x {axes = array<i64: 1>, kind = "add"} : (tensor<4x6xf32>) -> tensor<4xf32>
  // CHECK: kiln.arg_reduce %{{.*}} {axis = 1 : i64, kind = "max"} : (tensor<4x6xf32>) -> tensor<4xi64>
  %2 = kiln.arg_reduce %x {axis = 1 : i64, kind = "max"} : (tensor<4x6xf32>) -> tensor<4xi64>
  // CHECK: kiln.contract %{{.*}}, %{{.*}} {equation = "mk,nk->mn", order = "k", window = ""} : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x4xf32>
  %3 = kiln.contract %x, %x {equation = "mk,nk->mn", order = "k", window = ""} : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x4xf32>
  // CHECK: kiln.window_reduce %{{.*}} {kind = "max", padding_high = array<i64: 0, 0>, padding_low = array<i64: 0, 0>, strides = array<i64: 2, 2>, window = array<i64: 2, 2>}
  %4 = kiln.window_reduce %x {kind = "max", padding_high = array<i64: 0, 0>, padding_low = array<i64: 0, 0>, strides = array<i64: 2, 2>, window = array<i64: 2, 2>} : (tensor<4x6xf32>) -> tensor<2x3xf32>
  // CHECK: kiln.map "exp" %{{.*}} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %5 = kiln.map "exp" %4 : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK: kiln.window_max_grad
  %6 = kiln.window_max_grad %x, %5 {kind = "max", padding_high = array<i64: 0, 0>, padding_low = array<i64: 0, 0>, strides = array<i64: 2, 2>, window = array<i64: 2, 2>} : (tensor<4x6xf32>, tensor<2x3xf32>) -> tensor<4x6xf32>
  // CHECK: kiln.reshape %{{.*}} : (tensor<4x6xf32>) -> tensor<24xf32>
  %7 = kiln.reshape %x : (tensor<4x6xf32>) -> tensor<24xf32>
  // CHECK: kiln.transpose %{{.*}} {perm = array<i64: 1, 0>} : (tensor<4x6xf32>) -> tensor<6x4xf32>
  %8 = kiln.transpose %x {perm = array<i64: 1, 0>} : (tensor<4x6xf32>) -> tensor<6x4xf32>
  // CHECK: kiln.slice %{{.*}} {limit = array<i64: -1, 6>, start = array<i64: 2, 0>, step = array<i64: -1, 1>} : (tensor<4x6xf32>) -> tensor<3x6xf32>
  %9 = kiln.slice %x {limit = array<i64: -1, 6>, start = array<i64: 2, 0>, step = array<i64: -1, 1>} : (tensor<4x6xf32>) -> tensor<3x6xf32>
  // CHECK: kiln.broadcast %{{.*}} {dims = array<i64>} : (tensor<f32>) -> tensor<2x3xf32>
  %10 = kiln.broadcast %v {dims = array<i64>} : (tensor<f32>) -> tensor<2x3xf32>
  // CHECK: kiln.concat %{{.*}}, %{{.*}} {axis = 0 : i64} : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<8x6xf32>
  %11 = kiln.concat %x, %x {axis = 0 : i64} : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<8x6xf32>
  // CHECK: kiln.pad %{{.*}}, %{{.*}} {high = array<i64: 1, 0>, interior = array<i64: 0, 0>, low = array<i64: 1, 0>} : (tensor<4x6xf32>, tensor<f32>) -> tensor<6x6xf32>
  %12 = kiln.pad %x, %v {high = array<i64: 1, 0>, interior = array<i64: 0, 0>, low = array<i64: 1, 0>} : (tensor<4x6xf32>, tensor<f32>) -> tensor<6x6xf32>
  // CHECK: kiln.gather %{{.*}}, %{{.*}} {axis = 1 : i64} : (tensor<4x6xf32>, tensor<3xi32>) -> tensor<4x3xf32>
  %13 = kiln.gather %x, %n {axis = 1 : i64} : (tensor<4x6xf32>, tensor<3xi32>) -> tensor<4x3xf32>
  // CHECK: kiln.scatter_add %{{.*}}, %{{.*}}, %{{.*}} {axis = 1 : i64}
  %14 = kiln.scatter_add %x, %n, %13 {axis = 1 : i64} : (tensor<4x6xf32>, tensor<3xi32>, tensor<4x3xf32>) -> tensor<4x6xf32>
  // CHECK: kiln.iota {axis = 0 : i64} : () -> tensor<5xi32>
  %15 = kiln.iota {axis = 0 : i64} : () -> tensor<5xi32>
  // CHECK: kiln.cast %{{.*}} : (tensor<4x6xf32>) -> tensor<4x6xbf16>
  %16 = kiln.cast %x : (tensor<4x6xf32>) -> tensor<4x6xbf16>
  // CHECK: kiln.constant {value = dense<[1, 255]> : tensor<2xui8>} : () -> tensor<2xui8>
  %17 = kiln.constant {value = dense<[1, 255]> : tensor<2xui8>} : () -> tensor<2xui8>
  // CHECK: kiln.random %{{.*}} {kind = "uniform", stream = 3 : i64} : (tensor<2xi64>) -> tensor<7xf32>
  %18 = kiln.random %k {kind = "uniform", stream = 3 : i64} : (tensor<2xi64>) -> tensor<7xf32>
  kiln.return %1, %2, %3, %4, %10, %6, %7, %8, %9, %5, %11, %12, %13, %14, %15, %16, %17, %18 : tensor<4xf32>, tensor<4xi64>, tensor<4x4xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<4x6xf32>, tensor<24xf32>, tensor<6x4xf32>, tensor<3x6xf32>, tensor<2x3xf32>, tensor<8x6xf32>, tensor<6x6xf32>, tensor<4x3xf32>, tensor<4x6xf32>, tensor<5xi32>, tensor<4x6xbf16>, tensor<2xui8>, tensor<7xf32>
}

// CHECK-LABEL: func.func @state
// CHECK-SAME: {kiln.kind = "variable", kiln.name = "w"}
func.func @state(%w: tensor<2xf32> {kiln.kind = "variable", kiln.name = "w"}) -> (tensor<2xf32>, tensor<2xf32>) {
  %0 = kiln.map "neg" %w : (tensor<2xf32>) -> tensor<2xf32>
  // CHECK: kiln.return %{{.*}}, %{{.*}} {writes = array<i64: 0>} : tensor<2xf32>, tensor<2xf32>
  kiln.return %w, %0 {writes = array<i64: 0>} : tensor<2xf32>, tensor<2xf32>
}

// CHECK-LABEL: func.func @symbolic
func.func @symbolic(%x: tensor<?x784xf32, "batch, 784">) -> tensor<?xf32, "batch * 784"> {
  // CHECK: kiln.reshape %{{.*}} : (tensor<?x784xf32, "batch, 784">) -> tensor<?xf32, "batch * 784">
  %0 = kiln.reshape %x : (tensor<?x784xf32, "batch, 784">) -> tensor<?xf32, "batch * 784">
  kiln.return %0 : tensor<?xf32, "batch * 784">
}

// CHECK-LABEL: func.func @numbers
func.func @numbers() -> (tensor<3xf32>, tensor<2xi1>, tensor<2xf16>, tensor<i64>, tensor<0xf32>, tensor<100xf32>) {
  // CHECK: dense<[0x7FC00000, 0xFF800000, -0.000000e+00]> : tensor<3xf32>
  %0 = kiln.constant {value = dense<[0x7FC00000, 0xFF800000, -0.0]> : tensor<3xf32>} : () -> tensor<3xf32>
  // CHECK: dense<[true, false]> : tensor<2xi1>
  %1 = kiln.constant {value = dense<[true, false]> : tensor<2xi1>} : () -> tensor<2xi1>
  // CHECK: dense<[1.000000e+00, 6.550400e+04]> : tensor<2xf16>
  %2 = kiln.constant {value = dense<[1.0, 65504.0]> : tensor<2xf16>} : () -> tensor<2xf16>
  // CHECK: dense<-9223372036854775808> : tensor<i64>
  %3 = kiln.constant {value = dense<-9223372036854775808> : tensor<i64>} : () -> tensor<i64>
  // CHECK: dense<> : tensor<0xf32>
  %4 = kiln.constant {value = dense<> : tensor<0xf32>} : () -> tensor<0xf32>
  // CHECK: dense<1.000000e-01> : tensor<100xf32>
  %5 = kiln.constant {value = dense<0.1> : tensor<100xf32>} : () -> tensor<100xf32>
  kiln.return %0, %1, %2, %3, %4, %5 : tensor<3xf32>, tensor<2xi1>, tensor<2xf16>, tensor<i64>, tensor<0xf32>, tensor<100xf32>
}
