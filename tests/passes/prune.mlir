// RUN: kiln-opt %s --kiln-prune --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @dead_chain
// CHECK-SAME: %arg0: tensor<4xf32>, %arg1: tensor<4xf32>
func.func @dead_chain(%x: tensor<4xf32>, %unused: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NEXT: %[[E:.*]] = kiln.map "exp" %arg0
  // CHECK-NEXT: kiln.return %[[E]]
  %0 = kiln.map "exp" %x : (tensor<4xf32>) -> tensor<4xf32>
  %1 = kiln.map "log" %0 : (tensor<4xf32>) -> tensor<4xf32>
  %2 = kiln.map "add" %1, %unused : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: func.func @dead_random
func.func @dead_random(%k: tensor<2xi64> {kiln.kind = "random"}) -> tensor<4xf32> {
  // CHECK-NEXT: %[[R:.*]] = kiln.random %arg0 {kind = "normal", stream = 1 : i64}
  // CHECK-NEXT: kiln.return %[[R]]
  %0 = kiln.random %k {kind = "uniform", stream = 0 : i64} : (tensor<2xi64>) -> tensor<4xf32>
  %1 = kiln.random %k {kind = "normal", stream = 1 : i64} : (tensor<2xi64>) -> tensor<4xf32>
  kiln.return %1 : tensor<4xf32>
}

// -----

// A write keeps what it writes alive.
// CHECK-LABEL: func.func @write
func.func @write(%w: tensor<4xf32> {kiln.kind = "variable"}) -> tensor<4xf32> {
  // CHECK-NEXT: kiln.map "neg"
  %0 = kiln.map "neg" %w : (tensor<4xf32>) -> tensor<4xf32>
  kiln.return %0 {writes = array<i64: 0>} : tensor<4xf32>
}
