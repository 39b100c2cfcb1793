// RUN: kiln-opt %s --kiln-move-broadcasts --kiln-prune --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @maps
func.func @maps(%x: tensor<10xf32>, %y: tensor<10xf32>, %n: tensor<f32>) -> tensor<32x10xf32> {
  // CHECK-NEXT: %[[A:.*]] = kiln.map "add" %arg0, %arg1 : (tensor<10xf32>, tensor<10xf32>) -> tensor<10xf32>
  // CHECK-NEXT: %[[N:.*]] = kiln.broadcast %arg2 {dims = array<i64>} : (tensor<f32>) -> tensor<10xf32>
  // CHECK-NEXT: %[[M:.*]] = kiln.map "mul" %[[N]], %[[A]]
  // CHECK-NEXT: %[[B:.*]] = kiln.broadcast %[[M]] {dims = array<i64: 1>} : (tensor<10xf32>) -> tensor<32x10xf32>
  // CHECK-NEXT: kiln.return %[[B]]
  %0 = kiln.broadcast %x {dims = array<i64: 1>} : (tensor<10xf32>) -> tensor<32x10xf32>
  %1 = kiln.broadcast %y {dims = array<i64: 1>} : (tensor<10xf32>) -> tensor<32x10xf32>
  %2 = kiln.map "add" %0, %1 : (tensor<32x10xf32>, tensor<32x10xf32>) -> tensor<32x10xf32>
  %3 = kiln.broadcast %n {dims = array<i64>} : (tensor<f32>) -> tensor<32x10xf32>
  %4 = kiln.map "mul" %3, %2 : (tensor<32x10xf32>, tensor<32x10xf32>) -> tensor<32x10xf32>
  kiln.return %4 : tensor<32x10xf32>
}

// -----

// CHECK-LABEL: func.func @different_axes
func.func @different_axes(%x: tensor<10xf32>, %y: tensor<10xf32>) -> tensor<10x10xf32> {
  // CHECK-COUNT-2: kiln.broadcast
  // CHECK-NEXT: kiln.map "add"
  %0 = kiln.broadcast %x {dims = array<i64: 0>} : (tensor<10xf32>) -> tensor<10x10xf32>
  %1 = kiln.broadcast %y {dims = array<i64: 1>} : (tensor<10xf32>) -> tensor<10x10xf32>
  %2 = kiln.map "add" %0, %1 : (tensor<10x10xf32>, tensor<10x10xf32>) -> tensor<10x10xf32>
  kiln.return %2 : tensor<10x10xf32>
}

// -----

// CHECK-LABEL: func.func @reductions
func.func @reductions(%x: tensor<10x4xf32>) -> (tensor<32xf32>, tensor<32x10xf32>, tensor<32xf32>) {
  // CHECK-DAG: %[[M:.*]] = kiln.reduce %arg0 {axes = array<i64: 0, 1>, kind = "max"} : (tensor<10x4xf32>) -> tensor<f32>
  // CHECK-DAG: %[[B:.*]] = kiln.broadcast %[[M]] {dims = array<i64>} : (tensor<f32>) -> tensor<32xf32>
  %0 = kiln.broadcast %x {dims = array<i64: 1, 2>} : (tensor<10x4xf32>) -> tensor<32x10x4xf32>
  %1 = kiln.broadcast %0 {dims = array<i64: 0, 2, 3>} : (tensor<32x10x4xf32>) -> tensor<32x7x10x4xf32>
  %2 = kiln.broadcast %x {dims = array<i64: 2, 3>} : (tensor<10x4xf32>) -> tensor<32x7x10x4xf32>
  %3 = kiln.reduce %2 {axes = array<i64: 1, 2, 3>, kind = "max"} : (tensor<32x7x10x4xf32>) -> tensor<32xf32>
  // CHECK-DAG: kiln.reduce %arg0 {axes = array<i64: 1>, kind = "min"} : (tensor<10x4xf32>) -> tensor<10xf32>
  %4 = kiln.reduce %2 {axes = array<i64: 1, 3>, kind = "min"} : (tensor<32x7x10x4xf32>) -> tensor<32x10xf32>
  // A sum adds in an order of its own.
  // CHECK-DAG: kiln.reduce %{{.*}} {axes = array<i64: 1, 2, 3>, kind = "add"} : (tensor<32x7x10x4xf32>) -> tensor<32xf32>
  %5 = kiln.reduce %2 {axes = array<i64: 1, 2, 3>, kind = "add"} : (tensor<32x7x10x4xf32>) -> tensor<32xf32>
  kiln.return %3, %4, %5 : tensor<32xf32>, tensor<32x10xf32>, tensor<32xf32>
}

// -----

// An axis that may be empty: its maximum is not the element.
// CHECK-LABEL: func.func @may_be_empty
func.func @may_be_empty(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK: kiln.broadcast
  // CHECK: kiln.reduce
  %0 = kiln.broadcast %x {dims = array<i64: 1>} : (tensor<4xf32>) -> tensor<?x4xf32, "n, 4">
  %1 = kiln.reduce %0 {axes = array<i64: 0>, kind = "max"} : (tensor<?x4xf32, "n, 4">) -> tensor<4xf32>
  kiln.return %1 : tensor<4xf32>
}
