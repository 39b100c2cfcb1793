// RUN: kiln-opt %s --kiln-canonicalize --kiln-prune --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @identity_elements
func.func @identity_elements(%x: tensor<4xf32>) -> tensor<4xf32> {
  %one = kiln.constant {value = dense<1.0> : tensor<f32>} : () -> tensor<f32>
  %ones = kiln.broadcast %one {dims = array<i64>} : (tensor<f32>) -> tensor<4xf32>
  %zeros = kiln.constant {value = dense<0.0> : tensor<4xf32>} : () -> tensor<4xf32>
  %0 = kiln.map "mul" %ones, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = kiln.map "sub" %0, %zeros : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %2 = kiln.map "neg" %1 : (tensor<4xf32>) -> tensor<4xf32>
  %3 = kiln.map "neg" %2 : (tensor<4xf32>) -> tensor<4xf32>
  %4 = kiln.map "maximum" %3, %3 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  // CHECK-NEXT: kiln.return %arg0
  kiln.return %4 : tensor<4xf32>
}

// -----

// -0 + 0 is 0, and infinity * 0 is NaN: no rule.
// CHECK-LABEL: func.func @not_exact
func.func @not_exact(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %zeros = kiln.constant {value = dense<0.0> : tensor<4xf32>} : () -> tensor<4xf32>
  // CHECK: kiln.map "add"
  %0 = kiln.map "add" %x, %zeros : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  // CHECK: kiln.map "mul"
  %1 = kiln.map "mul" %x, %zeros : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0, %1 : tensor<4xf32>, tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @choices
func.func @choices(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %true = kiln.constant {value = dense<true> : tensor<4xi1>} : () -> tensor<4xi1>
  %0 = kiln.map "where" %true, %x, %y : (tensor<4xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = kiln.map "less" %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
  %2 = kiln.map "where" %1, %y, %y : (tensor<4xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  // CHECK-NEXT: kiln.return %arg0, %arg1
  kiln.return %0, %2 : tensor<4xf32>, tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @transposes
func.func @transposes(%x: tensor<4x6xf32>, %y: tensor<1x4x6xf32>) -> (tensor<4x6xf32>, tensor<4x6x1xf32>) {
  // CHECK-NEXT: %[[R:.*]] = kiln.reshape %arg1 : (tensor<1x4x6xf32>) -> tensor<4x6x1xf32>
  %0 = kiln.transpose %x {perm = array<i64: 1, 0>} : (tensor<4x6xf32>) -> tensor<6x4xf32>
  %1 = kiln.transpose %0 {perm = array<i64: 1, 0>} : (tensor<6x4xf32>) -> tensor<4x6xf32>
  %2 = kiln.transpose %y {perm = array<i64: 1, 2, 0>} : (tensor<1x4x6xf32>) -> tensor<4x6x1xf32>
  // CHECK-NEXT: kiln.return %arg0, %[[R]]
  kiln.return %1, %2 : tensor<4x6xf32>, tensor<4x6x1xf32>
}

// -----

// CHECK-LABEL: func.func @reshapes
func.func @reshapes(%x: tensor<4x6xf32>) -> (tensor<4x6xf32>, tensor<2x12xf32>) {
  // CHECK-NEXT: %[[R:.*]] = kiln.reshape %arg0 : (tensor<4x6xf32>) -> tensor<2x12xf32>
  %0 = kiln.reshape %x : (tensor<4x6xf32>) -> tensor<24xf32>
  %1 = kiln.reshape %0 : (tensor<24xf32>) -> tensor<4x6xf32>
  %2 = kiln.reshape %0 : (tensor<24xf32>) -> tensor<2x12xf32>
  // CHECK-NEXT: kiln.return %arg0, %[[R]]
  kiln.return %1, %2 : tensor<4x6xf32>, tensor<2x12xf32>
}

// -----

// A length-1 axis added only to be stretched.
// CHECK-LABEL: func.func @broadcasts
func.func @broadcasts(%x: tensor<10xf32>) -> (tensor<32x10xf32>, tensor<10xf32>, tensor<10x1xf32>) {
  // CHECK-NEXT: %[[B:.*]] = kiln.broadcast %arg0 {dims = array<i64: 1>} : (tensor<10xf32>) -> tensor<32x10xf32>
  // CHECK-NEXT: %[[R:.*]] = kiln.reshape %arg0 : (tensor<10xf32>) -> tensor<10x1xf32>
  %0 = kiln.reshape %x : (tensor<10xf32>) -> tensor<1x10xf32>
  %1 = kiln.broadcast %0 {dims = array<i64: 0, 1>} : (tensor<1x10xf32>) -> tensor<32x10xf32>
  %2 = kiln.broadcast %x {dims = array<i64: 0>} : (tensor<10xf32>) -> tensor<10xf32>
  %3 = kiln.broadcast %x {dims = array<i64: 0>} : (tensor<10xf32>) -> tensor<10x1xf32>
  // CHECK-NEXT: kiln.return %[[B]], %arg0, %[[R]]
  kiln.return %1, %2, %3 : tensor<32x10xf32>, tensor<10xf32>, tensor<10x1xf32>
}

// -----

// CHECK-LABEL: func.func @splat
func.func @splat() -> tensor<32x10xf32> {
  // CHECK-NEXT: %[[C:.*]] = kiln.constant {value = dense<2.000000e+00> : tensor<f32>} : () -> tensor<f32>
  // CHECK-NEXT: kiln.broadcast %[[C]] {dims = array<i64>} : (tensor<f32>) -> tensor<32x10xf32>
  %0 = kiln.constant {value = dense<2.0> : tensor<10x32xf32>} : () -> tensor<10x32xf32>
  %1 = kiln.transpose %0 {perm = array<i64: 1, 0>} : (tensor<10x32xf32>) -> tensor<32x10xf32>
  kiln.return %1 : tensor<32x10xf32>
}

// -----

// CHECK-LABEL: func.func @slices
func.func @slices(%x: tensor<10xf32>, %y: tensor<4xf32>) -> (tensor<10xf32>, tensor<2xf32>, tensor<3xf32>) {
  %0 = kiln.slice %x {limit = array<i64: 10>, start = array<i64: 0>, step = array<i64: 1>} : (tensor<10xf32>) -> tensor<10xf32>
  // x[1:9:3] is elements 1, 4, 7; its [1:3] are 4, 7.
  // CHECK-NEXT: %[[S:.*]] = kiln.slice %arg0 {limit = array<i64: 8>, start = array<i64: 4>, step = array<i64: 3>} : (tensor<10xf32>) -> tensor<2xf32>
  %1 = kiln.slice %x {limit = array<i64: 9>, start = array<i64: 1>, step = array<i64: 3>} : (tensor<10xf32>) -> tensor<3xf32>
  %2 = kiln.slice %1 {limit = array<i64: 3>, start = array<i64: 1>, step = array<i64: 1>} : (tensor<3xf32>) -> tensor<2xf32>
  // Backwards through the second part of a concat.
  // CHECK-NEXT: %[[T:.*]] = kiln.slice %arg1 {limit = array<i64: 0>, start = array<i64: 3>, step = array<i64: -1>} : (tensor<4xf32>) -> tensor<3xf32>
  %3 = kiln.concat %x, %y {axis = 0 : i64} : (tensor<10xf32>, tensor<4xf32>) -> tensor<14xf32>
  %4 = kiln.slice %3 {limit = array<i64: 10>, start = array<i64: 13>, step = array<i64: -1>} : (tensor<14xf32>) -> tensor<3xf32>
  // CHECK-NEXT: kiln.return %arg0, %[[S]], %[[T]]
  kiln.return %0, %2, %4 : tensor<10xf32>, tensor<2xf32>, tensor<3xf32>
}

// -----

// CHECK-LABEL: func.func @concats_and_pads
func.func @concats_and_pads(%x: tensor<2xf32>, %e: tensor<0xf32>, %v: tensor<f32>) -> (tensor<6xf32>, tensor<2xf32>, tensor<2xf32>) {
  // CHECK-NEXT: %[[C:.*]] = kiln.concat %arg0, %arg0, %arg0 {axis = 0 : i64}
  %0 = kiln.concat %x, %x {axis = 0 : i64} : (tensor<2xf32>, tensor<2xf32>) -> tensor<4xf32>
  %1 = kiln.concat %0, %x {axis = 0 : i64} : (tensor<4xf32>, tensor<2xf32>) -> tensor<6xf32>
  %2 = kiln.concat %e, %x {axis = 0 : i64} : (tensor<0xf32>, tensor<2xf32>) -> tensor<2xf32>
  %3 = kiln.pad %x, %v {high = array<i64: 0>, interior = array<i64: 0>, low = array<i64: 0>} : (tensor<2xf32>, tensor<f32>) -> tensor<2xf32>
  // CHECK-NEXT: kiln.return %[[C]], %arg0, %arg0
  kiln.return %1, %2, %3 : tensor<6xf32>, tensor<2xf32>, tensor<2xf32>
}

// -----

// CHECK-LABEL: func.func @reductions
func.func @reductions(%x: tensor<2x3x4xf32>, %u: tensor<4x1xf32>) -> (tensor<3xf32>, tensor<3xf32>, tensor<4xf32>) {
  // CHECK-NEXT: %[[M:.*]] = kiln.reduce %arg0 {axes = array<i64: 0, 2>, kind = "max"} : (tensor<2x3x4xf32>) -> tensor<3xf32>
  %0 = kiln.reduce %x {axes = array<i64: 2>, kind = "max"} : (tensor<2x3x4xf32>) -> tensor<2x3xf32>
  %1 = kiln.reduce %0 {axes = array<i64: 0>, kind = "max"} : (tensor<2x3xf32>) -> tensor<3xf32>
  // A sum of sums has an order of its own.
  // CHECK-NEXT: kiln.reduce %arg0 {axes = array<i64: 2>, kind = "add"}
  // CHECK-NEXT: %[[A:.*]] = kiln.reduce
  %2 = kiln.reduce %x {axes = array<i64: 2>, kind = "add"} : (tensor<2x3x4xf32>) -> tensor<2x3xf32>
  %3 = kiln.reduce %2 {axes = array<i64: 0>, kind = "add"} : (tensor<2x3xf32>) -> tensor<3xf32>
  // CHECK-NEXT: %[[R:.*]] = kiln.reshape %arg1 : (tensor<4x1xf32>) -> tensor<4xf32>
  %4 = kiln.reduce %u {axes = array<i64: 1>, kind = "add"} : (tensor<4x1xf32>) -> tensor<4xf32>
  // CHECK-NEXT: kiln.return %[[M]], %[[A]], %[[R]]
  kiln.return %1, %3, %4 : tensor<3xf32>, tensor<3xf32>, tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @casts
func.func @casts(%f: tensor<4xf32>, %i: tensor<4xi32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xui8>) {
  %0 = kiln.cast %f : (tensor<4xf32>) -> tensor<4xf32>
  %1 = kiln.cast %0 : (tensor<4xf32>) -> tensor<4xf64>
  %2 = kiln.cast %1 : (tensor<4xf64>) -> tensor<4xf32>
  // A narrower type in the middle rounds.
  // CHECK: %[[H:.*]] = kiln.cast %arg0 : (tensor<4xf32>) -> tensor<4xf16>
  // CHECK: %[[F:.*]] = kiln.cast %[[H]] : (tensor<4xf16>) -> tensor<4xf32>
  %3 = kiln.cast %f : (tensor<4xf32>) -> tensor<4xf16>
  %4 = kiln.cast %3 : (tensor<4xf16>) -> tensor<4xf32>
  // An integer that becomes a float saturates, and does not wrap.
  // CHECK: kiln.cast %arg1 : (tensor<4xi32>) -> tensor<4xf64>
  // CHECK: %[[U:.*]] = kiln.cast
  %5 = kiln.cast %i : (tensor<4xi32>) -> tensor<4xf64>
  %6 = kiln.cast %5 : (tensor<4xf64>) -> tensor<4xui8>
  // CHECK: kiln.return %arg0, %[[F]], %[[U]]
  kiln.return %2, %4, %6 : tensor<4xf32>, tensor<4xf32>, tensor<4xui8>
}

// -----

// CHECK-LABEL: func.func @symbolic
func.func @symbolic(%x: tensor<?x4xf32, "n, 4">) -> (tensor<?x4xf32, "n, 4">, tensor<?xf32, "n * 4">) {
  // CHECK-NEXT: %[[R:.*]] = kiln.reshape %arg0 : (tensor<?x4xf32, "n, 4">) -> tensor<?xf32, "n * 4">
  %0 = kiln.reshape %x : (tensor<?x4xf32, "n, 4">) -> tensor<?xf32, "n * 4">
  %1 = kiln.reshape %0 : (tensor<?xf32, "n * 4">) -> tensor<?x4xf32, "n, 4">
  // CHECK-NEXT: kiln.return %arg0, %[[R]]
  kiln.return %1, %0 : tensor<?x4xf32, "n, 4">, tensor<?xf32, "n * 4">
}
