// RUN: kiln-opt %s --kiln-cse --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @chains
func.func @chains(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // CHECK-NEXT: %[[A:.*]] = kiln.map "add" %arg0, %arg1
  // CHECK-NEXT: %[[E:.*]] = kiln.map "exp" %[[A]]
  // CHECK-NEXT: kiln.return %[[E]], %[[E]]
  %0 = kiln.map "add" %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = kiln.map "add" %y, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %2 = kiln.map "exp" %0 : (tensor<4xf32>) -> tensor<4xf32>
  %3 = kiln.map "exp" %1 : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %2, %3 : tensor<4xf32>, tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @different
func.func @different(%x: tensor<4x4xf32>, %y: tensor<4x4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4x4xf32>, tensor<4x4xf32>) {
  // CHECK: axes = array<i64: 0>
  // CHECK: axes = array<i64: 1>
  // CHECK: kiln.map "sub" %arg0, %arg1
  // CHECK: kiln.map "sub" %arg1, %arg0
  %0 = kiln.reduce %x {axes = array<i64: 0>, kind = "add"} : (tensor<4x4xf32>) -> tensor<4xf32>
  %1 = kiln.reduce %x {axes = array<i64: 1>, kind = "add"} : (tensor<4x4xf32>) -> tensor<4xf32>
  %2 = kiln.map "sub" %x, %y : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %3 = kiln.map "sub" %y, %x : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  kiln.return %0, %1, %2, %3 : tensor<4xf32>, tensor<4xf32>, tensor<4x4xf32>, tensor<4x4xf32>
}

// -----

// The attribute that a result type says makes a difference too.
// CHECK-LABEL: func.func @types
func.func @types(%x: tensor<4xf32>) -> (tensor<2x2xf32>, tensor<4x1xf32>, tensor<4xf16>, tensor<4xf64>) {
  // CHECK-COUNT-2: kiln.reshape
  // CHECK-COUNT-2: kiln.cast
  %0 = kiln.reshape %x : (tensor<4xf32>) -> tensor<2x2xf32>
  %1 = kiln.reshape %x : (tensor<4xf32>) -> tensor<4x1xf32>
  %2 = kiln.cast %x : (tensor<4xf32>) -> tensor<4xf16>
  %3 = kiln.cast %x : (tensor<4xf32>) -> tensor<4xf64>
  kiln.return %0, %1, %2, %3 : tensor<2x2xf32>, tensor<4x1xf32>, tensor<4xf16>, tensor<4xf64>
}

// -----

// CHECK-LABEL: func.func @constants
func.func @constants() -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) {
  // CHECK-NEXT: %[[A:.*]] = kiln.constant {value = dense<[0.000000e+00, 1.000000e+00]>
  // CHECK-NEXT: %[[B:.*]] = kiln.constant {value = dense<[-0.000000e+00, 1.000000e+00]>
  // CHECK-NEXT: kiln.return %[[A]], %[[A]], %[[B]]
  %0 = kiln.constant {value = dense<[0.0, 1.0]> : tensor<2xf32>} : () -> tensor<2xf32>
  %1 = kiln.constant {value = dense<[0.0, 1.0]> : tensor<2xf32>} : () -> tensor<2xf32>
  %2 = kiln.constant {value = dense<[-0.0, 1.0]> : tensor<2xf32>} : () -> tensor<2xf32>
  kiln.return %0, %1, %2 : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
}

// -----

// CHECK-LABEL: func.func @random_is_never_merged
func.func @random_is_never_merged(%k: tensor<2xi64>) -> (tensor<4xf32>, tensor<4xf32>) {
  // CHECK-COUNT-2: kiln.random
  %0 = kiln.random %k {kind = "uniform", stream = 0 : i64} : (tensor<2xi64>) -> tensor<4xf32>
  %1 = kiln.random %k {kind = "uniform", stream = 0 : i64} : (tensor<2xi64>) -> tensor<4xf32>
  kiln.return %0, %1 : tensor<4xf32>, tensor<4xf32>
}
